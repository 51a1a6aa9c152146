package client

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// Services are the short names of the services, as in dev.json and `dayof serve`.
var Services = []string{"checkout", "pass", "ledger", "webhook"}

// soon is how far ahead a job counts as still to do; a later one belongs to a later day.
const soon = time.Minute

// Left says what is still to do about an order and the webhook events of some ids; "" when nothing is. A deferred event
// counts: it waits for something. Jobs of other orders count too, because a job does not tell whose it is.
func (c *Client) Left(ctx context.Context, orderID string, eventIDs []string) (string, error) {
	var left []string
	details, err := c.Orders.GetOrderDetails(ctx, &checkoutv1.GetOrderDetailsRequest{OrderId: orderID})
	if err != nil {
		return "", err
	}
	switch state := details.GetOrder().GetFulfilmentState(); state {
	case checkoutv1.FulfilmentState_FULFILMENT_STATE_IN_PROGRESS, checkoutv1.FulfilmentState_FULFILMENT_STATE_LEDGER_BLOCKED:
		left = append(left, "the order is "+Word(state))
	default:
	}
	for _, r := range details.GetOrder().GetRefunds() {
		if r.GetState() == checkoutv1.RefundState_REFUND_STATE_REQUESTED {
			left = append(left, "refund "+r.GetId()+" is requested")
		}
	}
	idle, err := c.Stripe.Idle(ctx)
	if err != nil {
		return "", err
	}
	if !idle {
		left = append(left, "stripe has webhooks to send")
	}
	events, err := c.openEvents(ctx, eventIDs)
	if err != nil {
		return "", err
	}
	if events > 0 {
		left = append(left, fmt.Sprintf("%d webhook events are received or deferred", events))
	}
	for _, service := range Services {
		count, err := c.countJobs(ctx, service)
		if err != nil {
			return "", err
		}
		if count > 0 {
			left = append(left, fmt.Sprintf("%d %s jobs", count, service))
		}
	}
	pushes, batches, err := c.countPassWork(ctx)
	if err != nil {
		return "", err
	}
	if pushes > 0 {
		left = append(left, fmt.Sprintf("%d pushes", pushes))
	}
	if batches > 0 {
		left = append(left, fmt.Sprintf("%d pass batches", batches))
	}
	return strings.Join(left, ", "), nil
}

// countPassWork counts what passsvc does without jobs: devices to tell soon, and events whose passes are changing.
func (c *Client) countPassWork(ctx context.Context) (pushes, batches int64, err error) {
	pool, err := pgdb.Open(ctx, c.File.DatabaseURLs["pass"], pgdb.Options{MaxConns: 1, ApplicationName: "dayof"})
	if err != nil {
		return 0, 0, fmt.Errorf("look at the work of pass: %w", err)
	}
	defer pool.Close()
	err = pool.QueryRow(ctx, `select
		(select count(*) from pushes where state = 'pending' and due_time < clock_timestamp() + make_interval(secs => $1)),
		(select count(*) from pass_batches where state = 'running')`, soon.Seconds()).Scan(&pushes, &batches)
	if err != nil {
		return 0, 0, fmt.Errorf("look at the work of pass: %w", err)
	}
	return pushes, batches, nil
}

func (c *Client) openEvents(ctx context.Context, ids []string) (int, error) {
	open := 0
	for _, state := range []webhookv1.WebhookEventState{
		webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_RECEIVED, webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_DEFERRED,
	} {
		request := &webhookv1.ListWebhookEventsRequest{Filter: &webhookv1.WebhookEventFilter{State: state}, PageSize: 200}
		for {
			page, err := c.Webhooks.ListWebhookEvents(ctx, request)
			if err != nil {
				return 0, err
			}
			for _, e := range page.GetEvents() {
				if slices.Contains(ids, e.GetEventId()) {
					open++
				}
			}
			if page.GetNextPageToken() == "" {
				break
			}
			request.PageToken = page.GetNextPageToken()
		}
	}
	return open, nil
}

func (c *Client) countJobs(ctx context.Context, service string) (int64, error) {
	pool, err := pgdb.Open(ctx, c.File.DatabaseURLs[service], pgdb.Options{MaxConns: 1, ApplicationName: "dayof"})
	if err != nil {
		return 0, fmt.Errorf("look at the jobs of %s: %w", service, err)
	}
	defer pool.Close()
	kinds, err := jobs.Unfinished(ctx, pool, soon)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", service, err)
	}
	var sum int64
	for _, count := range kinds {
		sum += count
	}
	return sum, nil
}
