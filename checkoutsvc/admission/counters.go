package admission

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

const (
	// countsAge is how old counters may be: however many doors ask, each replica counts an event once in that time.
	countsAge = time.Second
	// countedEventsMax is for how many events counters are kept; beyond it, all are forgotten.
	countedEventsMax = 1000
)

// countsByEvent keeps the counters of events for a moment.
type countsByEvent struct {
	mu     sync.Mutex
	events map[string]*eventCounts
}

// eventCounts are the counters of one event; whoever holds the lock counts, and the others take what it found.
type eventCounts struct {
	mu  sync.Mutex
	res *checkoutv1.GetDoorCountersResponse
}

func (c *countsByEvent) of(eventID string) *eventCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events == nil || len(c.events) >= countedEventsMax && c.events[eventID] == nil {
		c.events = map[string]*eventCounts{}
	}
	if c.events[eventID] == nil {
		c.events[eventID] = &eventCounts{}
	}
	return c.events[eventID]
}

// GetDoorCounters implements AdmissionService.
func (s *Service) GetDoorCounters(ctx context.Context, req *checkoutv1.GetDoorCountersRequest) (*checkoutv1.GetDoorCountersResponse, error) {
	at, err := eventOf(ctx, req.GetEventId())
	if err != nil {
		return nil, err
	}
	if _, err := s.policy(ctx, s.Orders.Pool, at.eventID); err != nil {
		return nil, err
	}
	counts := s.counts.of(at.eventID)
	counts.mu.Lock()
	defer counts.mu.Unlock()
	now := s.Orders.Clock.Now()
	if counts.res == nil || now.Sub(counts.res.GetCountTime().AsTime()) >= countsAge {
		res, err := s.count(ctx, at.eventID)
		if err != nil {
			return nil, err
		}
		res.CountTime = timestamppb.New(now)
		counts.res = res
	}
	return counts.res, nil
}

func (s *Service) count(ctx context.Context, eventID string) (*checkoutv1.GetDoorCountersResponse, error) {
	tickets, err := s.q.CountTickets(ctx, s.Orders.Pool, eventID)
	if err != nil {
		return nil, fmt.Errorf("count tickets: %w", err)
	}
	gates, err := s.q.CountEntries(ctx, s.Orders.Pool, eventID)
	if err != nil {
		return nil, fmt.Errorf("count entries: %w", err)
	}
	res := &checkoutv1.GetDoorCountersResponse{}
	by := map[order.TicketState]*int64{
		order.TicketReserved: &res.ReservedCount, order.TicketValid: &res.ValidCount, order.TicketUsed: &res.UsedCount,
		order.TicketSuspended: &res.SuspendedCount, order.TicketVoid: &res.VoidCount,
	}
	for _, t := range tickets {
		*by[order.TicketState(t.State)] = t.TicketCount
	}
	for _, g := range gates {
		res.InsideCount += g.Inside
		res.Gates = append(res.Gates, &checkoutv1.GateCounters{Gate: g.Gate, EntryCount: g.Entries, ExitCount: g.Exits})
	}
	return res, nil
}
