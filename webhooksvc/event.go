package webhooksvc

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
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
	objectID   string    // of the object that it is about; empty when it has none
	mixedModes bool      // the object says another mode than the event
	body       []byte
}

// decodeEvent reads the body of an event. It refuses only what is no event at all: a field of another type than we
// know counts as absent. What a translator cannot use is found out later, when the event is stored already.
func decodeEvent(body []byte) (event, error) {
	var wire struct {
		ID         string          `json:"id"`
		Object     string          `json:"object"`
		Type       string          `json:"type"`
		APIVersion string          `json:"api_version"`
		Account    string          `json:"account"`
		Livemode   bool            `json:"livemode"`
		Created    json.RawMessage `json:"created"`
		Data       struct {
			Object struct {
				ID       string `json:"id"`
				Livemode *bool  `json:"livemode"`
			} `json:"object"`
		} `json:"data"`
		RelatedObject struct { // of a thin event
			ID string `json:"id"`
		} `json:"related_object"`
	}
	// encoding/json goes on after a value of the wrong type and tells of the first one at the end.
	err := json.Unmarshal(body, &wire)
	if _, otherType := errors.AsType[*json.UnmarshalTypeError](err); err != nil && !otherType {
		return event{}, fmt.Errorf("%w: %w", errNotAnEvent, err)
	}
	if wire.Object != objectEvent && wire.Object != objectThinEvent {
		return event{}, fmt.Errorf("%w: its object is another", errNotAnEvent)
	}
	if !isEventID(wire.ID) || wire.Type == "" || storable(wire.Type) != wire.Type {
		return event{}, fmt.Errorf("%w: its id or type is missing or malformed", errNotAnEvent)
	}
	mode := wire.Data.Object.Livemode
	return event{
		id:         wire.ID,
		object:     wire.Object,
		typ:        wire.Type,
		apiVersion: storable(wire.APIVersion),
		account:    storable(wire.Account),
		livemode:   wire.Livemode,
		created:    decodeCreated(wire.Created),
		objectID:   cmp.Or(storable(wire.Data.Object.ID), storable(wire.RelatedObject.ID)),
		mixedModes: mode != nil && *mode != wire.Livemode,
		body:       body,
	}, nil
}

// decodeObject reads the object that an event is about into one of our small structs. An object that does not fit is
// malformed: Stripe would not send it, so somebody has to look.
func decodeObject[T any](e event) (T, error) {
	var wire struct {
		Data struct {
			Object T `json:"object"`
		} `json:"data"`
	}
	if err := json.Unmarshal(e.body, &wire); err != nil {
		return wire.Data.Object, fmt.Errorf("read object of %s: %w", e.typ, err)
	}
	return wire.Data.Object, nil
}

// decodeCreated reads Unix seconds, or the RFC 3339 text of a thin event.
func decodeCreated(data json.RawMessage) time.Time {
	if unix, err := strconv.ParseInt(string(data), 10, 64); err == nil && unix > 0 && unix < 1<<40 {
		return time.Unix(unix, 0).UTC()
	}
	if t, err := time.Parse(time.RFC3339, strings.Trim(string(data), `"`)); err == nil {
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
