package webhooksvc

import (
	"cmp"
	"context"
	"slices"

	"google.golang.org/protobuf/proto"
)

// handler says what one event type means and does. The handlers are the webhook matrix: ListHandlers and the page in
// docs/ show them.
type handler struct {
	eventType string
	meaning   string                           // what happened at Stripe
	action    string                           // what is done, and by which RPC
	dedupeKey string                           // business key by which the receiver recognises the same fact from another event
	translate func(event) (translation, error) // nil: the event is stored only
}

// translation is what becomes of an event. The zero value has no effect.
type translation struct {
	calls   []call
	refusal string // why the event can have no effect; empty when it has one
	alert   string // what an operator should know in any case; empty when nothing
}

// call is one RPC to make. The type of its request says which.
type call struct {
	suffix  string // distinguishes the calls of one event; empty when it is the only one
	request proto.Message
	// prepare fills in what the event leaves open, before the call is made; nil when it leaves nothing open. It returns
	// errNotNeeded for a call that need not be made after all.
	prepare func(ctx context.Context, l lookups) error
	// ours says whether the object may belong to an order of ours, which is asked when no order is known; nil when it may.
	ours func(ctx context.Context, l lookups) (bool, error)
}

// translated is the translation into one call.
func translated(request proto.Message) (translation, error) {
	return translation{calls: []call{{request: request}}}, nil
}

// refused is the translation of an event that can have no effect.
func refused(reason string) (translation, error) {
	return translation{refusal: reason}, nil
}

// Reasons of refusals, as they are kept with the event.
const (
	refusalThinEvent     = "thin_event"
	refusalLivemode      = "livemode_mismatch"
	refusalNoObject      = "no_object"
	refusalNoIntent      = "no_payment_intent"
	refusalNoCharge      = "no_charge"
	refusalNotPaid       = "not_paid"
	refusalNoAccount     = "no_account"
	refusalNoFee         = "no_application_fee"
	refusalUnknownStatus = "unknown_status"
	refusalForeign       = "foreign_account" // only the platform's own account may report this
	refusalUnmatched     = "unmatched"       // a payment that is none of ours, such as of another shop on the same account
)

// allHandlers returns the matrix, sorted by event type.
func allHandlers() []handler {
	handlers := slices.Concat(
		paymentHandlers(), chargeHandlers(), refundHandlers(), disputeHandlers(),
		payoutHandlers(), transferHandlers(), sessionHandlers(), accountHandlers(), feeHandlers(), riskHandlers(), storedHandlers(),
	)
	slices.SortFunc(handlers, func(a, b handler) int { return cmp.Compare(a.eventType, b.eventType) })
	return handlers
}

// spare are types whose events say nothing that others do not say as well. They have their effect where they come, but an endpoint
// need not be sent them, and Stripe's list is not asked for them.
var spare = map[string]bool{
	"payment_intent.created": true, // the answer to our own call says it, or a repeat of that
	"charge.succeeded":       true, // payment_intent.succeeded, or payment_intent.amount_capturable_updated
}

// EndpointTypes are the types that an endpoint at Stripe must be sent, sorted.
func EndpointTypes() []string {
	var types []string
	for _, h := range allHandlers() {
		if h.translate != nil && !spare[h.eventType] {
			types = append(types, h.eventType)
		}
	}
	return types
}

// handlersByType indexes the matrix. Two handlers for one type are a programmer's error.
func handlersByType() map[string]handler {
	index := make(map[string]handler)
	for _, h := range allHandlers() {
		if _, twice := index[h.eventType]; twice {
			panic("webhooksvc: two handlers for " + h.eventType)
		}
		index[h.eventType] = h
	}
	return index
}
