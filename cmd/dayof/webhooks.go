package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// webhookEvent is a stored webhook event as scripts and people read it.
type webhookEvent struct {
	Endpoint      string `json:"endpoint"`
	EventID       string `json:"event_id"`
	Type          string `json:"type"`
	State         string `json:"state"`
	ObjectID      string `json:"object_id"`
	StripeAccount string `json:"stripe_account"`
	APIVersion    string `json:"api_version"`
	Livemode      bool   `json:"livemode"`
	CreateTime    string `json:"create_time"`
	ReceiveTime   string `json:"receive_time"`
	DeliveryCount int64  `json:"delivery_count"`
	AttemptCount  int32  `json:"attempt_count"`
	Error         string `json:"error"`
	Body          string `json:"body,omitempty"`
}

func newWebhookEvent(e *webhookv1.WebhookEvent) webhookEvent {
	return webhookEvent{
		Endpoint: e.GetEndpoint(), EventID: e.GetEventId(), Type: e.GetType(), State: client.Word(e.GetState()),
		ObjectID: e.GetObjectId(), StripeAccount: e.GetStripeAccount(), APIVersion: e.GetApiVersion(), Livemode: e.GetLivemode(),
		CreateTime: e.GetCreateTime().AsTime().Format(time.RFC3339), ReceiveTime: e.GetReceiveTime().AsTime().Format(time.RFC3339Nano),
		DeliveryCount: e.GetDeliveryCount(), AttemptCount: e.GetAttemptCount(), Error: e.GetError(), Body: e.GetBody(),
	}
}

// eventStates are the words of -state.
var eventStates = map[string]webhookv1.WebhookEventState{
	"":         webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_UNSPECIFIED,
	"received": webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_RECEIVED,
	"deferred": webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_DEFERRED,
	"applied":  webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_APPLIED,
	"ignored":  webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_IGNORED,
	"rejected": webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_REJECTED,
	"dead":     webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_DEAD,
}

func webhooksListCommand() command {
	return command{
		name: "webhooks list", args: "[-state S] [-type T] [-object ID]", about: "list the newest 200 stored webhook events",
		driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			state := flags.String("state", "", "only `STATE`: received, deferred, applied, ignored, rejected or dead")
			kind := flags.String("type", "", "only this `TYPE`, such as charge.updated")
			object := flags.String("object", "", "only about the object of this `ID`")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				wanted, known := eventStates[*state]
				if !known {
					return usagef("no such state: %s", *state)
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				page, err := system.Webhooks.ListWebhookEvents(ctx, &webhookv1.ListWebhookEventsRequest{
					Filter: &webhookv1.WebhookEventFilter{State: wanted, Type: *kind, ObjectId: *object}, PageSize: 200,
				})
				if err != nil {
					return err
				}
				events := []webhookEvent{}
				for _, e := range page.GetEvents() {
					events = append(events, newWebhookEvent(e))
				}
				return printList(h, events, "no webhook events", func(e webhookEvent) string {
					return fmt.Sprintf("%s  %-8s  %-8s  %-36s  %s  %s", e.ReceiveTime, e.State, e.Endpoint, e.Type, e.EventID, e.Error)
				})
			}
		},
	}
}

func webhooksShowCommand() command {
	return command{
		name: "webhooks show", args: "EVENT [-endpoint account|connect]", about: "show a stored webhook event with its body",
		driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			endpoint := flags.String("endpoint", "account", "endpoint that it arrived at: account or connect")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the event's id"); err != nil {
					return err
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				res, err := system.Webhooks.GetWebhookEvent(ctx, &webhookv1.GetWebhookEventRequest{Endpoint: *endpoint, EventId: args[0]})
				if err != nil {
					return err
				}
				return h.printJSON(newWebhookEvent(res.GetEvent()))
			}
		},
	}
}

func webhooksRetryCommand() command {
	return command{
		name: "webhooks retry", args: "EVENT ... | -state S [-type T] [-dry-run]", about: "process stored webhook events once more",
		driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			state := flags.String("state", "", "all in this `STATE`, such as dead or deferred")
			kind := flags.String("type", "", "all of this `TYPE`")
			dryRun := flags.Bool("dry-run", false, "only count them")
			note := flags.String("note", "dayof webhooks retry", "why, for the audit trail")
			return func(ctx context.Context, h host, args []string) error {
				request := &webhookv1.ReplayWebhookEventsRequest{EventIds: args, DryRun: *dryRun, Note: *note}
				if len(args) == 0 {
					wanted, known := eventStates[*state]
					if !known || (*state == "" && *kind == "") {
						return usagef("name events, or -state or -type")
					}
					request.Filter = &webhookv1.WebhookEventFilter{State: wanted, Type: *kind}
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				res, err := system.Webhooks.ReplayWebhookEvents(rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey()), request)
				if err != nil {
					return err
				}
				return h.printJSON(struct {
					EventCount int64 `json:"event_count"`
				}{res.GetEventCount()})
			}
		},
	}
}
