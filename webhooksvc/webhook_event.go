package webhooksvc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/webhooksvc/webhookdb"
)

var reasonEventNotFound = problem.ReasonOf(webhookv1.Reason_REASON_WEBHOOK_EVENT_NOT_FOUND)

// GetWebhookEvent implements WebhookService.
func (s *Service) GetWebhookEvent(ctx context.Context, req *webhookv1.GetWebhookEventRequest) (*webhookv1.GetWebhookEventResponse, error) {
	row, err := s.q.GetWebhookEvent(ctx, s.Pool, req.GetEndpoint(), req.GetEventId())
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, problem.New(connect.CodeNotFound, reasonEventNotFound, "no such webhook event; check endpoint and id")
	}
	if err != nil {
		return nil, fmt.Errorf("read webhook event: %w", err)
	}
	event := eventToProto(row)
	event.Body = strings.ToValidUTF8(string(row.Body), "\uFFFD") // a proto string must be UTF-8; the row keeps the bytes
	return &webhookv1.GetWebhookEventResponse{Event: event}, nil
}

// ListWebhookEvents implements WebhookService. A page begins after the last id of the page before, so that a row
// is listed once however many arrive meanwhile.
func (s *Service) ListWebhookEvents(ctx context.Context, req *webhookv1.ListWebhookEventsRequest) (*webhookv1.ListWebhookEventsResponse, error) {
	if err := checkFilter(req.GetFilter()); err != nil {
		return nil, err
	}
	size := int(page.Size(req.GetPageSize()))
	wanted := filterConditions(req.GetFilter(), 0)
	list := page.List("webhook_events", req.GetFilter())
	before, err := page.Parse(req.GetPageToken(), list, int64(math.MaxInt64))
	if err != nil {
		return nil, err
	}
	wanted.add("id < ?", before)
	rows, err := s.Pool.Query(ctx, fmt.Sprintf(`
		select id, endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id, create_time,
			receive_time, delivery_count, state, error, end_time, attempt_count, queue_time, deferral_count, failure_count,
			replay_count, ''::bytea as body, next_try_time
		from webhook_events where %s order by id desc limit %d`, wanted.sql(), size+1), wanted.args...)
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
		response.Events = append(response.Events, eventToProto(row))
	}
	return response, nil
}
