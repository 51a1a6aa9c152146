package webhooksvc

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// fraudWarning is what we read of Stripe's EarlyFraudWarning.
type fraudWarning struct {
	ID            string    `json:"id"`
	Actionable    *bool     `json:"actionable"`
	Charge        reference `json:"charge"`
	FraudType     text      `json:"fraud_type"`
	PaymentIntent reference `json:"payment_intent"`
}

// review is what we read of Stripe's Review.
type review struct {
	ID            string    `json:"id"`
	Charge        reference `json:"charge"`
	ClosedReason  text      `json:"closed_reason"`
	Open          bool      `json:"open"`
	PaymentIntent reference `json:"payment_intent"`
}

func riskHandlers() []handler {
	const warning = "RecordFraudWarning: a review case; by policy an actionable one refunds what is not used before the event begins."
	return []handler{
		{"radar.early_fraud_warning.created", "The card's issuer suspects fraud.", warning, "warning", translateFraudWarning},
		{"radar.early_fraud_warning.updated", "A fraud warning changed: mostly it can no longer be acted on.", warning, "(warning, not actionable)", translateFraudWarning},
		{
			"review.opened", "A payment waits for a manual review.",
			"RecordReview: by policy the tickets are held back while it is open.", "(review, open)", translateReview,
		},
		{
			"review.closed", "A manual review ended. May come before opened.",
			"RecordReview: lifts what it held back; one that ended in a refund waits for the refund to be reported.", "(review, closed)", translateReview,
		},
	}
}

func translateFraudWarning(e event) (translation, error) {
	w, err := decodeObject[fraudWarning](e)
	if err != nil {
		return translation{}, err
	}
	if w.PaymentIntent == "" && w.Charge == "" {
		return refused(refusalNoCharge)
	}
	request := &checkoutv1.RecordFraudWarningRequest{
		StripeAccount:   e.account,
		FraudWarningId:  w.ID,
		PaymentIntentId: string(w.PaymentIntent),
		ChargeId:        string(w.Charge),
		Actionable:      w.Actionable != nil && *w.Actionable, // unknown is no ground to refund somebody
		FraudType:       string(w.FraudType),
		ObservedTime:    timestamppb.New(e.created),
	}
	return translation{calls: []call{{
		request: request, prepare: intentOfCharge(e.account, w.Charge, &request.PaymentIntentId),
		ours: ofOurs(e.account, "", w.Charge, w.PaymentIntent),
	}}}, nil
}

func translateReview(e event) (translation, error) {
	r, err := decodeObject[review](e)
	if err != nil {
		return translation{}, err
	}
	if r.PaymentIntent == "" && r.Charge == "" {
		return refused(refusalNoCharge)
	}
	request := &checkoutv1.RecordReviewRequest{
		StripeAccount:   e.account,
		ReviewId:        r.ID,
		PaymentIntentId: string(r.PaymentIntent),
		ChargeId:        string(r.Charge),
		Open:            r.Open && e.typ != "review.closed",
		ClosedReason:    string(r.ClosedReason),
		ObservedTime:    timestamppb.New(e.created),
	}
	return translation{calls: []call{{
		request: request, prepare: intentOfCharge(e.account, r.Charge, &request.PaymentIntentId),
		ours: ofOurs(e.account, "", r.Charge, r.PaymentIntent),
	}}}, nil
}

// intentOfCharge finds the intent of a charge where the object names only that. A charge that Stripe does not show us
// leaves it open: the receiver may know the charge.
func intentOfCharge(account string, chargeID reference, intent *string) func(ctx context.Context, l lookups) error {
	if *intent != "" || chargeID == "" {
		return nil
	}
	return func(ctx context.Context, l lookups) error {
		c, err := l.charge(ctx, account, string(chargeID))
		if errors.Is(err, errNotAtStripe) || errors.Is(err, errNoStripeKey) {
			return nil
		}
		*intent = string(c.PaymentIntent)
		return err
	}
}
