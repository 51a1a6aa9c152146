package webhooksvc

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"

	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/webhooksvc/webhookdb"
)

// replayFingerprintVersion is raised when the fields in replayFingerprint change.
const replayFingerprintVersion = 1

// ReplayWebhookEvents implements WebhookService. The events and the record of who asked for it are written
// in one transaction; an event that is open already starts a new run too.
func (s *Service) ReplayWebhookEvents(ctx context.Context, req *webhookv1.ReplayWebhookEventsRequest) (*webhookv1.ReplayWebhookEventsResponse, error) {
	if err := checkFilter(req.GetFilter()); err != nil {
		return nil, err
	}
	if req.GetDryRun() {
		return s.countForReplay(ctx, req)
	}
	choice, err := chooseForReplay(req, requeueArgsCount)
	if err != nil {
		return nil, err
	}
	now := s.Clock.Now()
	defer s.queue.nudge() // what is written by then
	return idem.Do(ctx, s.Pool, now, replayFingerprint(req), func(ctx context.Context, tx pgx.Tx) (*webhookv1.ReplayWebhookEventsResponse, error) {
		if err := checkReplayIDs(ctx, tx, req.GetEventIds()); err != nil {
			return nil, err
		}
		count, err := requeue(ctx, tx, now, choice.sql(), choice.args...)
		if err != nil {
			return nil, err
		}
		record, err := protojson.Marshal(req)
		if err != nil {
			return nil, fmt.Errorf("marshal replay request: %w", err)
		}
		err = s.q.InsertWebhookReplay(ctx, tx, webhookdb.InsertWebhookReplayParams{
			ReplayTime: now, Caller: rpc.CallerFrom(ctx).Name, Choice: json.RawMessage(record), Note: req.GetNote(), EventCount: count,
		})
		if err != nil {
			return nil, fmt.Errorf("insert webhook replay: %w", err)
		}
		return &webhookv1.ReplayWebhookEventsResponse{EventCount: count}, nil
	})
}

// countForReplay is the dry run: the same choice and the same refusals, and no effect.
func (s *Service) countForReplay(ctx context.Context, req *webhookv1.ReplayWebhookEventsRequest) (*webhookv1.ReplayWebhookEventsResponse, error) {
	choice, err := chooseForReplay(req, 0)
	if err != nil {
		return nil, err
	}
	if err := checkReplayIDs(ctx, s.Pool, req.GetEventIds()); err != nil {
		return nil, err
	}
	response := &webhookv1.ReplayWebhookEventsResponse{}
	err = s.Pool.QueryRow(ctx, "select count(*) from webhook_events where "+choice.sql(), choice.args...).Scan(&response.EventCount)
	if err != nil {
		return nil, fmt.Errorf("count webhook events: %w", err)
	}
	return response, nil
}

// chooseForReplay refuses a request that would mean everything there is.
func chooseForReplay(req *webhookv1.ReplayWebhookEventsRequest, taken int) (conditions, error) {
	if ids := req.GetEventIds(); len(ids) > 0 {
		chosen := conditions{taken: taken}
		chosen.add("endpoint in ('account', 'connect') and event_id = any(?)", ids) // both, so that the key's index is used
		return chosen, nil
	}
	chosen := filterConditions(req.GetFilter(), taken)
	if len(chosen.parts) == 0 {
		return conditions{}, problem.InvalidField("filter", "name events by id, or give at least one condition")
	}
	return chosen, nil
}

// checkReplayIDs refuses ids that nobody knows, before anything is done with the others.
func checkReplayIDs(ctx context.Context, db webhookdb.DBTX, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := db.Query(ctx, `select asked.id from unnest($1::text[]) as asked (id)
		where not exists (select from webhook_events as e where e.event_id = asked.id and e.endpoint in ('account', 'connect'))
		limit 10`, ids)
	if err != nil {
		return fmt.Errorf("look for webhook events: %w", err)
	}
	unknown, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for webhook events: %w", err)
	}
	if len(unknown) > 0 {
		return problem.New(connect.CodeNotFound, reasonEventNotFound, "no webhook events with these ids: "+strings.Join(unknown, ", "))
	}
	return nil
}

// replayFingerprint covers what decides which events are replayed.
func replayFingerprint(req *webhookv1.ReplayWebhookEventsRequest) []byte {
	ids := slices.Sorted(slices.Values(req.GetEventIds()))
	f := req.GetFilter()
	return idem.Fingerprint(replayFingerprintVersion, ids, int32(f.GetState()), f.GetType(), f.GetObjectId(),
		f.GetReceiveTimeFrom().AsTime(), f.GetReceiveTimeFrom() != nil,
		f.GetReceiveTimeUntil().AsTime(), f.GetReceiveTimeUntil() != nil, req.GetNote())
}

// requeueArgsCount is the number of arguments that requeue has before those of its condition.
const requeueArgsCount = 1

// requeue starts a new run of the events that meet a condition, due now. The condition's arguments begin at $2. It returns the number
// of events.
func requeue(ctx context.Context, db webhookdb.DBTX, now time.Time, where string, args ...any) (int64, error) {
	const head = `
		update webhook_events
		set state = 'received', error = '', end_time = null, queue_time = $1, deferral_count = 0, failure_count = 0,
			replay_count = replay_count + 1, next_try_time = now()
		where `
	tag, err := db.Exec(ctx, head+where, append([]any{now}, args...)...)
	if err != nil {
		return 0, fmt.Errorf("requeue webhook events: %w", err)
	}
	return tag.RowsAffected(), nil
}
