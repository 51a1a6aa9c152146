package admission

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/doortoken"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// place is where a call is made from: a gate of an event.
type place struct {
	eventID  string // empty: staff did not say
	gate     string
	deviceID string // empty: staff
	by       string // for the timeline
}

// staffGate is the gate of staff who do not say where they are.
const staffGate = "staff"

// credential is what the token of a device is good for.
type credential struct{ deviceID, eventID, gate string }

// Identify says whose token it is, for rpc.HandlerConfig. A text that cannot be a token costs nothing, any other one read by its hash.
func (s *Service) Identify(ctx context.Context, token string) (rpc.Caller, bool, error) {
	hash := doortoken.Hash(token)
	if hash == nil {
		return rpc.Caller{}, false, nil
	}
	d, err := s.q.FindDoorDevice(ctx, s.Orders.Pool, hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return rpc.Caller{}, false, nil
	}
	if err != nil {
		return rpc.Caller{}, false, fmt.Errorf("find door device: %w", err)
	}
	return rpc.Caller{
		Name: "door:" + d.ID, Role: rpc.RoleDevice, Credential: credential{deviceID: d.ID, eventID: d.EventID, gate: d.Gate},
	}, true, nil
}

// placeOf says where a call is made from. A device is where it was enrolled for, whatever it says of its gate; staff are where they say.
//
// Problems: EVENT_NOT_FOUND for a device's call about another event.
func placeOf(ctx context.Context, eventID, gate string) (place, error) {
	caller := rpc.CallerFrom(ctx)
	if device, ok := caller.Credential.(credential); ok {
		if eventID != "" && eventID != device.eventID {
			return place{}, errNoEvent
		}
		return place{eventID: device.eventID, gate: device.gate, deviceID: device.deviceID, by: caller.Name}, nil
	}
	if gate == "" {
		gate = staffGate
	}
	return place{eventID: eventID, gate: gate, by: caller.Name}, nil
}

// eventOf is placeOf for a call about one event, which staff must name.
func eventOf(ctx context.Context, eventID string) (place, error) {
	at, err := placeOf(ctx, eventID, "")
	if err == nil && at.eventID == "" {
		err = problem.InvalidField("event_id", "staff must name the event")
	}
	return at, err
}

// mayKnow says whether who calls may know of a ticket: staff of all, a device of those of its event.
func (at place) mayKnow(t order.Ticket) bool { return at.deviceID == "" || at.eventID == t.EventID }

// device is the id of the device as a column; nil for staff.
func (at place) device() *string {
	if at.deviceID == "" {
		return nil
	}
	return &at.deviceID
}
