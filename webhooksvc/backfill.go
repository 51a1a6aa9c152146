package webhooksvc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/internal/chassis/jobs"
)

const (
	// backfillReach is how far back Stripe lists events. Source: Stripe API reference, "List all events".
	backfillReach = 30 * 24 * time.Hour
	// backfillOverlap is read again each time: an event may become visible a little after events that are younger.
	backfillOverlap = time.Hour
	// backfillTypesMax is how many types one list may ask for. Source: Stripe API reference.
	backfillTypesMax = 20
)

// backfillArgs asks for a backfill now, at the start of a process. Replicas that start together each ask; what the
// first one found is known to the others.
type backfillArgs struct{}

// Kind implements river.JobArgs.
func (backfillArgs) Kind() string { return "webhook_backfill" }

// backfillPolicy gives up after a while, because the periodic run comes anyway.
var backfillPolicy = jobs.Policy{MaxAttempts: 5, Timeout: 5 * time.Minute, Queue: river.QueueDefault}

// backfiller fetches what Stripe could not deliver.
type backfiller struct{ *Service }

func (s backfiller) workBackfill(ctx context.Context, _ *river.Job[backfillArgs]) error {
	return s.backfill(ctx)
}

// backfill fetches the events that Stripe could not deliver, and feeds them through the inbox: known ones change
// nothing, new ones are processed like deliveries. It covers the platform and each account whose events arrived at the
// Connect endpoint. Source: docs.stripe.com/webhooks/process-undelivered-events.
func (s backfiller) backfill(ctx context.Context) error {
	now := s.Clock.Now()
	accounts, err := s.q.ListConnectedAccounts(ctx, s.Pool, now.Add(-backfillReach))
	if err != nil {
		return fmt.Errorf("list connected accounts: %w", err)
	}
	var errs []error
	for _, account := range append([]string{""}, accounts...) {
		errs = append(errs, s.backfillAccount(ctx, account, now)) // one account that is gone does not stop the others
	}
	return errors.Join(errs...)
}

func (s backfiller) backfillAccount(ctx context.Context, account string, now time.Time) error {
	since := now.Add(-backfillReach)
	until, err := s.q.GetWebhookBackfill(ctx, s.Pool, account)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read backfill of %q: %w", account, err)
	}
	if overlap := until.Add(-backfillOverlap); overlap.After(since) {
		since = overlap
	}
	found := 0
	for types := range slices.Chunk(EndpointTypes(), backfillTypesMax) {
		err := s.stripe.list(ctx, account, types, since, func(raw json.RawMessage) error {
			isNew, err := s.storeListed(ctx, account, raw)
			if isNew {
				found++
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("backfill of %q: %w", account, err)
		}
	}
	if found > 0 {
		s.Logger.LogAttrs(ctx, slog.LevelWarn, "webhook events had not been delivered",
			slog.String("stripe_account", account), slog.Int("events", found))
	}
	if err := s.q.SetWebhookBackfill(ctx, s.Pool, account, now); err != nil {
		return fmt.Errorf("record backfill of %q: %w", account, err)
	}
	return nil
}

// storeListed puts an event of Stripe's list into the inbox of the endpoint that it should have come to.
func (s backfiller) storeListed(ctx context.Context, account string, raw json.RawMessage) (isNew bool, err error) {
	event, err := decodeEvent(raw)
	if err != nil {
		s.Logger.LogAttrs(ctx, slog.LevelWarn, "listed event passed over", slog.String("error", err.Error()))
		return false, nil
	}
	d := delivery{endpoint: endpointAccount, source: sourceBackfill, event: event, body: raw, receiveTime: s.Clock.Now()}
	if account != "" {
		d.endpoint, d.event.account = endpointConnect, account
	}
	result, err := s.store(ctx, d)
	return result.isNew, err
}
