package webhooksvc

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The values of an event's own "object" field.
const (
	objectEvent     = "event"         // a snapshot event: it carries the object that it is about
	objectThinEvent = "v2.core.event" // a thin event: it only names the object, and no endpoint of ours asks for these
)

// eventIDSizeMax keeps the idempotency keys that are made of an event id below their 255 characters.
const eventIDSizeMax = 100

// textSizeMax is for the words of an event that are stored as columns: type, API version, account and object id.
const textSizeMax = 255

var errNotAnEvent = errors.New("body is not a Stripe event")

// event is one Stripe event, read from its body with as few assumptions as possible.
type event struct {
	id         string
	object     string // objectEvent or objectThinEvent
	typ        string
	apiVersion string
	account    string // connected account; empty for the platform
	livemode   bool
	created    time.Time // zero when the body does not say
	objectID   string
	data       json.RawMessage // the object that it is about; nil when the body has none
	mixedModes bool            // the object says another mode than the event
}

// decodeEvent reads the body of an event. It refuses only what is no event at all; what a translator cannot use is
// found out later, when the event is stored already.
func decodeEvent(body []byte) (event, error) {
	var wire struct {
		ID         text            `json:"id"`
		Object     text            `json:"object"`
		Type       text            `json:"type"`
		APIVersion text            `json:"api_version"`
		Account    reference       `json:"account"`
		Livemode   json.RawMessage `json:"livemode"`
		Created    json.RawMessage `json:"created"`
		Data       json.RawMessage `json:"data"`
		Related    reference       `json:"related_object"`
	}
	if err := json.Unmarshal(body, &wire); err != nil {
		return event{}, fmt.Errorf("%w: %w", errNotAnEvent, err)
	}
	e := event{
		id:         string(wire.ID),
		object:     string(wire.Object),
		typ:        string(wire.Type),
		apiVersion: storable(string(wire.APIVersion)),
		account:    storable(string(wire.Account)),
		livemode:   string(wire.Livemode) == "true",
		created:    decodeCreated(wire.Created),
		objectID:   storable(string(wire.Related)),
	}
	if e.object != objectEvent && e.object != objectThinEvent {
		return event{}, fmt.Errorf("%w: its object is another", errNotAnEvent)
	}
	if !isEventID(e.id) || e.typ == "" || storable(e.typ) != e.typ {
		return event{}, fmt.Errorf("%w: its id or type is missing or malformed", errNotAnEvent)
	}
	e.decodeData(wire.Data)
	return e, nil
}

// decodeData finds the object of the event, if there is one: "data" may be missing, null or empty.
func (e *event) decodeData(data json.RawMessage) {
	var wire struct {
		Object json.RawMessage `json:"object"`
	}
	if json.Unmarshal(data, &wire) != nil || len(wire.Object) == 0 || wire.Object[0] != '{' {
		return
	}
	var head struct {
		ID       text            `json:"id"`
		Livemode json.RawMessage `json:"livemode"`
	}
	if json.Unmarshal(wire.Object, &head) != nil {
		return
	}
	e.data = wire.Object
	e.objectID = storable(string(head.ID))
	mode := string(head.Livemode)
	e.mixedModes = mode == "true" && !e.livemode || mode == "false" && e.livemode
}

// decodeCreated reads Unix seconds, or the RFC 3339 text of a thin event.
func decodeCreated(data json.RawMessage) time.Time {
	var unix int64
	if json.Unmarshal(data, &unix) == nil && unix > 0 && unix < 1<<40 {
		return time.Unix(unix, 0).UTC()
	}
	var stamp text
	_ = stamp.UnmarshalJSON(data)
	if t, err := time.Parse(time.RFC3339, string(stamp)); err == nil {
		return t.UTC().Truncate(time.Microsecond)
	}
	return time.Time{}
}

// isEventID accepts 1 to 100 letters, digits and underscores: the id becomes part of idempotency keys.
func isEventID(id string) bool {
	if id == "" || len(id) > eventIDSizeMax {
		return false
	}
	for _, c := range []byte(id) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// storable returns s if it is short visible ASCII, else "": a zero byte, for one, does not fit into a text column.
func storable(s string) string {
	if len(s) > textSizeMax {
		return ""
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return s
}
