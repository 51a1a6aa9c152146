package checkoutsvc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// walkOrJoin walks an order that this call gave its first lease, or waits for whoever has the lease. The walk goes on
// when the caller hangs up; the caller is answered after CallerWait at the latest, with the order as it stands.
func (s *Service) walkOrJoin(ctx context.Context, o *order, started bool) (*order, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Config.CallerWait)
	defer cancel()
	if !started {
		return s.join(ctx, o)
	}
	w := &walking{done: make(chan struct{})}
	s.walking.Store(o.ID, w)
	s.walks.Go(func() {
		defer close(w.done)
		defer s.walking.Delete(o.ID)
		w.order = s.walk(context.WithoutCancel(ctx), o)
	})
	select {
	case <-w.done:
		if w.order != nil {
			return w.order, nil
		}
		return s.reread(ctx, o)
	case <-ctx.Done():
		return o, nil
	}
}

// walking is a walk of this process that callers wait for. Others than its walker only read the order.
type walking struct {
	done  chan struct{} // closed when the attempt has ended
	order *order        // set then; nil when the attempt did not get there
}

// walkHere returns the walk of an order that callers of this process wait for; nil if there is none.
func (s *Service) walkHere(orderID string) *walking {
	value, _ := s.walking.Load(orderID)
	w, _ := value.(*walking)
	return w
}

// reread returns the order as it is now; when even that fails, as it was when it was last seen, which is true as well:
// the facts are durable and the walk goes on.
func (s *Service) reread(ctx context.Context, o *order) (*order, error) {
	now, err := readOrder(ctx, s.Pool, orderKey{ID: o.ID})
	if err != nil {
		return o, nil //nolint:nilerr // see above
	}
	return now, nil
}

// The pace of a joiner that polls the order: nearly all walks end within a few tens of milliseconds.
const (
	joinPollMin = 10 * time.Millisecond
	joinPollMax = 250 * time.Millisecond
)

// join waits until the walk of somebody else has ended, or the caller's patience: at its end when it is on its way in
// this process, else by polling. It holds no connection while it waits.
func (s *Service) join(ctx context.Context, o *order) (*order, error) {
	wait := joinPollMin
	for {
		if w := s.walkHere(o.ID); w != nil {
			select {
			case <-ctx.Done():
				return o, nil
			case <-w.done:
				if w.order != nil {
					return w.order, nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return o, nil
		case <-time.After(wait):
		}
		states, err := s.q.GetOrderStates(ctx, s.Pool, o.ID)
		if err == nil && states.Fulfilment != fulfilmentInProgress {
			return s.reread(ctx, o)
		}
		wait = min(wait*3/2, joinPollMax)
	}
}

// walk is one attempt to take an order from captured money to valid tickets:
//
//	issue passes  }  at once; both are idempotent by their business keys, and their requests are built from rows that
//	record sale   }  tx 1 froze, so that a repeat is the same bytes
//	finish        tx 2: tickets valid, order completed, jobs
//
// It owns the lease of o.Attempt; every write carries that attempt, so a walker that was overtaken changes nothing. Any
// step may run twice, at once, on two replicas. It returns the completed order, or nil when the attempt did not get
// there.
func (s *Service) walk(ctx context.Context, o *order) *order {
	ctx, cancel := context.WithTimeout(ctx, s.Config.WalkDeadline)
	defer cancel()
	crash.At(crash.CheckoutWalkBegun)
	started := s.Clock.Now()
	steps, err := s.fulfilOutside(ctx, o)
	if err == nil {
		crash.At(crash.CheckoutWalkFinishing)
		var done *order
		if done, err = s.finish(ctx, o, steps); err == nil {
			crash.At(crash.CheckoutWalkFinished)
			return done
		}
	}
	if errors.Is(err, errFenced) {
		return nil
	}
	// The walk's own time may be what ran out, so the note is written in time of its own.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), s.Config.WalkLease-s.Config.WalkDeadline)
	defer cancel()
	s.Logger.LogAttrs(ctx, slog.LevelWarn, "walk failed", slog.String("order_id", o.ID),
		slog.Int("attempt", int(o.Attempt)), slog.Any("error", err))
	if postponeErr := s.postpone(ctx, o, steps, err, s.Clock.Now().Sub(started)); postponeErr != nil {
		// The lease runs out by itself, and the sweep takes the order up.
		s.Logger.LogAttrs(ctx, slog.LevelWarn, "walk not postponed", slog.String("order_id", o.ID),
			slog.Int("attempt", int(o.Attempt)), slog.Any("error", postponeErr))
	}
	return nil
}

// errFenced says that the attempt is not the order's any more.
var errFenced = errors.New("another walker has the order")

// steps is what the outside said in one attempt.
type steps struct {
	serials  map[string]string // pass serial by ticket id
	passTook time.Duration
	saleTook time.Duration
	passErr  error
	saleErr  error
}

// fulfilOutside makes the two calls at once. The first to fail does not stop the other: its effect is wanted anyway.
func (s *Service) fulfilOutside(ctx context.Context, o *order) (*steps, error) {
	st := &steps{}
	var g errgroup.Group
	g.Go(func() error {
		from := s.Clock.Now()
		st.serials, st.passErr = s.issuePasses(ctx, o)
		st.passTook = s.Clock.Now().Sub(from)
		crash.At(crash.CheckoutWalkIssued)
		return st.passErr
	})
	g.Go(func() error {
		from := s.Clock.Now()
		st.saleErr = s.recordSale(ctx, o)
		st.saleTook = s.Clock.Now().Sub(from)
		crash.At(crash.CheckoutWalkPosted)
		return st.saleErr
	})
	return st, g.Wait()
}

// issuePasses asks for the passes of all tickets. Twice: the same passes.
func (s *Service) issuePasses(ctx context.Context, o *order) (map[string]string, error) {
	req := &passv1.IssuePassesRequest{OrderId: o.ID}
	for _, t := range o.Tickets {
		content, err := s.passContent(o, t)
		if err != nil {
			return nil, err
		}
		req.Passes = append(req.Passes, content)
	}
	res, err := s.Passes.IssuePasses(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/issue-passes"), req)
	if err != nil {
		return nil, fmt.Errorf("issue passes: %w", err)
	}
	serials := map[string]string{}
	for _, p := range res.GetPasses() {
		serials[p.GetTicketId()] = p.GetSerial()
	}
	for _, t := range o.Tickets {
		if serials[t.ID] == "" {
			return nil, fmt.Errorf("issue passes: no pass for ticket %s", t.ID)
		}
	}
	return serials, nil
}

// errReceiptWon says that the ledger has the money as a bare receipt: the order was given up by somebody.
var errReceiptWon = errors.New("the ledger has a bare receipt instead of the sale")

// recordSale posts the sale. Twice: the same entry.
func (s *Service) recordSale(ctx context.Context, o *order) error {
	taxes, err := readTaxes(o.Taxes)
	if err != nil {
		return err
	}
	req := &ledgerv1.RecordSaleRequest{
		Capture: captureOf(o, o.paying(), *o.CaptureTime), ApplicationFeeMinorUnits: o.ApplicationFeeMinorUnits,
	}
	for _, t := range taxes {
		req.Taxes = append(req.Taxes, &ledgerv1.TaxShare{Country: t.Country, Kind: t.Kind, MinorUnits: t.MinorUnits})
	}
	res, err := s.Ledger.RecordSale(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-sale"), req)
	if err != nil {
		return fmt.Errorf("record sale: %w", err)
	}
	if res.GetEntry().GetKind() != ledgerv1.EntryKind_ENTRY_KIND_SALE {
		return errReceiptWon
	}
	return nil
}

// captureOf names captured money for the ledger.
func captureOf(o *order, p *checkoutdb.PaymentIntent, at time.Time) *ledgerv1.Capture {
	return &ledgerv1.Capture{
		OrderId: o.ID, OrganizerId: o.OrganizerID, PaymentIntentId: *p.StripeID, StripeAccount: p.StripeAccount,
		Gross: &moneyv1.Money{Currency: o.Currency, MinorUnits: p.CapturedMinorUnits}, CaptureTime: timestamppb.New(at),
	}
}

// finish is tx 2: under the order's lock it derives each ticket's state from the facts known by then, completes the
// order and inserts the jobs that follow. A ticket that was refunded meanwhile becomes void, never valid.
//
// A commit whose outcome is unknown is read back by the caller's next look at the order.
func (s *Service) finish(ctx context.Context, mine *order, st *steps) (*order, error) {
	var o *order
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		o, err = lockOrderForUpdate(ctx, tx, orderKey{ID: mine.ID})
		if err != nil {
			return err
		}
		if o.Attempt != mine.Attempt || !o.inWalk() {
			return errFenced
		}
		w := s.newWrites(o)
		now := w.now
		o.Fulfilment, o.CompleteTime = fulfilmentCompleted, &now
		for i := range o.Tickets {
			t := &o.Tickets[i]
			t.PassSerial = st.serials[t.ID]
			w.setTicketState(ctx, t, o.ticketState(*t))
		}
		o.Payment = o.derivePayment()
		o.IssuePassesMs, o.RecordSaleMs = st.passTook.Milliseconds(), st.saleTook.Milliseconds()
		must(w.q.CompleteOrder(ctx, &w.pipe, checkoutdb.CompleteOrderParams{
			ID: o.ID, Payment: o.Payment, CompleteTime: o.CompleteTime, Attempt: o.Attempt,
			IssuePassesMs: o.IssuePassesMs, RecordSaleMs: o.RecordSaleMs,
		}))
		w.enqueue(recordFeeArgs{OrderID: o.ID, PaymentIntentRow: o.paying().ID}, sendReceiptArgs{OrderID: o.ID})
		if mine.Fulfilment == fulfilmentLedgerBlocked {
			must(jobs.ResolveAlert(ctx, &w.pipe, alertBlocked, o.ID))
		}
		if err := w.flush(ctx, tx); err != nil {
			return err
		}
		crash.At(crash.CheckoutWalkWritten)
		return nil
	})
	return o, err
}

// postpone writes a failed attempt down: when to try again, and, once the order has waited for too long, that an
// operator must know. Past the deadline the order is given up.
func (s *Service) postpone(ctx context.Context, o *order, st *steps, failure error, took time.Duration) error {
	age, err := s.q.GetWalkAge(ctx, s.Pool, o.ID, o.Attempt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // completed or taken over
	}
	if err != nil {
		return fmt.Errorf("get age of the walk: %w", err)
	}
	walked := time.Duration(age.WalkedSeconds * float64(time.Second))
	if walked >= s.Config.GiveUpAfter || errors.Is(failure, errReceiptWon) {
		return s.giveUp(ctx, o.ID, o.Attempt)
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		w := s.newWrites(o)
		fulfilment := age.Fulfilment
		if walked >= s.Config.BlockedAfter {
			if st.saleErr != nil {
				fulfilment = fulfilmentLedgerBlocked
			}
			must(jobs.RaiseAlert(ctx, &w.pipe, alertBlocked, o.ID, blockedFacts(o, st), s.orderLink(o.ID)))
		}
		_, err := s.q.PostponeOrder(ctx, tx, checkoutdb.PostponeOrderParams{
			ID: o.ID, Attempt: o.Attempt, Fulfilment: fulfilment, LastError: publicError(failure),
			BackoffSeconds: s.backoff(o.Attempt, failure).Seconds(),
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("postpone order: %w", err)
		}
		w.noteAttempt(ctx, "walk_failed", took, publicError(failure), "")
		return w.flush(ctx, tx)
	})
}

// backoff is the wait before the next attempt: exponential with full jitter above its lower bound, and never shorter
// than what a dependency asked for.
func (s *Service) backoff(attempt int32, failure error) time.Duration {
	wait := s.Config.BackoffMax
	if attempt < 16 { // 2^16 times any lower bound is above the upper one
		wait = min(wait, s.Config.BackoffMin<<attempt)
	}
	wait = s.Config.BackoffMin + rand.N(wait)
	if d, ok := errors.AsType[*problem.Downstream](failure); ok {
		wait = max(wait, d.RetryAfter())
	}
	return wait
}

// publicError is a failure in words that staff may read: codes and reasons, no internals.
func publicError(err error) string {
	if errors.Is(err, errReceiptWon) {
		return errReceiptWon.Error()
	}
	if d, ok := errors.AsType[*problem.Downstream](err); ok {
		return strings.TrimSpace(d.Code().String() + " " + d.Reason())
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "the attempt ran out of time"
	}
	return "the attempt failed, see the log"
}
