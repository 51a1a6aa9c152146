package webhooksvc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/webhooksvc/webhookdb"
)

const reasonEventNotFound = "WEBHOOK_EVENT_NOT_FOUND"

// pageSizeDefault is the page size of a request that gives none.
const pageSizeDefault = 50

// GetWebhookEvent implements WebhookService.
func (s *Service) GetWebhookEvent(ctx context.Context, req *webhookv1.GetWebhookEventRequest) (*webhookv1.GetWebhookEventResponse, error) {
	row, err := s.q.GetWebhookEvent(ctx, s.Pool, req.GetEndpoint(), req.GetEventId())
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, problem.New(connect.CodeNotFound, reasonEventNotFound, "no such webhook event; check endpoint and id")
	}
	if err != nil {
		return nil, fmt.Errorf("read webhook event: %w", err)
	}
	event := eventProto(row)
	event.Body = strings.ToValidUTF8(string(row.Body), "\uFFFD") // a proto string must be UTF-8; the row keeps the bytes
	return &webhookv1.GetWebhookEventResponse{Event: event}, nil
}

// ListWebhookEvents implements WebhookService. Pages are told apart by the last id of the page before, so that a row
// is seen once however many arrive meanwhile.
func (s *Service) ListWebhookEvents(ctx context.Context, req *webhookv1.ListWebhookEventsRequest) (*webhookv1.ListWebhookEventsResponse, error) {
	if err := checkFilter(req.GetFilter()); err != nil {
		return nil, err
	}
	size := int(req.GetPageSize())
	if size == 0 {
		size = pageSizeDefault
	}
	wanted := filterConditions(req.GetFilter(), 0)
	// An absent filter is an empty one. Bytes may differ between builds: a token of another release is refused then.
	filter, err := proto.MarshalOptions{Deterministic: true}.Marshal(req.GetFilter())
	if err != nil {
		return nil, fmt.Errorf("name the list: %w", err)
	}
	list := "webhook events " + string(filter)
	before, err := page.Parse(req.GetPageToken(), list, int64(math.MaxInt64))
	if err != nil {
		return nil, err
	}
	wanted.add("id < ?", before)
	rows, err := s.Pool.Query(ctx, fmt.Sprintf(`
		SELECT id, endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id, create_time,
			receive_time, delivery_count, state, error, end_time, attempt_count, queue_time, deferral_count, failure_count,
			replay_count, ''::bytea AS body
		FROM webhook_events WHERE %s ORDER BY id DESC LIMIT %d`, wanted.sql(), size+1), wanted.args...)
	if err != nil {
		return nil, fmt.Errorf("list webhook events: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[webhookdb.WebhookEvent])
	if err != nil {
		return nil, fmt.Errorf("list webhook events: %w", err)
	}
	response := &webhookv1.ListWebhookEventsResponse{}
	if len(found) > size {
		found = found[:size]
		response.NextPageToken = page.Token(list, found[size-1].ID)
	}
	for _, row := range found {
		response.Events = append(response.Events, eventProto(row))
	}
	return response, nil
}

// conditions is a WHERE clause that depends on the request. All of it must hold.
type conditions struct {
	taken int // arguments that the statement has before ours
	parts []string
	args  []any
}

// add adds a condition; a ? in it stands for the argument.
func (c *conditions) add(part string, args ...any) {
	for _, arg := range args {
		c.args = append(c.args, arg)
		part = strings.Replace(part, "?", fmt.Sprintf("$%d", c.taken+len(c.args)), 1)
	}
	c.parts = append(c.parts, part)
}

// sql is the clause; without conditions it is true.
func (c *conditions) sql() string {
	if len(c.parts) == 0 {
		return "true"
	}
	return strings.Join(c.parts, " AND ")
}

// checkFilter refuses instants that no calendar has; the schema lets them pass.
func checkFilter(f *webhookv1.WebhookEventFilter) error {
	if t := f.GetReceiveTimeFrom(); t != nil && t.CheckValid() != nil {
		return problem.InvalidField("filter.receive_time_from", "must be an instant between the years 1 and 9999")
	}
	if t := f.GetReceiveTimeUntil(); t != nil && t.CheckValid() != nil {
		return problem.InvalidField("filter.receive_time_until", "must be an instant between the years 1 and 9999")
	}
	return nil
}

// filterConditions is what a filter asks for; none for an empty one.
func filterConditions(f *webhookv1.WebhookEventFilter, taken int) conditions {
	c := conditions{taken: taken}
	if state, ok := stateNames[f.GetState()]; ok {
		c.add("state = '" + state + "'") // a constant, because the index of open events is a partial one
	}
	if f.GetType() != "" {
		c.add("type = ?", f.GetType())
	}
	if f.GetReceiveTimeFrom() != nil {
		c.add("receive_time >= ?", f.GetReceiveTimeFrom().AsTime())
	}
	if f.GetReceiveTimeUntil() != nil {
		c.add("receive_time < ?", f.GetReceiveTimeUntil().AsTime())
	}
	if f.GetObjectId() != "" {
		c.add("object_id = ?", f.GetObjectId())
	}
	return c
}

// stateNames are the states as columns have them.
var stateNames = map[webhookv1.WebhookEventState]string{
	webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_RECEIVED: stateReceived,
	webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_DEFERRED: stateDeferred,
	webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_APPLIED:  stateApplied,
	webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_IGNORED:  stateIgnored,
	webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_REJECTED: stateRejected,
	webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_DEAD:     stateDead,
}

// eventProto shows a row without its body.
func eventProto(row webhookdb.WebhookEvent) *webhookv1.WebhookEvent {
	return &webhookv1.WebhookEvent{
		Endpoint:      row.Endpoint,
		EventId:       row.EventID,
		Type:          row.Type,
		State:         stateProto(row.State),
		ApiVersion:    row.ApiVersion,
		Livemode:      row.Livemode,
		StripeAccount: row.StripeAccount,
		ObjectId:      row.ObjectID,
		CreateTime:    timeProto(row.CreateTime),
		ReceiveTime:   timestamppb.New(row.ReceiveTime),
		EndTime:       timeProto(row.EndTime),
		DeliveryCount: row.DeliveryCount,
		AttemptCount:  row.AttemptCount,
		Error:         row.Error,
	}
}

func stateProto(state string) webhookv1.WebhookEventState {
	for proto, name := range stateNames {
		if name == state {
			return proto
		}
	}
	return webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_UNSPECIFIED
}

func timeProto(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}
