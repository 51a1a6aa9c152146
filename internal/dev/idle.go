package dev

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
)

// openJobs counts the jobs that run, are due, or are due within a minute; later ones belong to a later day.
const openJobs = `select count(*) from river_job
	where state in ('available', 'running', 'pending', 'retryable')
	or (state = 'scheduled' and scheduled_at < now() + interval '1 minute')`

// Left says what is still to do about an order and the webhook events of some ids; "" when nothing is. A parked event
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
		left = append(left, fmt.Sprintf("%d webhook events are received or parked", events))
	}
	for _, service := range []string{"checkout", "pass", "ledger", "webhook"} {
		jobs, err := c.countJobs(ctx, service)
		if err != nil {
			return "", err
		}
		if jobs > 0 {
			left = append(left, fmt.Sprintf("%d %s jobs", jobs, service))
		}
	}
	return strings.Join(left, ", "), nil
}

func (c *Client) openEvents(ctx context.Context, ids []string) (int, error) {
	open := 0
	for _, state := range []webhookv1.WebhookEventState{
		webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_RECEIVED, webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_PARKED,
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

func (c *Client) countJobs(ctx context.Context, service string) (int, error) {
	conn, err := pgx.Connect(ctx, c.File.DatabaseURLs[service])
	if err != nil {
		return 0, fmt.Errorf("look at the jobs of %s: %w", service, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var count int
	if err := conn.QueryRow(ctx, openJobs).Scan(&count); err != nil {
		return 0, fmt.Errorf("count the jobs of %s: %w", service, err)
	}
	return count, nil
}
