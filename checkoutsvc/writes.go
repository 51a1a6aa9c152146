package checkoutsvc

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// writes gathers what one transaction changes of an order: each method changes the order in memory and queues the
// statement that does the same in the database. flush sends all of it at once, and the jobs behind it.
type writes struct {
	order *order
	now   time.Time // one instant per transaction
	q     checkoutdb.Queries
	pipe  pgdb.Pipeline
	jobs  []river.JobArgs
	s     *Service
	// intents that were inserted or changed are written once, as they are at the end.
	changed map[string]bool
	added   map[string]bool
}

func (s *Service) newWrites(o *order) *writes {
	return &writes{order: o, now: s.Clock.Now(), s: s, changed: map[string]bool{}, added: map[string]bool{}}
}

// flush sends the queued statements in one flush, then the jobs in another.
func (w *writes) flush(ctx context.Context, tx pgx.Tx) error {
	for i := range w.order.Intents {
		w.writeIntent(ctx, &w.order.Intents[i])
	}
	if err := w.pipe.Flush(ctx, tx); err != nil {
		return err
	}
	if len(w.jobs) == 0 {
		return nil
	}
	return w.s.Jobs.InsertTx(ctx, tx, w.jobs...)
}

// must is for queueing, which cannot fail: the pipeline only takes the statement.
func must(err error) {
	if err != nil {
		panic("queue a statement: " + err.Error())
	}
}

func (w *writes) enqueue(args ...river.JobArgs) { w.jobs = append(w.jobs, args...) }

func (w *writes) setPayment(ctx context.Context) {
	if payment := w.order.derivePayment(); payment != w.order.Payment {
		w.order.Payment = payment
		must(w.q.SetPayment(ctx, &w.pipe, w.order.ID, payment))
	}
}

func (w *writes) insertIntent(_ context.Context, p *checkoutdb.PaymentIntent) { w.added[p.ID] = true }

func (w *writes) setIntent(_ context.Context, p *checkoutdb.PaymentIntent) { w.changed[p.ID] = true }

func (w *writes) writeIntent(ctx context.Context, p *checkoutdb.PaymentIntent) {
	if w.added[p.ID] {
		must(w.q.InsertPaymentIntent(ctx, &w.pipe, checkoutdb.InsertPaymentIntentParams{
			ID: p.ID, OrderID: p.OrderID, Number: p.Number, StripeAccount: p.StripeAccount, StripeID: p.StripeID,
			Currency: p.Currency, AmountMinorUnits: p.AmountMinorUnits, Status: p.Status, StatusTime: p.StatusTime, CreateTime: p.CreateTime,
		}))
	}
	if w.changed[p.ID] {
		must(w.q.SetPaymentIntentFacts(ctx, &w.pipe, checkoutdb.SetPaymentIntentFactsParams{
			ID: p.ID, Status: p.Status, StatusTime: p.StatusTime, CapturedMinorUnits: p.CapturedMinorUnits,
			Succeeded: p.Succeeded, Canceled: p.Canceled, ChargeID: p.ChargeID, BalanceTransactionID: p.BalanceTransactionID,
			FailureCode: p.FailureCode, Duplicate: p.Duplicate, Mismatch: p.Mismatch,
		}))
	}
}

// endHold ends an active hold. Stock goes back unless it became tickets.
func (w *writes) endHold(ctx context.Context, state string) {
	now := w.now
	w.order.Hold.State, w.order.Hold.EndTime = state, &now
	must(w.q.EndHold(ctx, &w.pipe, w.order.ID, state, &now))
	if state != holdConsumed {
		w.returnStock(ctx)
		w.note(ctx, "hold_"+state, "")
	}
}

// returnStock gives the order's tickets back to sale, in the order of variants, so that two orders cannot block each
// other.
func (w *writes) returnStock(ctx context.Context) {
	for _, l := range stockOrder(w.order.Lines) {
		must(w.q.ReturnStock(ctx, &w.pipe, l.VariantID, int64(l.Quantity)))
	}
}

// startWalk sets the paying intent, writes the tickets and gives the order to its first walker.
func (w *writes) startWalk(ctx context.Context, s *Service, p *checkoutdb.PaymentIntent, captureTime time.Time) {
	o := w.order
	o.PayingIntent, o.CaptureTime = p.StripeID, &captureTime
	o.Fulfilment, o.Attempt = fulfilmentInProgress, 1
	w.endHold(ctx, holdConsumed)
	for _, t := range s.newTickets(o, w.now) {
		o.Tickets = append(o.Tickets, t)
		must(w.q.InsertTicket(ctx, &w.pipe, checkoutdb.InsertTicketParams{
			ID: t.ID, OrderID: t.OrderID, Position: t.Position, EventID: t.EventID, VariantID: t.VariantID,
			VariantVersion: t.VariantVersion, Snapshot: t.Snapshot, SnapshotSchema: t.SnapshotSchema,
			CodeKeyVersion: t.CodeKeyVersion, CreateTime: t.CreateTime,
		}))
	}
	o.Payment = o.derivePayment()
	must(w.q.StartWalk(ctx, &w.pipe, checkoutdb.StartWalkParams{
		ID: o.ID, Payment: o.Payment, PayingIntent: o.PayingIntent, CaptureTime: o.CaptureTime,
		LeaseSeconds: s.Config.WalkLease.Seconds(),
	}))
}

// note adds a line to the order's timeline.
func (w *writes) note(ctx context.Context, step, detail string) {
	w.noteAttempt(ctx, step, 0, "", detail)
}

func (w *writes) noteAttempt(ctx context.Context, step string, took time.Duration, failure, detail string) {
	must(w.q.InsertTimeline(ctx, &w.pipe, checkoutdb.InsertTimelineParams{
		OrderID: w.order.ID, Time: w.now, Step: step, Attempt: w.order.Attempt, TookMs: took.Milliseconds(),
		Error: failure, Detail: detail,
	}))
}

// reviewCase is something that only a person can decide, raised once per kind and subject.
type reviewCase struct {
	Kind    string
	Subject string
	Intent  string
	Facts   map[string]string
	Action  string
}

func (w *writes) raise(ctx context.Context, item reviewCase) {
	facts, err := json.Marshal(item.Facts)
	if err != nil || item.Facts == nil {
		facts = []byte("{}")
	}
	must(w.q.InsertReviewCase(ctx, &w.pipe, checkoutdb.InsertReviewCaseParams{
		ID: newID(), Kind: item.Kind, Subject: item.Subject, OrderID: w.order.ID, PaymentIntent: item.Intent,
		Facts: facts, SuggestedAction: item.Action, CreateTime: w.now,
	}))
}
