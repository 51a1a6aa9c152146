package orderstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// Insert writes a new order and takes its seats and its stock. The order is then as Read returns it. A free order has its tickets then, and
// who inserts it has the lease of its first attempt.
//
// Problems: SOLD_OUT, BUYER_HOLD_LIMIT, OPEN_HOLDS_LIMIT, BUYER_TICKET_LIMIT, WAITING_ROOM_PLACE_USED, and those of takeSeats.
func (s *Store) Insert(ctx context.Context, tx pgx.Tx, o *order.Order, terms HoldTerms) error {
	if o.HasSeats() {
		if err := s.takeSeats(ctx, tx, o); err != nil {
			return err
		}
	}
	w := s.newWrites(o.CreateTime)
	p := &w.pipeline
	errs := []error{s.queueOrder(ctx, w, o, terms, order.NothingToPay{}), s.takePromotion(ctx, p, o)}
	// Last: everybody who buys of a variant waits for its row until the one before has committed.
	for _, l := range o.StockLines() {
		errs = append(errs, s.takeStock(ctx, p, l, int64(l.Quantity)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return w.flush(ctx, tx)
}

// InsertInvited writes the orders of guests of one variant and takes their seats and stock. Their attempts are left to the sweep.
//
// Problems: SOLD_OUT, and those of takeSeats.
func (s *Store) InsertInvited(ctx context.Context, tx pgx.Tx, orders []order.Order, f order.NothingToPay) error {
	w := s.newWrites(orders[0].CreateTime)
	var errs []error
	var tickets int64
	for i := range orders {
		if orders[i].HasSeats() {
			if err := s.takeSeats(ctx, tx, &orders[i]); err != nil {
				return err
			}
		}
		errs = append(errs, s.queueOrder(ctx, w, &orders[i], HoldTerms{}, f))
		tickets += int64(orders[i].TicketCount())
	}
	errs = append(errs, s.takeStock(ctx, &w.pipeline, orders[0].Lines[0], tickets))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return w.flush(ctx, tx)
}

// takeStock queues that tickets of a line's variant are taken.
func (s *Store) takeStock(ctx context.Context, p *pgdb.Pipeline, l order.Line, tickets int64) error {
	_, err := s.q.TakeStock(ctx, p.Then(func(rows int64) error {
		if rows == 1 {
			return nil
		}
		return soldOut(&l)
	}), l.VariantID, tickets)
	return err
}

// queueOrder queues the rows of a new order, and of a free one what follows from f.
func (s *Store) queueOrder(ctx context.Context, w *writes, o *order.Order, terms HoldTerms, f order.NothingToPay) error {
	p := &w.pipeline
	errs := []error{s.q.InsertOrder(ctx, p, checkoutdb.InsertOrderParams{
		ID: o.ID, OrganizerID: o.OrganizerID, EventID: o.EventID, BuyerName: o.BuyerName, BuyerEmail: o.BuyerEmail, Language: o.Language,
		Currency: o.Currency, TotalMinorUnits: o.TotalMinorUnits, ApplicationFeeMinorUnits: o.ApplicationFeeMinorUnits,
		Taxes: taxesColumn(o.Taxes), CreateTime: o.CreateTime, Payment: string(o.Payment),
		PromotionCodeID: nullable(o.PromotionCodeID), PromotionCode: o.PromotionCode, DiscountMinorUnits: o.DiscountMinorUnits,
		Kind: string(o.Kind),
	})}
	for i, l := range o.Lines {
		var buyer *int64 // of the first line
		if i == 0 {
			buyer = new(o.BuyerKey())
		}
		errs = append(errs, s.q.InsertOrderLine(ctx, p, checkoutdb.InsertOrderLineParams{
			OrderID: o.ID, Position: l.Position, VariantID: l.VariantID, VariantVersion: l.VariantVersion, ProductName: l.ProductName,
			VariantName: l.VariantName, Quantity: l.Quantity, UnitPriceMinorUnits: l.UnitPriceMinorUnits,
			Snapshot: l.Snapshot, SnapshotSchema: l.SnapshotSchema, BuyerKey: buyer, Seats: seatsColumn(l.Seats),
			DiscountMinorUnits: l.DiscountMinorUnits,
		}))
	}
	errs = append(errs, s.takePlace(ctx, p, o), s.insertHold(ctx, p, o, terms))
	for _, intent := range o.Intents {
		errs = append(errs, s.insertIntent(ctx, p, o.ID, intent))
	}
	if o.Free() {
		begun, c, err := order.Observe(*o, f, s.Policy, w.now)
		*o = begun
		errs = append(errs, err, w.add(ctx, o, &c))
	}
	return errors.Join(errs...)
}

// retakeStock takes the order's stock once more, for money that came after its hold had ended, and its own seats. If there is not enough of
// everything, or something is not sold any more, or its promotion code is used up, nothing is taken.
func (s *Store) retakeStock(ctx context.Context, tx pgx.Tx, o *order.Order, now time.Time) (order.Stock, error) {
	if err := s.lockSeats(ctx, tx, o); err != nil {
		return order.StockGone, err
	}
	if may, err := s.mayBuyLate(ctx, tx, o, now); err != nil || !may {
		return order.StockGone, err
	}
	stock := order.StockTaken
	err := pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
		if all, err := s.retakeSeats(ctx, savepoint, o); err != nil {
			return err
		} else if !all {
			stock = order.StockGone
			return pgx.ErrTxCommitRollback
		}
		if o.PromotionCodeID != "" { // the price that was quoted is kept, whatever became of the code but its number of uses
			rows, err := s.q.TakePromotionUse(ctx, savepoint, o.PromotionCodeID)
			if err != nil {
				return fmt.Errorf("take use of promotion code again: %w", err)
			}
			if rows == 0 {
				stock = order.StockGone
				return pgx.ErrTxCommitRollback
			}
		}
		for _, l := range o.StockLines() {
			rows, err := s.q.TakeStock(ctx, savepoint, l.VariantID, int64(l.Quantity))
			if err != nil {
				return fmt.Errorf("take stock again: %w", err)
			}
			if rows == 0 {
				stock = order.StockGone
				return pgx.ErrTxCommitRollback
			}
		}
		return nil
	})
	if stock == order.StockGone {
		return stock, nil
	}
	return stock, err
}

// LinkIntent writes down Stripe's answer to our create call.
func (s *Store) LinkIntent(ctx context.Context, intentID, stripeID, clientSecret string) error {
	if err := s.q.LinkPaymentIntent(ctx, s.Pool, intentID, &stripeID, clientSecret); err != nil {
		return fmt.Errorf("link payment intent: %w", err)
	}
	return nil
}

// save queues the rows that are one order's own of what one fact changed.
func (s *Store) save(ctx context.Context, p *pgdb.Pipeline, o *order.Order, c *order.Changes, now time.Time) error {
	errs := []error{
		s.saveHead(ctx, p, o, c),
		s.saveIntents(ctx, p, o.ID, c.Intents),
		s.saveTickets(ctx, p, c.Tickets),
		s.saveTransfers(ctx, p, o.ID, c.Transfers),
		s.saveRefunds(ctx, p, o.ID, c.Refunds),
		s.saveDisputes(ctx, p, o.ID, c),
		s.saveRisk(ctx, p, o.ID, c),
	}
	for _, item := range c.Cases {
		_, err := s.q.RaiseReviewCase(ctx, p, checkoutdb.RaiseReviewCaseParams{ // queued: the number of rows is not known yet
			ID: s.Policy.NewID(), Kind: item.Kind, Subject: item.Subject, OrderID: o.ID, PaymentIntent: item.Intent,
			Facts: factsColumn(item.Facts), SuggestedAction: item.Action, CreateTime: now,
		})
		errs = append(errs, err)
	}
	for _, r := range c.Resolved {
		errs = append(errs, s.q.ResolveReviewCaseOf(ctx, p, r.Kind, r.Subject, &now, r.Note))
	}
	for _, a := range c.Alerts {
		if a.Resolved {
			errs = append(errs, alert.Resolve(ctx, p, a.Kind, a.Subject))
		} else {
			errs = append(errs, alert.Raise(ctx, p, a.Kind, a.Subject, a.Facts, s.Link(o.ID)))
		}
	}
	return errors.Join(errs...)
}

// saveHead queues the order's own row.
func (s *Store) saveHead(ctx context.Context, p *pgdb.Pipeline, o *order.Order, c *order.Changes) error {
	var errs []error
	if c.Order || c.NextAttempt != nil {
		params := checkoutdb.SaveOrderParams{
			ID: o.ID, Payment: string(o.Payment), Fulfilment: string(o.Fulfilment), PayingIntent: nullable(o.PayingIntent),
			CaptureTime: o.CaptureTime, Attempt: o.Attempt, LastError: o.LastError, CompleteTime: o.CompleteTime,
			IssuePassesMs: o.IssuePassesMs, RecordSaleMs: o.RecordSaleMs, Review: string(o.Review),
			Start: c.FulfilmentStarted, Reschedule: c.NextAttempt != nil,
		}
		if c.NextAttempt != nil && o.BeingFulfilled() {
			params.NextAttemptSeconds = new(c.NextAttempt.Seconds())
			if c.EarliestAttempt != nil {
				params.EarliestAttemptSeconds = new(c.EarliestAttempt.Seconds())
			}
		}
		errs = append(errs, s.q.SaveOrder(ctx, p, params))
	}
	if c.Total {
		errs = append(errs, s.q.SetOrderTotal(ctx, p, o.ID, o.TotalMinorUnits, o.ApplicationFeeMinorUnits, taxesColumn(o.Taxes)))
	}
	if c.Buyer {
		errs = append(errs,
			s.q.CorrectBuyer(ctx, p, checkoutdb.CorrectBuyerParams{
				ID: o.ID, BuyerName: o.BuyerName, BuyerEmail: o.BuyerEmail, Language: o.Language, BuyerCorrections: o.BuyerCorrections,
			}))
	}
	if c.BuyerKey {
		errs = append(errs, s.q.SetBuyerKey(ctx, p, o.ID, new(o.BuyerKey())))
	}
	return errors.Join(errs...)
}

func (s *Store) insertIntent(ctx context.Context, p *pgdb.Pipeline, orderID string, i order.PaymentIntent) error {
	return s.q.InsertPaymentIntent(ctx, p, checkoutdb.InsertPaymentIntentParams{
		ID: i.ID, OrderID: orderID, Number: i.Number, StripeAccount: i.StripeAccount, StripeID: nullable(i.StripeID), Currency: i.Currency,
		AmountMinorUnits: i.AmountMinorUnits, Status: string(i.Status), StatusTime: i.StatusTime, CreateTime: i.CreateTime,
	})
}

func (s *Store) saveIntents(ctx context.Context, p *pgdb.Pipeline, orderID string, rows order.Rows[order.PaymentIntent]) error {
	var errs []error
	for _, i := range rows.Added {
		errs = append(errs, s.insertIntent(ctx, p, orderID, i))
	}
	for _, i := range slices.Concat(rows.Added, rows.Changed) { // an adopted intent has facts from the start
		errs = append(errs, s.q.SetPaymentIntentFacts(ctx, p, checkoutdb.SetPaymentIntentFactsParams{
			ID: i.ID, Status: string(i.Status), StatusTime: i.StatusTime, CapturedMinorUnits: i.CapturedMinorUnits,
			Succeeded: i.Succeeded, Canceled: i.Canceled, ChargeID: i.ChargeID, BalanceTransactionID: i.BalanceTransactionID,
			FailureCode: i.FailureCode, Duplicate: i.Duplicate, Mismatch: string(i.Mismatch), RefundedMinorUnits: i.RefundedMinorUnits,
			Attempt: i.Attempt, AttemptTime: i.AttemptTime,
		}))
	}
	return errors.Join(errs...)
}

func (s *Store) saveRefunds(ctx context.Context, p *pgdb.Pipeline, orderID string, rows order.Rows[order.Refund]) error {
	var errs []error
	for _, r := range rows.Added {
		errs = append(errs, s.q.InsertRefund(ctx, p, checkoutdb.InsertRefundParams{
			ID: r.ID, OrderID: orderID, PaymentIntent: r.PaymentIntent, StripeRefundID: nullable(r.StripeRefundID),
			AmountMinorUnits: r.AmountMinorUnits, ApplicationFeeMinorUnits: r.ApplicationFeeMinorUnits, Taxes: taxesColumn(r.Taxes),
			Currency: r.Currency, State: string(r.State), Reason: string(r.Reason), Note: r.Note, TicketIds: list(r.TicketIDs),
			FailureCode: r.FailureCode, RefundTime: r.RefundTime, CreateTime: r.CreateTime,
		}))
	}
	for _, r := range rows.Changed {
		errs = append(errs, s.q.SetRefundFacts(ctx, p, checkoutdb.SetRefundFactsParams{
			ID: r.ID, State: string(r.State), StripeRefundID: nullable(r.StripeRefundID), RefundTime: r.RefundTime,
			FailureCode: r.FailureCode, TicketIds: list(r.TicketIDs), AmountMinorUnits: r.AmountMinorUnits,
			Attempt: r.Attempt, AttemptTime: r.AttemptTime,
			ApplicationFeeMinorUnits: r.ApplicationFeeMinorUnits, Taxes: taxesColumn(r.Taxes),
		}))
	}
	return errors.Join(errs...)
}

func (s *Store) saveDisputes(ctx context.Context, p *pgdb.Pipeline, orderID string, c *order.Changes) error {
	var errs []error
	for _, d := range slices.Concat(c.Disputes.Added, c.Disputes.Changed) {
		errs = append(errs, s.q.UpsertDispute(ctx, p, checkoutdb.UpsertDisputeParams{
			ID: d.ID, OrderID: orderID, PaymentIntent: d.PaymentIntent, Status: string(d.Status), AmountMinorUnits: d.AmountMinorUnits,
			Currency: d.Currency, DisputeReason: d.DisputeReason, EvidenceDueTime: d.EvidenceDueTime, CloseTime: d.CloseTime, CreateTime: d.CreateTime,
		}))
	}
	for _, f := range c.Funds.Added {
		errs = append(errs, s.q.InsertDisputeFunds(ctx, p, checkoutdb.InsertDisputeFundsParams{
			BalanceTransactionID: f.BalanceTransactionID, DisputeID: f.DisputeID, OrderID: orderID, MinorUnits: f.MinorUnits,
			FeeMinorUnits: f.FeeMinorUnits, FundsTime: f.FundsTime, Currency: f.Currency,
		}))
	}
	return errors.Join(errs...)
}

func (s *Store) saveRisk(ctx context.Context, p *pgdb.Pipeline, orderID string, c *order.Changes) error {
	var errs []error
	for _, w := range slices.Concat(c.Warnings.Added, c.Warnings.Changed) {
		errs = append(errs, s.q.MergeFraudWarning(ctx, p, checkoutdb.MergeFraudWarningParams{
			ID: w.ID, OrderID: orderID, PaymentIntent: w.PaymentIntent, ChargeID: w.ChargeID, FraudType: w.FraudType,
			Actionable: w.Actionable, CreateTime: w.CreateTime,
		}))
	}
	for _, r := range slices.Concat(c.Reviews.Added, c.Reviews.Changed) {
		errs = append(errs, s.q.MergeReview(ctx, p, checkoutdb.MergeReviewParams{
			ID: r.ID, OrderID: orderID, PaymentIntent: r.PaymentIntent, Open: r.Open, ClosedReason: r.ClosedReason, CreateTime: r.CreateTime,
		}))
	}
	return errors.Join(errs...)
}

// nullable turns an absent text into null.
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// text turns null into an empty text.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// seatsColumn is null for a line without seats.
func seatsColumn(seats []order.Seat) json.RawMessage {
	if len(seats) == 0 {
		return nil
	}
	return column(seats)
}

// list turns no list into an empty one: the column has no null.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func taxesColumn(taxes []order.TaxShare) json.RawMessage {
	if len(taxes) == 0 {
		return json.RawMessage("[]")
	}
	return column(taxes)
}

func factsColumn(facts map[string]string) json.RawMessage {
	if facts == nil {
		return json.RawMessage("{}")
	}
	return column(facts)
}

func column(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("a column cannot be written: " + err.Error())
	}
	return b
}
