package waitingroom

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/internal/chassis/problem"
)

const (
	// roomAge is how old the room may be that a place is told by: those who wait ask often.
	roomAge = time.Second
	// roomsMax bounds the rooms that are remembered.
	roomsMax = 1000
	// joinTimeout bounds the statements of those who join together.
	joinTimeout = 5 * time.Second
	// joinGroupMax and joinPendingMax bound who joins together, and who waits for it.
	joinGroupMax, joinPendingMax = 1000, 20000
)

// joining is somebody who joins the room of an event.
type joining struct {
	eventID string
	done    chan joined // holds one
}

// joined is what became of it: a room of nil says that there is none.
type joined struct {
	room   *Room
	number int64
	err    error
}

var errOverloaded = problem.New(connect.CodeResourceExhausted, problem.ReasonOverloaded, "too many join at this moment; try again in some seconds")

// join draws a number, together with those that come at the same time.
func (s *Service) join(ctx context.Context, eventID string) (*Room, int64, error) {
	j := &joining{eventID: eventID, done: make(chan joined, 1)}
	if !s.joins.Add(ctx, j) {
		return nil, 0, errOverloaded
	}
	select {
	case got := <-j.done:
		return got.room, got.number, got.err
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// joinGroup draws the numbers of a group, a transaction for each event.
func (s *Service) joinGroup(ctx context.Context, group []*joining) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	byEvent := map[string][]*joining{}
	for _, j := range group {
		byEvent[j.eventID] = append(byEvent[j.eventID], j)
	}
	for eventID, all := range byEvent {
		var first int64
		room, err := s.change(ctx, eventID, func(r *Room, now time.Time) error {
			if r.Closed {
				return errUnchanged
			}
			first = r.Join(int64(len(all)), now)
			return nil
		})
		for i, j := range all {
			j.done <- joined{room: room, number: first + int64(i), err: err}
		}
	}
}

// errUnchanged says that a change leaves the room as it is.
var errUnchanged = errors.New("the room stays as it is")

// change changes the room of an event, which is opened if that is due, and returns it as it is then; nil when there is none.
func (s *Service) change(ctx context.Context, eventID string, f func(r *Room, now time.Time) error) (*Room, error) {
	var room *Room
	err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) (err error) {
		room, err = s.changeTx(ctx, tx, eventID, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	return room, nil
}

func (s *Service) changeTx(ctx context.Context, tx pgx.Tx, eventID string, f func(r *Room, now time.Time) error) (*Room, error) {
	row, err := s.q.LockWaitingRoom(ctx, tx, eventID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lock waiting room: %w", err)
	}
	room, now := roomFromRow(row.WaitingRoom), s.Clock.Now()
	changed := room.Due(now)
	if changed {
		seed := make([]byte, 32)
		if _, err := rand.Read(seed); err != nil {
			return nil, fmt.Errorf("draw a seed: %w", err)
		}
		room.Open(seed, now)
	}
	switch err := f(room, now); {
	case err == nil:
		changed = true
	case !errors.Is(err, errUnchanged):
		return nil, err
	}
	if !changed {
		return room, nil
	}
	if err := s.q.SaveWaitingRoom(ctx, tx, checkoutdb.SaveWaitingRoomParams{
		EventID: room.EventID, OpenTime: room.OpenTime, AdmissionsPerMinute: room.Pace, Closed: room.Closed, JoinedCount: room.Joined,
		GatheredCount: room.Gathered, DrawSeed: room.Seed, AdmittedCount: room.Admitted, PaceTime: room.PaceTime,
	}); err != nil {
		return nil, fmt.Errorf("save waiting room: %w", err)
	}
	return room, nil
}

func roomFromRow(row checkoutdb.WaitingRoom) *Room {
	return &Room{
		EventID: row.EventID, OpenTime: row.OpenTime, Pace: row.AdmissionsPerMinute, Closed: row.Closed, Joined: row.JoinedCount,
		Gathered: row.GatheredCount, Seed: row.DrawSeed, Admitted: row.AdmittedCount, PaceTime: row.PaceTime,
	}
}

// rooms remembers rooms for a moment.
type rooms struct {
	mu   sync.Mutex
	read map[string]*reading
}

// reading is a room that one caller reads for all.
type reading struct {
	begun time.Time
	done  chan struct{}
	room  *Room
	err   error
}

// recent returns the room of an event as it was at most a moment ago; nil when there is none. It is opened if that is due.
func (s *Service) recent(ctx context.Context, eventID string) (*Room, error) {
	now := s.Clock.Now()
	s.rooms.mu.Lock()
	r := s.rooms.read[eventID]
	mine := r == nil || now.Sub(r.begun) >= roomAge || now.Before(r.begun)
	if mine {
		if s.rooms.read == nil {
			s.rooms.read = map[string]*reading{}
		}
		if len(s.rooms.read) >= roomsMax {
			maps.DeleteFunc(s.rooms.read, func(_ string, r *reading) bool { return now.Sub(r.begun) >= roomAge })
		}
		r = &reading{begun: now, done: make(chan struct{})}
		s.rooms.read[eventID] = r
	}
	s.rooms.mu.Unlock()
	if mine {
		go s.fill(context.WithoutCancel(ctx), r, eventID)
	}
	select {
	case <-r.done:
		return r.room, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fill reads a room for all who wait for it.
func (s *Service) fill(ctx context.Context, r *reading, eventID string) {
	defer close(r.done)
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	row, err := s.q.GetWaitingRoom(ctx, s.Pool, eventID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return
	case err != nil:
		r.err = fmt.Errorf("get waiting room: %w", err)
		return
	}
	if r.room = roomFromRow(row.WaitingRoom); r.room.Due(s.Clock.Now()) {
		r.room, r.err = s.change(ctx, eventID, func(*Room, time.Time) error { return errUnchanged })
	}
}
