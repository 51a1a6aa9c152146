package webhooksvc

import (
	"fmt"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// interpret says what an event of this endpoint means for us. It is a pure function of the stored event and our mode:
// every try comes to the same result. An error means that the body cannot be read, which no retry will change.
func interpret(e event, handlers map[string]handler, livemode bool) (translation, error) {
	if e.object == objectThinEvent {
		return translation{
			refusal: refusalThinEvent,
			alert:   "thin event arrived; these endpoints understand snapshot events only: change the endpoint at Stripe",
		}, nil
	}
	h, known := handlers[e.typ]
	if e.livemode != livemode || e.mixedModes {
		return interpretWrongMode(e, h, livemode)
	}
	if !known || h.translate == nil {
		return translation{}, nil
	}
	if e.objectID == "" {
		return translation{refusal: refusalNoObject, alert: e.typ + " came without its object"}, nil
	}
	if e.created.IsZero() {
		return translation{}, fmt.Errorf("read %s: it does not say when it was created", e.typ)
	}
	return h.translate(e)
}

// interpretWrongMode says what an event of the other mode means, or one whose envelope and object disagree. A live Connect
// endpoint gets the test events of its accounts too, so a record is enough. But captured money is reported as what it is,
// money of the wrong mode: it buys nothing, and where it names an order of ours, a person checks it.
func interpretWrongMode(e event, h handler, livemode bool) (translation, error) {
	t, err := refused(refusalLivemode)
	if err != nil || e.typ != "payment_intent.succeeded" || e.objectID == "" || e.created.IsZero() {
		return t, err
	}
	reported, err := h.translate(e)
	if err != nil {
		return t, nil //nolint:nilerr // what cannot be read is refused all the same
	}
	for _, c := range reported.calls {
		if r, ok := c.request.(*checkoutv1.RecordPaymentRequest); ok {
			r.Livemode = !livemode
			t.calls = append(t.calls, c)
		}
	}
	return t, nil
}
