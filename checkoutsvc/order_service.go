package checkoutsvc

import (
	"context"
	"fmt"
	"slices"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// GetOrderDetails implements OrderService.
func (s *Service) GetOrderDetails(ctx context.Context, req *checkoutv1.GetOrderDetailsRequest) (*checkoutv1.GetOrderDetailsResponse, error) {
	o, err := readOrder(ctx, s.Pool, orderKey{ID: req.GetOrderId()})
	if err != nil {
		return nil, err
	}
	notes, err := s.q.ListTimeline(ctx, s.Pool, o.ID)
	if err != nil {
		return nil, fmt.Errorf("list timeline: %w", err)
	}
	return &checkoutv1.GetOrderDetailsResponse{
		Order:    s.orderToProto(o),
		Buyer:    &checkoutv1.Buyer{Name: o.BuyerName, Email: o.BuyerEmail, Language: o.Language},
		Timeline: o.timeline(notes),
	}, nil
}

// timeline is what the order's rows say by themselves, and the notes between, by time.
func (o *order) timeline(notes []checkoutdb.Timeline) []*checkoutv1.TimelineEntry {
	entries := []*checkoutv1.TimelineEntry{{Time: timestamppb.New(o.CreateTime), Service: "checkoutsvc", Step: "order_created"}}
	add := func(e *checkoutv1.TimelineEntry) {
		e.Service = "checkoutsvc"
		entries = append(entries, e)
	}
	if o.FulfilmentStartTime != nil {
		add(&checkoutv1.TimelineEntry{Time: toTimestamp(o.FulfilmentStartTime), Step: "payment_accepted", Detail: deref(o.PayingIntent)})
	}
	for _, n := range notes {
		add(&checkoutv1.TimelineEntry{
			Time: timestamppb.New(n.Time), Step: n.Step, Attempt: n.Attempt, TookMs: n.TookMs, Error: n.Error, Detail: n.Detail,
		})
	}
	if o.CompleteTime != nil {
		add(&checkoutv1.TimelineEntry{Time: toTimestamp(o.CompleteTime), Step: "issue_passes", Attempt: o.Attempt, TookMs: o.IssuePassesMs})
		add(&checkoutv1.TimelineEntry{Time: toTimestamp(o.CompleteTime), Step: "record_sale", Attempt: o.Attempt, TookMs: o.RecordSaleMs})
		add(&checkoutv1.TimelineEntry{Time: toTimestamp(o.CompleteTime), Step: "order_completed", Attempt: o.Attempt})
	}
	if o.ReceiptSentTime != nil {
		add(&checkoutv1.TimelineEntry{Time: toTimestamp(o.ReceiptSentTime), Step: "receipt_sent"})
	}
	slices.SortStableFunc(entries, func(a, b *checkoutv1.TimelineEntry) int { return a.GetTime().AsTime().Compare(b.GetTime().AsTime()) })
	return entries
}

// ListOrders implements OrderService.
func (s *Service) ListOrders(ctx context.Context, req *checkoutv1.ListOrdersRequest) (*checkoutv1.ListOrdersResponse, error) {
	before, err := page.Parse(req.GetPageToken(), "orders", cursor{Time: endOfTime})
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	rows, err := s.q.ListOrders(ctx, s.Pool, checkoutdb.ListOrdersParams{
		BeforeTime: before.Time, BeforeID: before.ID, EventID: req.GetEventId(),
		Fulfilment: fulfilmentFromProto[req.GetFulfilmentState()], PageSize: size + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	res := &checkoutv1.ListOrdersResponse{}
	if len(rows) > int(size) {
		rows = rows[:size]
		last := rows[size-1]
		res.NextPageToken = page.Token("orders", cursor{Time: last.CreateTime, ID: last.ID})
	}
	for _, row := range rows {
		o, err := readOrder(ctx, s.Pool, orderKey{ID: row.ID})
		if err != nil {
			return nil, err
		}
		res.Orders = append(res.Orders, s.orderToProto(o))
	}
	return res, nil
}

// RefundOrder implements OrderService. The refund, the void tickets and the job that calls Stripe are written in one
// transaction with the key, under the order's lock, so that parallel refunds never add up to more than was captured.
func (s *Service) RefundOrder(ctx context.Context, req *checkoutv1.RefundOrderRequest) (*checkoutv1.RefundOrderResponse, error) {
	parts := []any{req.GetOrderId(), req.GetTicketIds(), req.GetNote(), req.GetAmount() != nil, req.GetAmount().GetCurrency(), req.GetAmount().GetMinorUnits()}
	return idem.Do(ctx, s.Pool, s.Clock.Now(), idem.Fingerprint(1, parts...), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.RefundOrderResponse, error) {
		o, err := lockOrderForUpdate(ctx, tx, orderKey{ID: req.GetOrderId()})
		if err != nil {
			return nil, err
		}
		amount, err := o.refundAmount(req)
		if err != nil {
			return nil, err
		}
		fee, taxes, err := o.refundShares(amount, s.Config.RefundApplicationFee)
		if err != nil {
			return nil, err
		}
		w := s.newWrites(o)
		w.insertRefund(ctx, checkoutdb.Refund{
			ID: newID(), OrderID: o.ID, PaymentIntent: *o.PayingIntent, AmountMinorUnits: amount, ApplicationFeeMinorUnits: fee,
			Taxes: writeTaxes(taxes), Currency: o.Currency, State: refundRequested, Reason: refundByRequest, Note: req.GetNote(),
			TicketIds: o.refundTickets(req, amount), CreateTime: w.now,
		})
		r := o.Refunds[len(o.Refunds)-1]
		w.note(ctx, "refund_requested", r.ID)
		w.settleTickets(ctx)
		w.enqueue(sendRefundArgs{RefundID: r.ID})
		if err := w.flush(ctx, tx); err != nil {
			return nil, err
		}
		return &checkoutv1.RefundOrderResponse{Refund: refundToProto(r), Order: s.orderToProto(o)}, nil
	})
}

// refundable is what is captured and neither sent back nor about to be.
func (o *order) refundable() int64 {
	left := o.captured()
	for _, r := range o.Refunds {
		if r.PaymentIntent == deref(o.PayingIntent) && r.State != refundFailed && r.State != refundCanceled {
			left -= r.AmountMinorUnits
		}
	}
	return left
}

// refundAmount checks a request for a refund and says how much it is about.
func (o *order) refundAmount(req *checkoutv1.RefundOrderRequest) (int64, error) {
	if o.PayingIntent == nil || o.captured() == 0 {
		return 0, problem.New(connect.CodeFailedPrecondition, "ORDER_NOT_PAID", "no money was captured for this order")
	}
	if o.disputeOpen() || o.disputeLost() {
		return 0, problem.New(connect.CodeFailedPrecondition, "ORDER_DISPUTED", "the payment is disputed; Stripe refuses refunds, answer the dispute there")
	}
	amount := o.refundable()
	if len(req.GetTicketIds()) > 0 {
		amount = 0
		for i, id := range req.GetTicketIds() {
			at := slices.IndexFunc(o.Tickets, func(t checkoutdb.Ticket) bool { return t.ID == id })
			if at < 0 {
				return 0, problem.New(connect.CodeNotFound, "TICKET_NOT_FOUND", fmt.Sprintf("ticket_ids[%d]: the order has no such ticket", i))
			}
			snap, err := readSnapshot(o.Tickets[at])
			if err != nil {
				return 0, err
			}
			amount += snap.PriceMinorUnits
		}
	}
	if a := req.GetAmount(); a != nil {
		switch {
		case a.GetCurrency() != o.Currency:
			return 0, problem.New(connect.CodeInvalidArgument, "CURRENCY_MISMATCH", "amount.currency: the order is in "+o.Currency)
		case a.GetMinorUnits() <= 0:
			return 0, problem.InvalidField("amount.minor_units", "must be above zero")
		}
		amount = a.GetMinorUnits()
	}
	if amount <= 0 || amount > o.refundable() {
		return 0, problem.New(connect.CodeFailedPrecondition, "REFUND_EXCEEDS_CAPTURED",
			fmt.Sprintf("%d minor units are left to refund", max(o.refundable(), 0)))
	}
	return amount, nil
}

// refundTickets are the tickets that a refund voids: those that were named, or all when everything that was paid goes
// back at once.
func (o *order) refundTickets(req *checkoutv1.RefundOrderRequest, amount int64) []string {
	if len(req.GetTicketIds()) > 0 || amount < o.captured() {
		return req.GetTicketIds()
	}
	var ids []string
	for _, t := range o.Tickets {
		ids = append(ids, t.ID)
	}
	return ids
}
