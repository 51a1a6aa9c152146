package webhooksvc

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/dayof/dayof/internal/chassis/instant"
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
//
// Every delivery comes through here before it is answered, so the body is checked by encoding/json and then walked by
// gjson, which steps over what we do not need: to unmarshal it into a struct took a third of what an answer costs.
func decodeEvent(body []byte) (event, error) {
	if !json.Valid(body) {
		return event{}, fmt.Errorf("%w: it is not JSON", errNotAnEvent)
	}
	e := event{body: body}
	var mode, objectMode gjson.Result
	var id, related string
	eachField(gjson.ParseBytes(body), func(name string, value gjson.Result) {
		switch name {
		case "id":
			id = textOf(value)
		case "object":
			e.object = textOf(value)
		case "type":
			e.typ = textOf(value)
		case "api_version":
			e.apiVersion = storable(textOf(value))
		case "account":
			e.account = storable(textOf(value))
		case "livemode":
			mode = value
		case "created":
			e.created = decodeCreated(value.Raw)
		case "data":
			eachField(value.Get("object"), func(name string, value gjson.Result) {
				switch name {
				case "id":
					e.objectID = storable(textOf(value))
				case "livemode":
					objectMode = value
				}
			})
		case "related_object": // of a thin event
			related = storable(textOf(value.Get("id")))
		}
	})
	if e.object != objectEvent && e.object != objectThinEvent {
		return event{}, fmt.Errorf("%w: its object is another", errNotAnEvent)
	}
	if !isEventID(id) || e.typ == "" || storable(e.typ) != e.typ {
		return event{}, fmt.Errorf("%w: its id or type is missing or malformed", errNotAnEvent)
	}
	e.id, e.livemode, e.objectID = id, mode.Type == gjson.True, cmp.Or(e.objectID, related)
	e.mixedModes = objectMode.IsBool() && objectMode.Bool() != e.livemode
	return e, nil
}

// eachField calls f with every field of an object; with none of anything else.
func eachField(object gjson.Result, f func(name string, value gjson.Result)) {
	if !object.IsObject() {
		return
	}
	object.ForEach(func(name, value gjson.Result) bool {
		f(name.Str, value)
		return true
	})
}

// textOf is a string's text; empty for anything else.
func textOf(value gjson.Result) string {
	if value.Type != gjson.String {
		return ""
	}
	return value.Str
}

// decodeObject reads the object that an event is about into one of our small structs. An object that does not fit is
// malformed: Stripe would not send it, so a person has to check.
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

// decodeCreated reads Unix seconds, or the RFC 3339 text of a thin event; the zero time where they are no valid instant.
func decodeCreated(data string) time.Time {
	if unix, err := strconv.ParseInt(data, 10, 64); err == nil && unix > 0 {
		return instant.FromUnix(unix, time.Time{})
	}
	if t, err := time.Parse(time.RFC3339, strings.Trim(data, `"`)); err == nil && instant.Valid(t) {
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
