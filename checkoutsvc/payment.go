package checkoutsvc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// The states of an order's payment.
const (
	paymentAwaiting          = "awaiting_payment"
	paymentProcessing        = "processing"
	paymentAuthorized        = "authorized"
	paymentPaid              = "paid"
	paymentPartiallyRefunded = "partially_refunded"
	paymentRefunded          = "refunded"
	paymentDisputed          = "disputed"
	paymentChargedBack       = "charged_back"
	paymentCanceled          = "canceled"
	paymentExpired           = "expired"
	paymentFailed            = "failed"
)

// captured and refunded are the sums of the paying intent; money of a duplicate payment never counts.
func (o *order) captured() int64 {
	if p := o.paying(); p != nil {
		return p.CapturedMinorUnits
	}
	return 0
}

func (o *order) refunded() int64 {
	var sum int64
	for _, r := range o.Refunds {
		if o.PayingIntent != nil && r.PaymentIntent == *o.PayingIntent && refundMoved(r.State) {
			sum += r.AmountMinorUnits
		}
	}
	return sum
}

// derivePayment derives the payment state from the facts; the first rule that holds decides.
// Source: specs of Stripe events, "state machine".
func (o *order) derivePayment() string {
	captured, refunded := o.captured(), o.refunded()
	current := o.Intents[len(o.Intents)-1]
	switch {
	case o.disputeLost():
		return paymentChargedBack
	case o.disputeOpen():
		return paymentDisputed
	case captured > 0 && refunded >= captured:
		return paymentRefunded
	case refunded > 0:
		return paymentPartiallyRefunded
	case captured >= o.TotalMinorUnits:
		return paymentPaid
	case o.anyIntent(intentRequiresCapture):
		return paymentAuthorized
	case o.anyIntent(intentProcessing):
		return paymentProcessing
	case o.Hold.State == holdActive:
		return paymentAwaiting
	case o.Hold.State == holdExpired && current.FailureCode != "":
		return paymentFailed
	case o.Hold.State == holdExpired:
		return paymentExpired
	default:
		return paymentCanceled
	}
}

func (o *order) anyIntent(status string) bool {
	return slices.ContainsFunc(o.Intents, func(p checkoutdb.PaymentIntent) bool { return p.Status == status })
}

// RecordPayment implements PaymentService.
func (s *Service) RecordPayment(ctx context.Context, req *checkoutv1.RecordPaymentRequest) (*checkoutv1.RecordPaymentResponse, error) {
	ob := observation{
		Account:  req.GetStripeAccount(),
		IntentID: req.GetPaymentIntentId(),
		OrderID:  req.GetOrderId(),
		Status:   intentStatusFromProto[req.GetStatus()],
		Currency: req.GetAmount().GetCurrency(), AmountMinorUnits: req.GetAmount().GetMinorUnits(),
		ReceivedMinorUnits: req.GetReceivedMinorUnits(),
		Livemode:           req.GetLivemode(),
		Time:               req.GetObservedTime().AsTime(),
		ChargeID:           req.GetChargeId(),
		FailureCode:        req.GetFailureCode(),
	}
	o, err := s.observe(ctx, ob, ob.fingerprint())
	if err != nil {
		return nil, err
	}
	return &checkoutv1.RecordPaymentResponse{
		OrderId: o.ID, PaymentState: paymentToProto[o.Payment], FulfilmentState: fulfilmentToProto[o.Fulfilment],
	}, nil
}

// RecordCharge implements PaymentService. A captured charge is the same fact as a succeeded intent; a failed one is one
// failed attempt; any other tells nothing that the intent does not tell.
func (s *Service) RecordCharge(ctx context.Context, req *checkoutv1.RecordChargeRequest) (*checkoutv1.RecordChargeResponse, error) {
	ob := observation{
		Account:  req.GetStripeAccount(),
		IntentID: req.GetPaymentIntentId(),
		OrderID:  req.GetOrderId(),
		Status:   intentRequiresPaymentMethod,
		Currency: req.GetAmount().GetCurrency(), AmountMinorUnits: req.GetAmount().GetMinorUnits(),
		Livemode:             req.GetLivemode(),
		Time:                 req.GetObservedTime().AsTime(),
		ChargeID:             req.GetChargeId(),
		BalanceTransactionID: req.GetBalanceTransactionId(),
		FailureCode:          req.GetFailureCode(),
	}
	switch {
	case req.GetSucceeded() && req.GetCaptured():
		ob.Status, ob.ReceivedMinorUnits = intentSucceeded, req.GetCapturedMinorUnits()
	case req.GetSucceeded():
		ob.Status = intentRequiresCapture
	case req.GetFailureCode() != "":
		ob.Status = intentFailed
	}
	o, err := s.observe(ctx, ob, ob.fingerprint())
	if err != nil {
		return nil, err
	}
	if req.GetRefundedMinorUnits() > 0 {
		if err := s.compareRefunds(ctx, o, ob, req.GetRefundedMinorUnits()); err != nil {
			return nil, err
		}
	}
	return &checkoutv1.RecordChargeResponse{
		OrderId: o.ID, PaymentState: paymentToProto[o.Payment], FulfilmentState: fulfilmentToProto[o.Fulfilment],
	}, nil
}

// observe records an observation with the key of the call and, when the order is in its walk, walks it or joins the
// walk. The order is returned as it stands then.
func (s *Service) observe(ctx context.Context, ob observation, fingerprint []byte) (*order, error) {
	o, started, err := s.record(ctx, ob, fingerprint)
	if errors.Is(err, errUnknownIntent) {
		// Our create call's answer may have been lost: ask for it again, then look once more.
		if _, err = s.linkIntents(ctx, ob.OrderID); err == nil {
			ob.adopt = true
			o, started, err = s.record(ctx, ob, fingerprint)
		}
	}
	if err != nil {
		return nil, err
	}
	if o.inWalk() {
		return s.walkOrJoin(ctx, o, started)
	}
	return o, nil
}

// errUnknownIntent says that the order is known but has an intent whose id is not, so that this one may be it.
var errUnknownIntent = errors.New("the order waits for an intent's id")

// record is tx 1 of an order's walk: under the order's lock it merges the observation, decides what follows, and writes
// both in one flush. started says that this call began the walk and so has the lease of attempt 1.
//
// A nil fingerprint is for our own observations, which have no key: the facts merge anyway.
//
// Running it twice: the second finds the facts merged and the intent set, and changes nothing.
func (s *Service) record(ctx context.Context, ob observation, fingerprint []byte) (o *order, started bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		started = false
		o, err = lockOrderForUpdate(ctx, tx, orderKey{ID: ob.OrderID, StripeAccount: ob.Account, StripeID: ob.IntentID})
		if err != nil {
			return err
		}
		w := s.newWrites(o)
		if fingerprint != nil {
			if _, err := idem.QueueClaim(ctx, w.pipe.Batch(), w.now, fingerprint, o.ID); err != nil {
				return err
			}
		}
		p, err := s.mergeObservation(ctx, w, ob)
		if err != nil {
			return err
		}
		if p.Succeeded && ob.captured() {
			started, err = s.acceptMoney(ctx, tx, w, p, ob)
			if err != nil {
				return err
			}
		}
		s.endWithoutMoney(ctx, w, p)
		w.setPayment(ctx)
		return w.flush(ctx, tx)
	})
	return o, started, err
}

// mergeObservation writes the merged facts of the observed intent and returns them.
func (s *Service) mergeObservation(ctx context.Context, w *writes, ob observation) (*checkoutdb.PaymentIntent, error) {
	p := w.order.intent(ob.Account, ob.IntentID)
	if p == nil {
		waiting := slices.ContainsFunc(w.order.Intents, func(p checkoutdb.PaymentIntent) bool { return p.StripeID == nil })
		if waiting && !ob.adopt {
			return nil, errUnknownIntent
		}
		p = s.adoptIntent(ctx, w, ob)
	}
	merged := mergeIntent(*p, ob)
	feeKnown := merged.BalanceTransactionID != "" && p.BalanceTransactionID == ""
	changed := merged != *p
	*p = merged
	if changed {
		w.setIntent(ctx, p)
	}
	if feeKnown && w.order.settled() { // otherwise the end of the walk asks for the fee
		w.enqueue(recordFeeArgs{OrderID: w.order.ID, PaymentIntentRow: p.ID})
	}
	if p.Succeeded && p.Canceled {
		w.raise(ctx, reviewCase{
			Kind: "succeeded_and_canceled", Subject: ob.IntentID, Intent: ob.IntentID,
			Action: "Look at the payment intent in Stripe: it was told to be both captured and canceled. The capture counts.",
		})
	}
	return p, nil
}

// adoptIntent adds an intent to the order that we did not make ourselves, such as one made in Stripe's dashboard with
// the order's id. It can pay like any other: what counts is that the money fits.
func (s *Service) adoptIntent(ctx context.Context, w *writes, ob observation) *checkoutdb.PaymentIntent {
	last := w.order.Intents[len(w.order.Intents)-1]
	stripeID := ob.IntentID
	w.order.Intents = append(w.order.Intents, checkoutdb.PaymentIntent{
		ID: newID(), OrderID: w.order.ID, Number: last.Number + 1, StripeAccount: ob.Account, StripeID: &stripeID,
		Currency: ob.Currency, AmountMinorUnits: ob.AmountMinorUnits,
		Status: intentRequiresPaymentMethod, StatusTime: zeroTime, CreateTime: w.now,
	})
	p := &w.order.Intents[len(w.order.Intents)-1]
	w.insertIntent(ctx, p)
	return p
}

// acceptMoney decides what captured money buys. It reports whether a walk begins.
//
//	already the paying intent      nothing
//	does not fit the order         nothing; a review case
//	another intent paid            duplicate: receipt and refund
//	hold alive                     tickets
//	hold gone, stock left          tickets
//	hold gone, stock gone          unfulfillable: receipt and refund
func (s *Service) acceptMoney(ctx context.Context, tx pgx.Tx, w *writes, p *checkoutdb.PaymentIntent, ob observation) (bool, error) {
	o := w.order
	if mismatch := s.intentMismatch(o, *p, ob); mismatch != "" {
		if p.Mismatch == "" && (o.PayingIntent == nil || *o.PayingIntent != ob.IntentID) {
			p.Mismatch = mismatch
			w.setIntent(ctx, p)
		}
		w.raise(ctx, reviewCase{
			Kind: "payment_mismatch", Subject: ob.IntentID + "/" + mismatch, Intent: ob.IntentID,
			Facts: map[string]string{
				"mismatch": mismatch, "received_minor_units": strconv.FormatInt(ob.ReceivedMinorUnits, 10), "currency": ob.Currency,
				"order_total_minor_units": strconv.FormatInt(o.TotalMinorUnits, 10), "order_currency": o.Currency,
			},
			Action: "Compare the payment with the order in Stripe, then refund it there. No ticket was issued for it.",
		})
		return false, nil
	}
	switch {
	case o.PayingIntent != nil && *o.PayingIntent == ob.IntentID:
		return false, nil
	case o.PayingIntent != nil:
		if !p.Duplicate {
			p.Duplicate = true
			p.Mismatch = ""
			w.setIntent(ctx, p)
			w.refundUnwanted(ctx, p, refundDuplicate)
			w.enqueue(recordFeeArgs{OrderID: o.ID, PaymentIntentRow: p.ID})
		}
		return false, nil
	case p.Mismatch != "":
		p.Mismatch = ""
		w.setIntent(ctx, p)
	}
	if o.Hold.State != holdActive {
		enough, err := s.retakeStock(ctx, tx, o)
		if err != nil {
			return false, err
		}
		if !enough {
			w.giveBack(ctx, p, ob.Time, refundLate)
			return false, nil
		}
	}
	w.startWalk(ctx, s, p, ob.Time)
	return true, nil
}

// endWithoutMoney releases the hold when the order's current intent was canceled and nothing was captured.
func (s *Service) endWithoutMoney(ctx context.Context, w *writes, p *checkoutdb.PaymentIntent) {
	o := w.order
	current := &o.Intents[len(o.Intents)-1]
	if p == current && p.Canceled && !p.Succeeded && o.PayingIntent == nil && o.Hold.State == holdActive {
		w.endHold(ctx, holdReleased)
	}
}

// observeOurselves records what we saw by fetching an intent; a walk that begins with it is walked here.
func (s *Service) observeOurselves(ctx context.Context, ob observation) error {
	o, started, err := s.record(ctx, ob, nil)
	if err != nil {
		return err
	}
	if started {
		s.walk(context.WithoutCancel(ctx), o)
	}
	return nil
}

// paymentProblem is what a browser is told whose claim does not hold.
func paymentProblem(reason, detail string, args ...any) error {
	return problem.New(connect.CodeFailedPrecondition, reason, fmt.Sprintf(detail, args...))
}
