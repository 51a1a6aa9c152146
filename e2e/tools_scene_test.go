//go:build tools

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/e2e/e2etest"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
)

// awaitRun waits until the reconciliation that was started has ended, and returns its id.
func (s *scene) awaitRun() any {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		res, err := s.client.Books.GetReconciliationRun(ctx, &ledgerv1.GetReconciliationRunRequest{RunId: s.run})
		if err == nil && res.GetRun().GetState() != ledgerv1.RunState_RUN_STATE_RUNNING {
			break
		}
		e2etest.Pause(ctx)
	}
	return s.run
}

// newestEvent is the id of the newest webhook event that was stored without an effect.
func newestEvent(t *testing.T, system *client.Client) string {
	t.Helper()
	ctx := e2etest.Within(t, time.Minute)
	for {
		page, err := system.Webhooks.ListWebhookEvents(ctx, &webhookv1.ListWebhookEventsRequest{
			Filter: &webhookv1.WebhookEventFilter{State: webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_IGNORED, Type: "product.created"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.GetEvents()) > 0 {
			return page.GetEvents()[0].GetEventId()
		}
		e2etest.Pause(ctx)
	}
}
