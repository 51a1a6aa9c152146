package checkoutsvc

import (
	"context"
	"slices"
	"time"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
)

// The states of a refund, in the order of their rank, and why money goes back.
const (
	refundRequested = "requested"
	refundPending   = "pending"
	refundSucceeded = "succeeded"
	refundFailed    = "failed"
	refundCanceled  = "canceled"

	refundByRequest = "requested"
	refundDuplicate = "duplicate_payment"
	refundLate      = "late"
	refundGivenUp   = "given_up"
	refundExternal  = "external"
	refundFraud     = "fraud" // an early fraud warning, by policy
)

// refundRank orders the states of a refund: the higher one wins whatever arrives first. Failed and canceled are both
// final, and Stripe never tells both of one refund.
var refundRank = map[string]int{refundRequested: 0, refundPending: 1, refundSucceeded: 2, refundCanceled: 3, refundFailed: 3}

// refundMoved says whether the money of a refund is on its way to the buyer or there.
func refundMoved(state string) bool { return state == refundPending || state == refundSucceeded }

// refundUnwanted writes down that money which buys nothing goes back whole, and the jobs that send it and that book it as
// a bare receipt. Neither waits for the other: a ledger that is away keeps no buyer from their money, and the refund is
// posted once what it leaves from is. There is one such refund per intent, kept by the database.
func (w *writes) refundUnwanted(ctx context.Context, p *checkoutdb.PaymentIntent, reason string) {
	if slices.ContainsFunc(w.order.Refunds, func(r checkoutdb.Refund) bool { return r.PaymentIntent == *p.StripeID && r.Reason == reason }) {
		return
	}
	r := checkoutdb.Refund{
		ID: newID(), OrderID: w.order.ID, PaymentIntent: *p.StripeID, AmountMinorUnits: p.CapturedMinorUnits, Currency: w.order.Currency,
		State: refundRequested, Reason: reason, CreateTime: w.now,
	}
	w.insertRefund(ctx, r)
	w.note(ctx, "refund_requested", reason)
	w.enqueue(settleReceiptArgs{RefundID: r.ID}, sendRefundArgs{RefundID: r.ID})
}

func (w *writes) insertRefund(ctx context.Context, r checkoutdb.Refund) {
	if r.Taxes == nil {
		r.Taxes = writeTaxes(nil)
	}
	if r.TicketIds == nil {
		r.TicketIds = []string{}
	}
	w.order.Refunds = append(w.order.Refunds, r)
	must(w.q.InsertRefund(ctx, &w.pipe, checkoutdb.InsertRefundParams{
		ID: r.ID, OrderID: r.OrderID, PaymentIntent: r.PaymentIntent, StripeRefundID: r.StripeRefundID,
		AmountMinorUnits: r.AmountMinorUnits, ApplicationFeeMinorUnits: r.ApplicationFeeMinorUnits, Taxes: r.Taxes,
		Currency: r.Currency, State: r.State, Reason: r.Reason, Note: r.Note, TicketIds: r.TicketIds,
		RefundTime: r.RefundTime, CreateTime: r.CreateTime,
	}))
}

// setRefund writes a refund's facts as they are after a merge.
func (w *writes) setRefund(ctx context.Context, r *checkoutdb.Refund) {
	must(w.q.SetRefundFacts(ctx, &w.pipe, checkoutdb.SetRefundFactsParams{
		ID: r.ID, State: r.State, StripeRefundID: r.StripeRefundID, RefundTime: r.RefundTime, FailureCode: r.FailureCode, TicketIds: r.TicketIds,
	}))
}

// setTicketState moves a ticket on and has its pass follow, once there is one.
func (w *writes) setTicketState(ctx context.Context, t *checkoutdb.Ticket, state string) {
	if state == ticketValid && t.ValidTime == nil {
		now := w.now
		t.ValidTime = &now
	}
	if state == ticketVoid {
		w.enqueue(voidPassArgs{TicketID: t.ID})
	} else if state == ticketSuspended || t.State == ticketSuspended {
		w.enqueue(suspendPassArgs{TicketID: t.ID})
	}
	if state != ticketValid || t.State != ticketReserved { // becoming valid is what the pass shows from the start
		t.ChangeNumber++
	}
	t.State = state
	must(w.q.SetTicketState(ctx, &w.pipe, checkoutdb.SetTicketStateParams{
		ID: t.ID, State: t.State, PassSerial: t.PassSerial, ValidTime: t.ValidTime, ChangeNumber: t.ChangeNumber,
	}))
}

// settleTickets brings the tickets to the states that follow from the order's facts.
func (w *writes) settleTickets(ctx context.Context) {
	for i := range w.order.Tickets {
		t := &w.order.Tickets[i]
		if state := w.order.ticketState(*t); state != t.State {
			w.setTicketState(ctx, t, state)
		}
	}
}

// mergeRefund merges what was seen of a refund into its row: the state of the higher rank wins.
func mergeRefund(r checkoutdb.Refund, seen checkoutdb.Refund) checkoutdb.Refund {
	if r.StripeRefundID == nil {
		r.StripeRefundID, r.RefundTime = seen.StripeRefundID, seen.RefundTime
	}
	if refundRank[seen.State] > refundRank[r.State] {
		r.State = seen.State
	}
	if seen.FailureCode != "" {
		r.FailureCode = seen.FailureCode
	}
	if len(r.TicketIds) == 0 && len(seen.TicketIds) > 0 {
		r.TicketIds = seen.TicketIds
	}
	return r
}

// refundTime is when Stripe made the refund; a refund at Stripe has one.
func refundTime(r checkoutdb.Refund) time.Time {
	if r.RefundTime == nil {
		panic("refund " + r.ID + " is at Stripe and has no time")
	}
	return *r.RefundTime
}
