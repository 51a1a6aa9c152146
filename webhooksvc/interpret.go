package webhooksvc

import "fmt"

// interpret says what an event of this endpoint means for us. It is a pure function of the stored event and our mode:
// every try comes to the same result. An error means that the body cannot be read, which no retry will change.
func interpret(e event, handlers map[string]handler, livemode bool) (translation, error) {
	if e.object == objectThinEvent {
		return translation{
			refusal: refusalThinEvent,
			alert:   "thin event arrived; these endpoints understand snapshot events only: change the endpoint at Stripe",
		}, nil
	}
	if e.livemode != livemode || e.mixedModes {
		// A live Connect endpoint gets the test events of its accounts too: a record is enough, nobody need look.
		return refused(refusalLivemode)
	}
	h, known := handlers[e.typ]
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
