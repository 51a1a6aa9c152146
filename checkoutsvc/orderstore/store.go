// Package orderstore loads and saves orders. It holds all SQL of an order (load.go, save.go, writes.go), and the one way in which facts
// reach it: lock, load, order.Observe, save, and have the work that follows queued, in one transaction.
package orderstore

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// Store loads and saves orders. All fields are required.
type Store struct {
	Pool   *pgxpool.Pool
	Clock  clock.Clock
	Policy order.Policy
	// Enqueue inserts the jobs that do orders' work, in the transaction of the rows that it follows from.
	Enqueue func(ctx context.Context, tx pgx.Tx, tasks ...Task) error
	// Link leads to an order in the console.
	Link func(orderID string) string

	q checkoutdb.Queries
}

// Key finds an order: by our id, or by an intent at Stripe, which wins when both are given.
type Key struct {
	ID            string
	StripeAccount string
	StripeID      string
}

// ErrNotFound is what looking for an order that does not exist ends in.
var ErrNotFound = problem.New(connect.CodeNotFound, problem.ReasonOf(checkoutv1.Reason_REASON_ORDER_NOT_FOUND),
	"there is no such order, or the token does not open it")

// Observe has a fact observed by the order of a key, in a transaction of its own, and returns the order as it is then.
//
// With a fingerprint the key of the incoming call is claimed in the same transaction; a nil one is for our own
// observations, which have no key: facts merge anyway. Idempotent: the second time nothing changes.
//
// Problems: ORDER_NOT_FOUND, IDEMPOTENCY_KEY_REUSED, and the reasons of the fact. order.ErrUnknownIntent and
// order.ErrFenced are returned as they are.
func (s *Store) Observe(ctx context.Context, key Key, fingerprint []byte, f order.Fact) (o order.Order, c order.Changes, err error) {
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		o, c, err = s.ObserveTx(ctx, tx, key, fingerprint, f)
		return err
	})
	return o, c, err
}

// ObserveReport is Observe for what several report of one fact, as Stripe's events do: one that the order knows costs one read, takes no
// lock and leaves no key. A repeat with the key finds out the same.
func (s *Store) ObserveReport(ctx context.Context, key Key, fingerprint []byte, f order.Fact) (order.Order, order.Changes, error) {
	o, c, known, err := s.observeKnown(ctx, key, fingerprint, f)
	if known || err != nil {
		return o, c, err
	}
	return s.Observe(ctx, key, fingerprint, f)
}

// observeKnown has an order observe a fact without its lock, and says whether that changes nothing. Facts never become unknown, so
// whoever changes the order meanwhile changes nothing about that.
func (s *Store) observeKnown(ctx context.Context, key Key, fingerprint []byte, f order.Fact) (o order.Order, c order.Changes, known bool, err error) {
	var b pgx.Batch
	if err := idem.QueueCheck(ctx, &b, fingerprint); err != nil {
		return o, c, false, err
	}
	if o, err = loadBehind(ctx, s.Pool, &b, key); err != nil {
		return o, c, false, err
	}
	now := s.Clock.Now()
	if order.WantsStock(o, f, s.Policy, now) {
		return o, c, false, nil
	}
	o, c, err = order.Observe(o, f, s.Policy, now)
	return o, c, err == nil && c.None(), nil
}

// ObserveTx is Observe in the caller's transaction, which holds the order's lock then.
func (s *Store) ObserveTx(ctx context.Context, tx pgx.Tx, key Key, fingerprint []byte, f order.Fact) (order.Order, order.Changes, error) {
	before, err := load(ctx, tx, key, lockOrderSQL)
	if err != nil {
		return before, order.Changes{}, err
	}
	w := s.newWrites(s.Clock.Now())
	if fingerprint != nil {
		if _, err := idem.QueueClaim(ctx, w.pipeline.Batch(), w.now, fingerprint, before.ID); err != nil {
			return before, order.Changes{}, err
		}
	}
	o, c, err := s.observe(ctx, tx, w, before, f)
	if err != nil {
		return o, c, err
	}
	return o, c, w.flush(ctx, tx)
}

// Read loads an order without locking it.
//
// Problems: ORDER_NOT_FOUND.
func (s *Store) Read(ctx context.Context, key Key) (order.Order, error) {
	return load(ctx, s.Pool, key)
}

// ReadAll loads orders without locking them, in one statement, the newest first. Ids that are no order's are passed over.
func (s *Store) ReadAll(ctx context.Context, ids []string) ([]order.Order, error) {
	return loadAll(ctx, s.Pool, ids)
}

// ReadTicket loads a ticket alone.
//
// Problems: ORDER_NOT_FOUND.
func (s *Store) ReadTicket(ctx context.Context, id string) (order.Ticket, error) {
	row, err := s.q.GetTicket(ctx, s.Pool, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return order.Ticket{}, ErrNotFound
	}
	if err != nil {
		return order.Ticket{}, fmt.Errorf("get ticket: %w", err)
	}
	return ticketFromRow(row), nil
}

// PassShowsUsed says whether the passes of an event show that they were used.
func (s *Store) PassShowsUsed(ctx context.Context, eventID string) (bool, error) {
	policy, err := s.q.GetDoorPolicy(ctx, s.Pool, eventID)
	if err != nil {
		return false, fmt.Errorf("get door policy: %w", err)
	}
	return policy.PassShowsUsed, nil
}

// ReadRefund loads the order of a refund, with the refund and the intent whose money goes back.
func (s *Store) ReadRefund(ctx context.Context, refundID string) (order.Order, *order.Refund, *order.PaymentIntent, error) {
	orderID, err := s.q.FindOrderOfRefund(ctx, s.Pool, "", refundID)
	if err != nil {
		return order.Order{}, nil, nil, fmt.Errorf("find order of refund %s: %w", refundID, err)
	}
	o, err := s.Read(ctx, Key{ID: orderID})
	if err != nil {
		return o, nil, nil, err
	}
	r := o.Refund(refundID)
	p := o.IntentByStripeID(r.PaymentIntent)
	if p == nil {
		return o, nil, nil, fmt.Errorf("refund %s is of an intent that order %s does not have", refundID, o.ID)
	}
	return o, r, p, nil
}

// codes are the codes of refusals.
var codes = map[order.Reason]connect.Code{
	order.ReasonInvalidField:           connect.CodeInvalidArgument,
	order.ReasonEventNotOnSale:         connect.CodeFailedPrecondition,
	order.ReasonVariantNotFound:        connect.CodeNotFound,
	order.ReasonEventCanceled:          connect.CodeFailedPrecondition,
	order.ReasonSaleNotOpen:            connect.CodeFailedPrecondition,
	order.ReasonOrganizerCannotSell:    connect.CodeFailedPrecondition,
	order.ReasonOrderTicketLimit:       connect.CodeResourceExhausted,
	order.ReasonBuyerTicketLimit:       connect.CodeResourceExhausted,
	order.ReasonOpenHoldsLimit:         connect.CodeResourceExhausted,
	order.ReasonBuyerHoldLimit:         connect.CodeResourceExhausted,
	order.ReasonPaymentUnderWay:        connect.CodeFailedPrecondition,
	order.ReasonOrderAlreadyPaid:       connect.CodeFailedPrecondition,
	order.ReasonCurrencyMismatch:       connect.CodeInvalidArgument,
	order.ReasonTotalChanged:           connect.CodeFailedPrecondition,
	order.ReasonOrderNotPaid:           connect.CodeFailedPrecondition,
	order.ReasonOrderDisputed:          connect.CodeFailedPrecondition,
	order.ReasonTicketNotFound:         connect.CodeNotFound,
	order.ReasonPaymentIntentNotFound:  connect.CodeNotFound,
	order.ReasonPaymentNotAcceptable:   connect.CodeFailedPrecondition,
	order.ReasonSoldOut:                connect.CodeResourceExhausted,
	order.ReasonSeatNotFound:           connect.CodeNotFound,
	order.ReasonSeatTaken:              connect.CodeResourceExhausted,
	order.ReasonTicketVoid:             connect.CodeFailedPrecondition,
	order.ReasonTicketNotValid:         connect.CodeFailedPrecondition,
	order.ReasonRefundExceedsPrice:     connect.CodeFailedPrecondition,
	order.ReasonRefundExceedsCaptured:  connect.CodeFailedPrecondition,
	order.ReasonBuyerRefundClosed:      connect.CodeFailedPrecondition,
	order.ReasonRefundKeepsAll:         connect.CodeFailedPrecondition,
	order.ReasonEventEnded:             connect.CodeFailedPrecondition,
	order.ReasonTransferNotFound:       connect.CodeNotFound,
	order.ReasonTransferNotAllowed:     connect.CodeFailedPrecondition,
	order.ReasonTransferPending:        connect.CodeFailedPrecondition,
	order.ReasonTransferLimit:          connect.CodeResourceExhausted,
	order.ReasonTransferEnded:          connect.CodeFailedPrecondition,
	order.ReasonReissueLimit:           connect.CodeResourceExhausted,
	order.ReasonOrderNotCompleted:      connect.CodeFailedPrecondition,
	order.ReasonBuyerCorrectionLimit:   connect.CodeResourceExhausted,
	order.ReasonHolderFixed:            connect.CodeFailedPrecondition,
	order.ReasonTicketNotFree:          connect.CodeFailedPrecondition,
	order.ReasonPromotionNotFound:      connect.CodeNotFound,
	order.ReasonPromotionNotActive:     connect.CodeFailedPrecondition,
	order.ReasonPromotionUsedUp:        connect.CodeResourceExhausted,
	order.ReasonPromotionNotApplicable: connect.CodeFailedPrecondition,
	order.ReasonPromotionRequired:      connect.CodeFailedPrecondition,
}

// ToProblem turns what an order refuses into the problem that the caller gets.
func ToProblem(err error) error {
	if errors.Is(err, order.ErrNoOrder) {
		return ErrNotFound
	}
	if r, ok := errors.AsType[*order.Refusal](err); ok {
		if r.Field != "" {
			return problem.InvalidField(r.Field, r.Detail)
		}
		p := problem.New(codes[r.Reason], string(r.Reason), r.Detail)
		for _, f := range r.Fields {
			p.Fields = append(p.Fields, problem.Field{Path: f.Path, Description: f.Detail})
		}
		return p
	}
	return err
}
