// Package waitingroom implements WaitingRoomService: buyers of an event are let in one after the other. room.go has the rules, rooms.go the
// rows, token.go the tokens of places and admissions.
package waitingroom

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/gather"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// Service implements WaitingRoomService. Make one with New.
type Service struct {
	Deps

	q     checkoutdb.Queries
	joins gather.Gathering[*joining]
	rooms rooms
}

// Deps is what a Service stands on. All fields are required.
type Deps struct {
	Pool   *pgxpool.Pool
	Clock  clock.Clock
	Tokens Keys
}

// New returns a Service.
func New(d Deps) *Service {
	s := &Service{Deps: d}
	s.joins = gather.Gathering[*joining]{Write: s.joinGroup, WritersMax: 1, CountMax: joinGroupMax, PendingMax: joinPendingMax}
	return s
}

var (
	errNoEvent = problem.New(connect.CodeNotFound, "EVENT_NOT_FOUND", "there is no such event")
	errNoRoom  = problem.New(connect.CodeNotFound, "WAITING_ROOM_NOT_FOUND", "the event has no waiting room")
	errOpen    = problem.New(connect.CodeFailedPrecondition, "WAITING_ROOM_OPEN", "the room has opened, and its places are drawn; its open time stays")
	errNoPlace = problem.New(connect.CodeNotFound, "WAITING_ROOM_PLACE_INVALID", "the token is not that of a place in a waiting room")
)

// SetWaitingRoom implements WaitingRoomService.
func (s *Service) SetWaitingRoom(ctx context.Context, req *checkoutv1.SetWaitingRoomRequest) (*checkoutv1.SetWaitingRoomResponse, error) {
	open := req.GetOpenTime().AsTime().Truncate(time.Microsecond)
	fingerprint := idem.Fingerprint(1, req.GetEventId(), open, req.GetAdmissionsPerMinute(), req.GetClosed())
	return idem.Do(ctx, s.Pool, s.Clock.Now(), fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.SetWaitingRoomResponse, error) {
		if _, err := s.q.KeepEvent(ctx, tx, req.GetEventId()); errors.Is(err, pgx.ErrNoRows) {
			return nil, errNoEvent
		} else if err != nil {
			return nil, fmt.Errorf("keep event: %w", err)
		}
		if err := s.q.InsertWaitingRoom(ctx, tx, req.GetEventId(), open); err != nil {
			return nil, fmt.Errorf("insert waiting room: %w", err)
		}
		room, err := s.changeTx(ctx, tx, req.GetEventId(), func(r *Room, now time.Time) error {
			if r.Opened() && !r.OpenTime.Equal(open) {
				return errOpen
			}
			r.OpenTime, r.Closed = open, req.GetClosed()
			r.SetPace(req.GetAdmissionsPerMinute(), now)
			return nil
		})
		if err != nil {
			return nil, err
		}
		return &checkoutv1.SetWaitingRoomResponse{Room: s.toProto(room)}, nil
	})
}

// GetWaitingRoom implements WaitingRoomService.
func (s *Service) GetWaitingRoom(ctx context.Context, req *checkoutv1.GetWaitingRoomRequest) (*checkoutv1.GetWaitingRoomResponse, error) {
	if err := s.checkEvent(ctx, req.GetEventId()); err != nil {
		return nil, err
	}
	room, err := s.recent(ctx, req.GetEventId())
	if err != nil {
		return nil, err
	}
	if room == nil {
		return nil, errNoRoom
	}
	return &checkoutv1.GetWaitingRoomResponse{Room: s.toProto(room)}, nil
}

// JoinWaitingRoom implements WaitingRoomService.
func (s *Service) JoinWaitingRoom(ctx context.Context, req *checkoutv1.JoinWaitingRoomRequest) (*checkoutv1.JoinWaitingRoomResponse, error) {
	room, number, err := s.join(ctx, req.GetEventId())
	if err != nil {
		return nil, err
	}
	if room == nil {
		if err := s.checkEvent(ctx, req.GetEventId()); err != nil {
			return nil, err
		}
		return &checkoutv1.JoinWaitingRoomResponse{Place: notNeeded()}, nil
	}
	if room.Closed {
		return &checkoutv1.JoinWaitingRoomResponse{Place: notNeeded()}, nil
	}
	p := place{eventID: room.EventID, number: number}
	return &checkoutv1.JoinWaitingRoomResponse{Place: s.tell(room, p), PlaceToken: s.Tokens.sign(placePrefix, p, 0)}, nil
}

// GetWaitingRoomPlace implements WaitingRoomService.
func (s *Service) GetWaitingRoomPlace(ctx context.Context, req *checkoutv1.GetWaitingRoomPlaceRequest) (*checkoutv1.GetWaitingRoomPlaceResponse, error) {
	p, _, ok := s.Tokens.verify(placePrefix, req.GetPlaceToken())
	if !ok {
		return nil, errNoPlace
	}
	room, err := s.recent(ctx, p.eventID)
	if err != nil {
		return nil, err
	}
	if room == nil || room.Closed {
		return &checkoutv1.GetWaitingRoomPlaceResponse{Place: notNeeded()}, nil
	}
	return &checkoutv1.GetWaitingRoomPlaceResponse{Place: s.tell(room, p)}, nil
}

// checkEvent refuses an event that the caller does not see.
func (s *Service) checkEvent(ctx context.Context, id string) error {
	publication, err := s.q.GetPublication(ctx, s.Pool, id)
	switch {
	case errors.Is(err, pgx.ErrNoRows), err == nil && order.Publication(publication) == order.EventDraft && rpc.CallerFrom(ctx).Role < rpc.RoleOperator:
		return errNoEvent
	case err != nil:
		return fmt.Errorf("get event: %w", err)
	}
	return nil
}

func notNeeded() *checkoutv1.WaitingRoomPlace {
	return &checkoutv1.WaitingRoomPlace{State: checkoutv1.WaitingRoomPlaceState_WAITING_ROOM_PLACE_STATE_NOT_NEEDED}
}

// pollMin and pollMax bound when a place asks again. A long wait is looked at ten times.
const pollMin, pollMax, polls = 2 * time.Second, time.Minute, 10

// tell says how far a place is.
func (s *Service) tell(room *Room, p place) *checkoutv1.WaitingRoomPlace {
	now := s.Clock.Now()
	at, drawn := room.PlaceOf(p.number)
	if !drawn {
		until := max(room.OpenTime.Sub(now), 0)
		out := &checkoutv1.WaitingRoomPlace{State: checkoutv1.WaitingRoomPlaceState_WAITING_ROOM_PLACE_STATE_GATHERING, PollAfter: durationpb.New(pollAfter(until, p.number))}
		if until > 0 {
			out.EstimatedWait = durationpb.New(until)
		}
		return out
	}
	if admitted := room.AdmittedBy(now); at >= admitted {
		out := &checkoutv1.WaitingRoomPlace{State: checkoutv1.WaitingRoomPlaceState_WAITING_ROOM_PLACE_STATE_WAITING, BeforeCount: at - admitted}
		wait, known := room.WaitOf(at, now)
		if known {
			out.EstimatedWait = durationpb.New(wait)
		} else {
			wait = pollMax * polls
		}
		out.PollAfter = durationpb.New(pollAfter(wait, p.number))
		return out
	}
	expire := now.Add(admissionLifetime).Truncate(time.Second)
	return &checkoutv1.WaitingRoomPlace{
		State:          checkoutv1.WaitingRoomPlaceState_WAITING_ROOM_PLACE_STATE_ADMITTED,
		AdmissionToken: s.Tokens.sign(admissionPrefix, p, expire.Unix()), AdmissionExpireTime: timestamppb.New(expire),
	}
}

// pollAfter is when a place that waits for so long asks again. Places of one moment ask at different ones.
func pollAfter(wait time.Duration, number int64) time.Duration {
	return min(max(wait/polls, pollMin), pollMax) + time.Duration(number%1000)*time.Millisecond
}

func (s *Service) toProto(r *Room) *checkoutv1.WaitingRoom {
	return &checkoutv1.WaitingRoom{
		EventId: r.EventID, OpenTime: timestamppb.New(r.OpenTime), AdmissionsPerMinute: r.Pace, Closed: r.Closed, JoinedCount: r.Joined,
		AdmittedCount: min(r.AdmittedBy(s.Clock.Now()), r.Joined),
	}
}
