package webhooksvc

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// checkoutSession is what we read of Stripe's Checkout Session, the page that Stripe hosts.
type checkoutSession struct {
	ID                string    `json:"id"`
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
			"RecordPayment as payment_intent.payment_failed, and RecordSessionEnd: the hold ends unless money came.",
			"(intent, failed), session", translateSession,
		},
		{
			"checkout.session.expired", "The page lapsed without payment.",
			"RecordSessionEnd: the hold ends unless money came or is on its way.", "session", translateSession,
		},
	}
}

func translateSession(e event) (translation, error) {
	session, err := decodeObject[checkoutSession](e)
	if err != nil {
		return translation{}, err
	}
	ended := &checkoutv1.RecordSessionEndRequest{
		StripeAccount:   e.account,
		SessionId:       session.ID,
		PaymentIntentId: string(session.PaymentIntent),
		OrderId:         session.orderID(),
		ObservedTime:    timestamppb.New(e.created),
	}
	ours := named(e.account, session.orderID())
	failed := e.typ == "checkout.session.async_payment_failed"
	if e.typ == "checkout.session.expired" || failed && session.PaymentIntent == "" {
		if ended.GetOrderId() == "" && ended.GetPaymentIntentId() == "" {
			return refused(refusalNoIntent) // somebody else's page
		}
		return translation{calls: []call{{request: ended, ours: ours}}}, nil
	}
	if session.PaymentIntent == "" {
		return refused(refusalNoIntent) // nothing to pay, or a subscription
	}
	request := &checkoutv1.RecordPaymentRequest{
		StripeAccount:   e.account,
		PaymentIntentId: string(session.PaymentIntent),
		OrderId:         session.orderID(),
		Amount:          money(session.AmountTotal, session.Currency),
		Livemode:        e.livemode,
		ObservedTime:    timestamppb.New(e.created),
	}
	switch {
	case failed:
		request.Status = checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_FAILED
		request.FailureCode = failureAsync
		return translation{calls: []call{{suffix: "payment", request: request, ours: ours}, {suffix: "session", request: ended, ours: ours}}}, nil
	case e.typ == "checkout.session.async_payment_succeeded", session.PaymentStatus == "paid":
		request.Status = checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_SUCCEEDED
		request.ReceivedMinorUnits = session.AmountTotal
	case session.PaymentStatus == "unpaid":
		request.Status = checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_PROCESSING
	default:
		return refused(refusalNotPaid)
	}
	return translation{calls: []call{{request: request, ours: ours}}}, nil
}

// failureAsync is the failure that is reported of a page whose money did not come; Stripe gives no code for it.
const failureAsync = "async_payment_failed"

// orderID is the order that the page was made for.
func (s checkoutSession) orderID() string {
	if id := s.Metadata.orderID(); id != "" {
		return id
	}
	return string(s.ClientReferenceID)
}
