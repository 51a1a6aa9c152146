package fulfilment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/dayof/dayof/checkoutsvc/booking"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/ticketpass"
	"github.com/dayof/dayof/checkoutsvc/wire"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/backoff"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// Attempt is one attempt to take an order from captured money, or from its start if it is free, to valid tickets:
//
//	issue passes  }  at once; both are idempotent by their business keys, and their requests are built from rows that
//	record sale   }  tx 1 froze, so that a repeat of this release is the same bytes
//	finish        tx 2: tickets valid, order completed, jobs
//
// It owns the lease of o.Attempt; every write compares that number, so an attempt that was overtaken changes nothing. Any
// step may run twice, at once, on two replicas. It returns the completed order, or nil when the attempt did not get there.
func (f *Fulfilment) Attempt(ctx context.Context, o order.Order) *order.Order {
	ctx, cancel := context.WithTimeout(ctx, f.Config.Deadline)
	defer cancel()
	crash.At(crash.CheckoutAttemptBegun)
	began := f.Orders.Clock.Now()
	s, err := f.takeSteps(ctx, &o)
	if err == nil {
		crash.At(crash.CheckoutAttemptFinishing)
		var done *order.Order
		if done, err = f.finish(ctx, o, s); err == nil {
			crash.At(crash.CheckoutAttemptFinished)
			f.Metrics.attempted(nil, f.Orders.Clock.Now().Sub(began))
			return done
		}
	}
	f.Metrics.attempted(err, f.Orders.Clock.Now().Sub(began))
	if errors.Is(err, order.ErrFenced) {
		return nil
	}
	// The attempt's own time may be what ran out, so the failure is written in time of its own.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), f.Config.Lease-f.Config.Deadline)
	defer cancel()
	f.Logger.LogAttrs(ctx, slog.LevelWarn, "fulfilment attempt failed", slog.String("order_id", o.ID),
		slog.Int("attempt", int(o.Attempt)), slog.Any("error", err))
	if err := f.postpone(ctx, o, s, err, f.Orders.Clock.Now().Sub(began)); err != nil {
		// The lease runs out by itself, and the sweep takes the order up.
		f.Logger.LogAttrs(ctx, slog.LevelWarn, "failed attempt not recorded", slog.String("order_id", o.ID),
			slog.Int("attempt", int(o.Attempt)), slog.Any("error", err))
	}
	return nil
}

// steps is what passsvc and ledgersvc answered in one attempt.
type steps struct {
	serials  map[string]string // pass serial by ticket id
	passTook time.Duration
	saleTook time.Duration
	// feePosted says that Stripe's fee was posted with the sale.
	feePosted bool
	passErr   error
	saleErr   error
}

// takeSteps makes the two calls at once. The first to fail does not stop the other: its effect is wanted anyway.
func (f *Fulfilment) takeSteps(ctx context.Context, o *order.Order) (*steps, error) {
	s := &steps{}
	var g errgroup.Group
	g.Go(func() error {
		from := f.Orders.Clock.Now()
		s.serials, s.passErr = f.issuePasses(ctx, o)
		s.passTook = f.Orders.Clock.Now().Sub(from)
		crash.At(crash.CheckoutAttemptIssued)
		return s.passErr
	})
	g.Go(func() error {
		from := f.Orders.Clock.Now()
		s.feePosted, s.saleErr = f.recordSale(ctx, o)
		s.saleTook = f.Orders.Clock.Now().Sub(from)
		crash.At(crash.CheckoutAttemptPosted)
		return s.saleErr
	})
	return s, g.Wait()
}

// issuePasses asks for the passes of all tickets. Idempotent: the second time the same passes are returned.
func (f *Fulfilment) issuePasses(ctx context.Context, o *order.Order) (map[string]string, error) {
	req := &passv1.IssuePassesRequest{OrderId: o.ID}
	for _, t := range o.Tickets {
		content, err := ticketpass.Content(o, t, f.Codes)
		if err != nil {
			return nil, err
		}
		req.Passes = append(req.Passes, content)
	}
	key, err := ticketpass.IssueKey("order/"+o.ID+"/issue-passes", req)
	if err != nil {
		return nil, err
	}
	res, err := f.Passes.IssuePasses(rpc.WithIdempotencyKey(ctx, key), req)
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

// recordSale posts the sale, and with it Stripe's fee where it was just observed. Idempotent: the second time it is the same entry.
func (f *Fulfilment) recordSale(ctx context.Context, o *order.Order) (feePosted bool, err error) {
	p := o.Paying()
	req := &ledgerv1.RecordSaleRequest{}
	if p == nil {
		req.FreeSale = booking.FreeSale(o)
	} else {
		req.Capture, req.ApplicationFeeMinorUnits, req.Taxes = booking.Capture(o, p, *o.CaptureTime), o.ApplicationFeeMinorUnits, booking.TaxesToProto(o.Taxes)
	}
	if p != nil && p.Fee != nil {
		req.StripeFee = booking.StripeFee(o, p, p.BalanceTransactionID, wire.MoneyToProto(p.Currency, p.Fee.MinorUnits), p.Fee.Time)
	}
	res, err := f.Ledger.RecordSale(rpc.WithIdempotencyKey(ctx, "order/"+o.ID+"/record-sale"), req)
	if err != nil {
		return false, fmt.Errorf("record sale: %w", err)
	}
	if res.GetEntry().GetKind() != ledgerv1.EntryKind_ENTRY_KIND_SALE {
		return false, errReceiptWon
	}
	return res.GetStripeFeePosted(), nil
}

// finish is tx 2: it completes the order. A commit whose outcome is unknown is read back by the caller's next load of the
// order.
func (f *Fulfilment) finish(ctx context.Context, mine order.Order, s *steps) (*order.Order, error) {
	var o order.Order
	err := pgx.BeginFunc(ctx, f.Orders.Pool, func(tx pgx.Tx) (err error) {
		o, _, err = f.Orders.ObserveTx(ctx, tx, orderstore.Key{ID: mine.ID}, nil, order.AttemptSucceeded{
			Attempt: mine.Attempt, PassSerials: s.serials, PassesTook: s.passTook, SaleTook: s.saleTook, FeePosted: s.feePosted,
		})
		if err == nil {
			crash.At(crash.CheckoutAttemptWritten)
		}
		return err
	})
	return &o, err
}

// postpone writes a failed attempt down.
func (f *Fulfilment) postpone(ctx context.Context, o order.Order, s *steps, failure error, took time.Duration) error {
	_, _, err := f.Orders.Observe(ctx, orderstore.Key{ID: o.ID}, nil, order.AttemptFailed{
		Attempt: o.Attempt, Failure: publicError(failure), PassFailure: publicError(s.passErr), SaleFailure: publicError(s.saleErr),
		ReceiptWon: errors.Is(failure, errReceiptWon), Took: took, Backoff: f.backoff(o.Attempt, failure), RetryAfter: max(retryAfter(failure), retryAfter(s.passErr), retryAfter(s.saleErr)),
	})
	return err
}

// backoff is the wait before the next attempt: exponential with full jitter above its lower bound, and never shorter
// than what a dependency asked for.
func (f *Fulfilment) backoff(number int32, failure error) time.Duration {
	wait := f.Config.BackoffMin + backoff.Full(2*f.Config.BackoffMin, f.Config.BackoffMax).Delay(int(number))
	return max(wait, retryAfter(failure))
}

// retryAfter is the wait that a dependency asked for.
func retryAfter(failure error) time.Duration {
	if d, ok := errors.AsType[*problem.Downstream](failure); ok {
		return d.RetryAfter()
	}
	return 0
}

// publicError is a failure in words that staff may read: codes and reasons, no internals; empty for none.
func publicError(err error) string {
	if err == nil {
		return ""
	}
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
