package stripe

import (
	"encoding/json"
	"strings"
)

const kindEvent = "event"

// Event is a webhook event: the snapshot of an object at the moment something happened to it. It never changes.
type Event struct {
	ID              string
	Account         string // the connected account; "" for the platform's own events
	Created         int64
	Type            string
	Object          any            // an object, or its JSON when it was read from the journal
	Previous        map[string]any // former values of the changed fields; nil if none
	PendingWebhooks int            // endpoints that were owed this event when it was made
	Request         eventRequest

	intent   string // the payment intent it is about, for withholding
	delivery *deliveryState
}

type eventRequest struct {
	ID             *string `json:"id"`
	IdempotencyKey *string `json:"idempotency_key"`
}

func (ev *Event) objectID() string    { return ev.ID }
func (ev *Event) kind() string        { return kindEvent }
func (ev *Event) clone() object       { c := *ev; return &c }
func (ev *Event) createdAt() int64    { return ev.Created }
func (*Event) expandable(string) *ref { return nil }

// eventBody is the wire form of an event.
type eventBody struct {
	ID              string       `json:"id"`
	Object          string       `json:"object"`
	Account         string       `json:"account,omitempty"`
	APIVersion      string       `json:"api_version"`
	Created         int64        `json:"created"`
	Data            eventData    `json:"data"`
	Livemode        bool         `json:"livemode"`
	PendingWebhooks int          `json:"pending_webhooks"`
	Request         eventRequest `json:"request"`
	Type            string       `json:"type"`
}

type eventData struct {
	Object             any            `json:"object"`
	PreviousAttributes map[string]any `json:"previous_attributes,omitempty"`
}

// body is the event as an endpoint of the given version gets it. Only the label of the version differs: the shapes are
// always those of 2023-10-16.
func (ev *Event) body(version string) eventBody {
	return eventBody{
		ID: ev.ID, Object: kindEvent, Account: ev.Account, APIVersion: version, Created: ev.Created,
		Data: eventData{Object: ev.Object, PreviousAttributes: ev.Previous}, PendingWebhooks: ev.PendingWebhooks,
		Request: ev.Request, Type: ev.Type,
	}
}

// MarshalJSON implements json.Marshaler.
func (ev *Event) MarshalJSON() ([]byte, error) { return json.Marshal(ev.body(APIVersion)) }

// UnmarshalJSON implements json.Unmarshaler: it reads what the journal kept.
func (ev *Event) UnmarshalJSON(data []byte) error {
	var body struct {
		eventBody
		Data struct {
			Object             json.RawMessage `json:"object"`
			PreviousAttributes map[string]any  `json:"previous_attributes"`
		} `json:"data"`
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return err
	}
	*ev = Event{
		ID: body.ID, Account: body.Account, Created: body.Created, Type: body.Type, Object: body.Data.Object,
		Previous: body.Data.PreviousAttributes, PendingWebhooks: body.PendingWebhooks, Request: body.Request,
	}
	if obj, err := decodeObject(body.Data.Object); err == nil {
		ev.intent = intentOf(obj)
	}
	return nil
}

// intentOf names the payment intent that an object belongs to; "" if none.
func intentOf(obj object) string {
	switch o := obj.(type) {
	case *PaymentIntent:
		return o.ID
	case *Charge:
		return o.PaymentIntent.id
	case *Refund:
		return o.PaymentIntent.id
	case *Dispute:
		return o.PaymentIntent.id
	case *rawObject:
		var named struct {
			PaymentIntent ref `json:"payment_intent"`
		}
		if json.Unmarshal(o.body, &named) == nil {
			return named.PaymentIntent.id
		}
	}
	return ""
}

func (s *Server) getEvent(r *request) (any, *apiError) {
	r.params.allow()
	return get[*Event](s, r, kindEvent, "id")
}

// listEvents serves the backfill: by type (a trailing * matches a family), by time, and by whether every endpoint got it.
func (s *Server) listEvents(r *request) (any, *apiError) {
	p := r.params
	p.allow(append([]string{"type", "types[]", "delivery_success"}, pageParams...)...)
	types := p.list("types")
	if one := p.text("type"); one != "" {
		if len(types) > 0 {
			return nil, invalid("types", "", "You may only specify one of these parameters: type, types.")
		}
		types = []string{one}
	}
	success := p.boolean("delivery_success")
	if p.err != nil {
		return nil, p.err
	}
	return page(s, r, kindEvent, func(ev *Event) bool {
		if p.has("delivery_success") && ev.delivery.succeeded() != success {
			return false
		}
		return len(types) == 0 || matchesType(ev.Type, types)
	})
}

func matchesType(eventType string, wanted []string) bool {
	for _, w := range wanted {
		prefix, family := strings.CutSuffix(w, "*")
		if eventType == w || (family && strings.HasPrefix(eventType, prefix)) {
			return true
		}
	}
	return false
}
