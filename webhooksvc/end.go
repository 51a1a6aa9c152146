package webhooksvc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dayof/dayof/internal/chassis/gather"
	"github.com/dayof/dayof/webhooksvc/webhookdb"
)

const (
	// endWritersMax and endGroupMax bound the statements that end events, and what one of them ends.
	endWritersMax = 1
	endGroupMax   = 256
	// endPendingMax is above what all workers of a process can wait for.
	endPendingMax = 1 << 20
)

// ending is a run that is to end, and whose worker waits for that.
type ending struct {
	webhookdb.EndWebhookEventParams
	done chan error // holds one
}

func (s *Service) newEnds() gather.Gathering[*ending] {
	return gather.Gathering[*ending]{
		Write: s.endGroup, WritersMax: endWritersMax, CountMax: endGroupMax, PendingMax: endPendingMax,
	}
}

// endTogether ends a run, with those that end at the same time.
func (s *Service) endTogether(ctx context.Context, params webhookdb.EndWebhookEventParams) error {
	e := &ending{EndWebhookEventParams: params, done: make(chan error, 1)}
	s.ends.Add(ctx, e)
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("end webhook event: %w", ctx.Err())
	}
}

// endGroup ends a group by one statement. If Postgres refuses it, each is tried alone.
func (s *Service) endGroup(ctx context.Context, group []*ending) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := s.endAll(ctx, group)
	if _, refused := errors.AsType[*pgconn.PgError](err); refused && len(group) > 1 {
		for i := range group {
			s.endGroup(ctx, group[i:i+1])
		}
		return
	}
	for _, e := range group {
		e.done <- err
	}
}

// endAll does what EndWebhookEvent does, for several. They are in order of their keys, as those who store events lock them.
func (s *Service) endAll(ctx context.Context, group []*ending) error {
	if len(group) == 1 {
		_, err := s.q.EndWebhookEvent(ctx, s.Pool, group[0].EndWebhookEventParams)
		return err
	}
	group = slices.SortedFunc(slices.Values(group), func(a, b *ending) int {
		return strings.Compare(a.Endpoint+"/"+a.EventID, b.Endpoint+"/"+b.EventID)
	})
	n := len(group)
	states, causes, endpoints, ids := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	times, replays := make([]time.Time, n), make([]int32, n)
	for i, e := range group {
		states[i], causes[i], times[i] = e.State, e.Error, e.EndTime
		endpoints[i], ids[i], replays[i] = e.Endpoint, e.EventID, e.ReplayCount
	}
	_, err := s.Pool.Exec(ctx, `
		update webhook_events as e
		set state = d.state, error = d.error, end_time = d.end_time, attempt_count = e.attempt_count + 1
		from unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::integer[])
			as d (state, error, end_time, endpoint, event_id, replay_count)
		where e.endpoint = d.endpoint and e.event_id = d.event_id and e.replay_count = d.replay_count and e.state in ('received', 'deferred')`,
		states, causes, times, endpoints, ids, replays)
	return err
}
