package webhooksvc

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// paymentIntent is what we read of Stripe's PaymentIntent.
type paymentIntent struct {
	ID               string    `json:"id"`
	Amount           int64     `json:"amount"`
	AmountReceived   int64     `json:"amount_received"`
	Currency         text      `json:"currency"`
	LatestCharge     reference `json:"latest_charge"`
	LastPaymentError *struct {
		Charge reference `json:"charge"`
		Code   text      `json:"code"`
	} `json:"last_payment_error"`
	Metadata metadata `json:"metadata"`
	Status   text     `json:"status"`
}

func paymentHandlers() []handler {
	return []handler{
		{
			"payment_intent.created", "An intent was made, mostly by us.",
			"RecordPayment: links the intent to its order; changes no state that is further.", "event", translatePayment,
		},
		{
			"payment_intent.requires_action", "The buyer must act, as for 3-D Secure or a bank transfer.",
			"RecordPayment: the order keeps waiting.", "event", translatePayment,
		},
		{
			"payment_intent.processing", "An asynchronous debit is under way; it takes days and may fail.",
			"RecordPayment: the order is processing and keeps its hold.", "(intent, processing)", translatePayment,
		},
		{
			"payment_intent.amount_capturable_updated", "Money is reserved and waits to be captured.",
			"RecordPayment: the order is authorized.", "(intent, capturable)", translatePayment,
		},
		{
			"payment_intent.partially_funded", "A bank transfer covers a part of the amount.",
			"RecordPayment: the order keeps waiting; nothing is paid yet.", "(intent, requires action)", translatePayment,
		},
		{
			"payment_intent.succeeded", "The money is captured; final.",
			"RecordPayment: checks amount, currency and mode against the order and starts or joins its fulfilment attempt.",
			"(intent, succeeded)", translatePayment,
		},
		{
			"payment_intent.payment_failed", "One attempt to pay failed; the intent may still succeed.",
			"RecordPayment: notes the failure; the hold stays until it expires.", "(intent, failed)", translatePayment,
		},
		{
			"payment_intent.canceled", "The intent is dead; final unless it succeeded.",
			"RecordPayment: cancels the order if this is its current intent and nothing is captured.",
			"(intent, canceled)", translatePayment,
		},
	}
}

func translatePayment(e event) (translation, error) {
	intent, err := decodeObject[paymentIntent](e)
	if err != nil {
		return translation{}, err
	}
	request := &checkoutv1.RecordPaymentRequest{
		StripeAccount:      e.account,
		PaymentIntentId:    intent.ID,
		OrderId:            intent.Metadata.orderID(),
		Status:             intentStatus(e.typ, string(intent.Status)),
		Amount:             money(intent.Amount, intent.Currency),
		ReceivedMinorUnits: intent.AmountReceived,
		Livemode:           e.livemode,
		ObservedTime:       timestamppb.New(e.created),
		ChargeId:           string(intent.LatestCharge),
	}
	if failure := intent.LastPaymentError; failure != nil {
		if request.GetChargeId() == "" {
			request.ChargeId = string(failure.Charge)
		}
		if request.GetStatus() == checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_FAILED {
			request.FailureCode = string(failure.Code)
		}
	}
	return translation{calls: []call{{request: request, ours: named(e.account, intent.Metadata.orderID())}}}, nil
}

// intentStatus reads the status of the snapshot; the event's type decides where it says more, and where the status is
// one that we do not know.
func intentStatus(eventType, status string) checkoutv1.PaymentIntentStatus {
	switch eventType {
	case "payment_intent.succeeded":
		return checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_SUCCEEDED
	case "payment_intent.canceled":
		return checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_CANCELED
	case "payment_intent.payment_failed":
		return checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_FAILED
	case "payment_intent.processing":
		return checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_PROCESSING
	}
	switch status {
	case "requires_payment_method", "requires_confirmation":
		return checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_REQUIRES_PAYMENT_METHOD
	case "requires_action":
		return checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_REQUIRES_ACTION
	case "processing":
		return checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_PROCESSING
	case "requires_capture":
		return checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_REQUIRES_CAPTURE
	case "succeeded":
		return checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_SUCCEEDED
	case "canceled":
		return checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_CANCELED
	}
	switch eventType {
	case "payment_intent.amount_capturable_updated":
		return checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_REQUIRES_CAPTURE
	case "payment_intent.requires_action", "payment_intent.partially_funded":
		return checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_REQUIRES_ACTION
	default:
		return checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_REQUIRES_PAYMENT_METHOD
	}
}
