package checkoutsvc

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// refundSeen is what somebody saw of a refund: a webhook, or we ourselves.
type refundSeen struct {
	Account     string
	IntentID    string
	OrderID     string // of the metadata; empty when there is none
	RefundID    string // ours, of the metadata; empty when it was made elsewhere
	StripeID    string
	State       string
	Currency    string
	Amount      int64
	TicketIDs   []string
	FailureCode string
	Time        time.Time
}

// seenRefund turns Stripe's refund into what was seen of it.
func seenRefund(r *stripe.Refund, account string) refundSeen {
	seen := refundSeen{
		Account: account, OrderID: r.Metadata["order_id"], RefundID: r.Metadata["refund_id"], StripeID: r.ID, State: string(r.Status),
		Currency: strings.ToUpper(string(r.Currency)), Amount: r.Amount, FailureCode: string(r.FailureReason),
		Time: time.Unix(r.Created, 0).UTC(),
	}
	if r.PaymentIntent != nil {
		seen.IntentID = r.PaymentIntent.ID
	}
	if _, known := refundRank[seen.State]; !known {
		seen.State = refundPending // requires_action: the buyer must tell where to
	}
	if tickets := r.Metadata["ticket_ids"]; tickets != "" {
		seen.TicketIDs = strings.Split(tickets, ",")
	}
	return seen
}

// RecordRefund implements PaymentService.
func (s *Service) RecordRefund(ctx context.Context, req *checkoutv1.RecordRefundRequest) (*checkoutv1.RecordRefundResponse, error) {
	seen := refundSeen{
		Account: req.GetStripeAccount(), IntentID: req.GetPaymentIntentId(), OrderID: req.GetOrderId(), RefundID: req.GetRefundId(),
		StripeID: req.GetStripeRefundId(), State: refundStateFromProto[req.GetState()],
		Currency: req.GetAmount().GetCurrency(), Amount: req.GetAmount().GetMinorUnits(),
		TicketIDs: req.GetTicketIds(), FailureCode: req.GetFailureCode(), Time: req.GetRefundTime().AsTime(),
	}
	fingerprint := idem.Fingerprint(1, seen.Account, seen.IntentID, seen.OrderID, seen.RefundID, seen.StripeID, seen.State,
		seen.Currency, seen.Amount, seen.TicketIDs, seen.FailureCode, seen.Time)
	o, r, err := s.mergeRefundSeen(ctx, seen, fingerprint)
	if err != nil {
		return nil, err
	}
	return &checkoutv1.RecordRefundResponse{OrderId: o.ID, PaymentState: paymentToProto[o.Payment], RefundId: r.ID}, nil
}

// mergeSeenRefund is RecordRefund for what we saw ourselves.
func (s *Service) mergeSeenRefund(ctx context.Context, seen refundSeen) error {
	_, _, err := s.mergeRefundSeen(ctx, seen, nil)
	return err
}

// mergeRefundSeen merges what was seen under the order's lock, brings payment, tickets and passes to what follows, and
// has the books follow. An order that is not paid yet keeps the fact: refunds may be told before the payment.
func (s *Service) mergeRefundSeen(ctx context.Context, seen refundSeen, fingerprint []byte) (*order, *checkoutdb.Refund, error) {
	key, err := s.orderOfRefund(ctx, seen)
	if err != nil {
		return nil, nil, err
	}
	var o *order
	var r *checkoutdb.Refund
	err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
		if o, err = lockOrderForUpdate(ctx, tx, key); err != nil {
			return err
		}
		w := s.newWrites(o)
		if fingerprint != nil {
			if _, err := idem.QueueClaim(ctx, w.pipe.Batch(), w.now, fingerprint, o.ID); err != nil {
				return err
			}
		}
		r, err = w.applyRefund(ctx, seen)
		if err != nil {
			return err
		}
		w.setPayment(ctx)
		w.settleTickets(ctx)
		return w.flush(ctx, tx)
	})
	return o, r, err
}

// orderOfRefund finds the order: by the refund's row, else by its intent or the metadata's order id.
func (s *Service) orderOfRefund(ctx context.Context, seen refundSeen) (orderKey, error) {
	id, err := s.q.FindOrderOfRefund(ctx, s.Pool, seen.StripeID, seen.RefundID)
	if errors.Is(err, pgx.ErrNoRows) {
		return orderKey{ID: seen.OrderID, StripeAccount: seen.Account, StripeID: seen.IntentID}, nil
	}
	if err != nil {
		return orderKey{}, fmt.Errorf("find order of refund: %w", err)
	}
	return orderKey{ID: id}, nil
}

// applyRefund merges what was seen into the refund's row, or adopts a refund that was made elsewhere.
func (w *writes) applyRefund(ctx context.Context, seen refundSeen) (*checkoutdb.Refund, error) {
	o := w.order
	stripeID, at := seen.StripeID, seen.Time
	facts := checkoutdb.Refund{
		StripeRefundID: &stripeID, RefundTime: &at, State: seen.State, FailureCode: seen.FailureCode, TicketIds: seen.TicketIDs,
	}
	i := slices.IndexFunc(o.Refunds, func(r checkoutdb.Refund) bool {
		return r.StripeRefundID != nil && *r.StripeRefundID == seen.StripeID || r.StripeRefundID == nil && r.ID == seen.RefundID
	})
	if i < 0 {
		if seen.IntentID == "" {
			return nil, errNoOrder
		}
		fee, taxes := int64(0), []taxShare(nil)
		if o.PayingIntent == nil || *o.PayingIntent == seen.IntentID {
			var err error
			if fee, taxes, err = o.refundShares(seen.Amount, w.s.Config.RefundApplicationFee); err != nil {
				return nil, err
			}
		}
		w.insertRefund(ctx, checkoutdb.Refund{
			ID: newID(), OrderID: o.ID, PaymentIntent: seen.IntentID, StripeRefundID: &stripeID, AmountMinorUnits: seen.Amount,
			ApplicationFeeMinorUnits: fee, Taxes: writeTaxes(taxes),
			Currency: seen.Currency, State: seen.State, Reason: refundExternal, TicketIds: seen.TicketIDs,
			FailureCode: seen.FailureCode, RefundTime: &at, CreateTime: w.now,
		})
		i = len(o.Refunds) - 1
		w.refundMoved(ctx, &o.Refunds[i], "")
		return &o.Refunds[i], nil
	}
	r := &o.Refunds[i]
	before := r.State
	merged := mergeRefund(*r, facts)
	if merged.State != r.State || merged.StripeRefundID != r.StripeRefundID || merged.FailureCode != r.FailureCode || len(merged.TicketIds) != len(r.TicketIds) {
		*r = merged
		w.setRefund(ctx, r)
		w.refundMoved(ctx, r, before)
	}
	return r, nil
}

// refundMoved has the books follow a refund's new state, and a person look at one that failed after it was sent.
func (w *writes) refundMoved(ctx context.Context, r *checkoutdb.Refund, before string) {
	w.enqueue(postRefundArgs{RefundID: r.ID})
	if r.State == before {
		return
	}
	w.note(ctx, "refund_"+r.State, *r.StripeRefundID)
	if r.State == refundFailed {
		w.raise(ctx, reviewCase{
			Kind: "refund_failed", Subject: r.ID, Intent: r.PaymentIntent,
			Facts:  map[string]string{"stripe_refund_id": *r.StripeRefundID, "failure_code": r.FailureCode},
			Action: "The money came back to us. Ask the buyer for another way to pay it out. Tickets stay void; issue new ones if they are wanted.",
		})
	}
}

// refundShares says what of a refund the platform's fee and the taxes bear: taxes pro rata, the fee pro rata if the
// platform gives it back at all. Rounded down, so that the organiser never gets back more than the rest.
func (o *order) refundShares(amount int64, withFee bool) (int64, []taxShare, error) {
	sold, err := readTaxes(o.Taxes)
	if err != nil {
		return 0, nil, err
	}
	var fee int64
	if withFee {
		fee = proRata(o.ApplicationFeeMinorUnits, amount, o.TotalMinorUnits)
	}
	var taxes []taxShare
	for _, t := range sold {
		if t.MinorUnits = proRata(t.MinorUnits, amount, o.TotalMinorUnits); t.MinorUnits > 0 {
			taxes = append(taxes, t)
		}
	}
	return fee, taxes, nil
}

// proRata is share * part / whole, rounded down, without overflow.
func proRata(share, part, whole int64) int64 {
	n := new(big.Int).Mul(big.NewInt(share), big.NewInt(min(part, whole)))
	return n.Quo(n, big.NewInt(whole)).Int64()
}

// compareRefunds looks at a charge's cumulative refunded sum, which posts no money by itself: when it is above the sum
// of the refunds we know, Stripe is asked for all of them.
func (s *Service) compareRefunds(ctx context.Context, o *order, ob observation, cumulative int64) error {
	var known int64
	for _, r := range o.Refunds {
		if r.PaymentIntent == ob.IntentID && refundMoved(r.State) {
			known += r.AmountMinorUnits
		}
	}
	released := int64(0)
	if ob.captured() {
		released = ob.AmountMinorUnits - ob.ReceivedMinorUnits // the rest of a partial capture is no customer's money
	}
	if !ob.captured() || cumulative-released <= known {
		return nil
	}
	return s.mergeRefunds(ctx, ob.Account, ob.IntentID)
}

// mergeRefunds asks Stripe for all refunds of an intent and merges them.
func (s *Service) mergeRefunds(ctx context.Context, account, intentID string) error {
	refunds, err := s.stripe.listRefunds(ctx, account, intentID)
	if err != nil {
		return stripeProblem(fmt.Errorf("list refunds: %w", err))
	}
	for _, r := range refunds {
		if err := s.mergeSeenRefund(ctx, seenRefund(r, account)); err != nil {
			return err
		}
	}
	return nil
}
