package webhooksvc

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// checkoutSession is what we read of Stripe's Checkout Session, the page that Stripe hosts.
type checkoutSession struct {
	AmountTotal       int64     `json:"amount_total"`
	ClientReferenceID text      `json:"client_reference_id"`
	Currency          text      `json:"currency"`
	Metadata          metadata  `json:"metadata"`
	PaymentIntent     reference `json:"payment_intent"`
	PaymentStatus     text      `json:"payment_status"`
}

func sessionHandlers() []handler {
	return []handler{
		{
			"checkout.session.completed", "The buyer finished Stripe's page; paid only if the payment status says so.",
			"RecordPayment: paid is the same fact as payment_intent.succeeded, unpaid is processing.",
			"(intent, succeeded)", translateSession,
		},
		{
			"checkout.session.async_payment_succeeded", "The money of a finished page came.",
			"RecordPayment: the same fact as payment_intent.succeeded.", "(intent, succeeded)", translateSession,
		},
		{
			"checkout.session.async_payment_failed", "The money of a finished page did not come.",
			"RecordPayment: the same fact as payment_intent.payment_failed.", "(intent, failed)", translateSession,
		},
		{
			"checkout.session.expired", "The page lapsed without payment.",
			"Stored only: the hold ends by its own expiry.", "event", nil,
		},
	}
}

func translateSession(e event) (translation, error) {
	session, err := decodeObject[checkoutSession](e)
	if err != nil {
		return translation{}, err
	}
	if session.PaymentIntent == "" {
		return refused(refusalNoIntent) // nothing to pay, or a subscription
	}
	request := &checkoutv1.RecordPaymentRequest{
		StripeAccount:   e.account,
		PaymentIntentId: string(session.PaymentIntent),
		OrderId:         session.Metadata.orderID(),
		Amount:          money(session.AmountTotal, session.Currency),
		Livemode:        e.livemode,
		ObservedTime:    timestamppb.New(e.created),
	}
	if request.GetOrderId() == "" {
		request.OrderId = string(session.ClientReferenceID)
	}
	switch {
	case e.typ == "checkout.session.async_payment_failed":
		request.Status = checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_FAILED
	case e.typ == "checkout.session.async_payment_succeeded", session.PaymentStatus == "paid":
		request.Status = checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_SUCCEEDED
		request.ReceivedMinorUnits = session.AmountTotal
	case session.PaymentStatus == "unpaid":
		request.Status = checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_PROCESSING
	default:
		return refused(refusalNotPaid)
	}
	return translated(request)
}
