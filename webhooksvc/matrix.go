package webhooksvc

import (
	"context"
	"strings"

	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
)

// ListHandlers implements WebhookService.
func (s *Service) ListHandlers(context.Context, *webhookv1.ListHandlersRequest) (*webhookv1.ListHandlersResponse, error) {
	response := &webhookv1.ListHandlersResponse{}
	for _, h := range allHandlers() {
		response.Handlers = append(response.Handlers, &webhookv1.Handler{
			Type: h.eventType, Meaning: h.meaning, Action: h.action, DedupeKey: h.dedupeKey, Spare: spare[h.eventType],
		})
	}
	return response, nil
}

const matrixHeader = `# Webhook matrix

Generated from the handlers of webhooksvc; ` + "`ListHandlers`" + ` gives the same rows. Facts merge in any order, twice or at once:
the column "Repeats" names the business key by which the receiver recognises a fact that it knows already, also when
another event tells it. Each delivery is recognised by (endpoint, event id) before that. Types that are not listed are
stored, answered with 200, and have no effect.

Both endpoints at Stripe, ` + "`/webhooks/stripe`" + ` for the platform's account and ` + "`/webhooks/stripe/connect`" + ` for connected ones, need
the types under the table. The others either have no effect, or other events say the same: each costs two commits and a call for every sale.

| Event | Meaning | What is done | Repeats |
|---|---|---|---|
`

// MatrixMarkdown returns the page docs/webhooks.md.
func MatrixMarkdown() string {
	var page strings.Builder
	page.WriteString(matrixHeader)
	for _, h := range allHandlers() {
		for _, cell := range []string{"`" + h.eventType + "`", h.meaning, h.action, h.dedupeKey} {
			page.WriteString("| " + strings.ReplaceAll(cell, "|", `\|`) + " ")
		}
		page.WriteString("|\n")
	}
	page.WriteString("\n## What an endpoint needs\n\n```text\n" + strings.Join(EndpointTypes(), "\n") + "\n```\n")
	return page.String()
}
