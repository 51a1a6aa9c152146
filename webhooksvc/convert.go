package webhooksvc

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
	"github.com/dayof/dayof/webhooksvc/webhookdb"
)

// stateNames are the states as columns have them.
var stateNames = map[webhookv1.WebhookEventState]string{
	webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_RECEIVED: stateReceived,
	webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_DEFERRED: stateDeferred,
	webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_APPLIED:  stateApplied,
	webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_IGNORED:  stateIgnored,
	webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_REJECTED: stateRejected,
	webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_DEAD:     stateDead,
}

// eventToProto shows a row without its body.
func eventToProto(row webhookdb.WebhookEvent) *webhookv1.WebhookEvent {
	return &webhookv1.WebhookEvent{
		Endpoint:      row.Endpoint,
		EventId:       row.EventID,
		Type:          row.Type,
		State:         stateToProto(row.State),
		ApiVersion:    row.ApiVersion,
		Livemode:      row.Livemode,
		StripeAccount: row.StripeAccount,
		ObjectId:      row.ObjectID,
		CreateTime:    timeToProto(row.CreateTime),
		ReceiveTime:   timestamppb.New(row.ReceiveTime),
		EndTime:       timeToProto(row.EndTime),
		DeliveryCount: row.DeliveryCount,
		AttemptCount:  row.AttemptCount,
		Error:         row.Error,
	}
}

func stateToProto(state string) webhookv1.WebhookEventState {
	for proto, name := range stateNames {
		if name == state {
			return proto
		}
	}
	return webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_UNSPECIFIED
}

func timeToProto(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}
