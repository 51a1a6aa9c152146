package webhooksvc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/internal/chassis/alert"
)

// alertSilent is the kind of the alert that Stripe does not deliver to an endpoint; the subject is the endpoint.
const alertSilent = "stripe_silent"

const (
	// silenceReach is how far back the watch looks: an event that is older is the backfill's.
	silenceReach = time.Hour
	// silentAccountsMax bounds how many connected accounts one round asks for: each takes a call to Stripe.
	silentAccountsMax = 5
)

// moneyTypes are the events whose absence leaves buyers without tickets, or tickets valid that are paid back: at most as many as one
// list may ask for.
func moneyTypes() []string {
	return []string{
		"payment_intent.succeeded", "payment_intent.canceled", "charge.captured", "charge.refunded", "refund.created", "refund.updated",
		"refund.failed", "charge.dispute.created", "charge.dispute.closed", "checkout.session.async_payment_succeeded",
	}
}

// watchSilence compares what happened at Stripe a little while ago with what arrived here, whether Stripe tried to deliver it or
// not: an endpoint that was deleted or disabled at Stripe has no failed deliveries. What is missing is processed like a delivery,
// and people are told. In health it is one call for the platform, and one for each connected account that was heard of last.
//
// Idempotent: what the first round stored is known to the others.
func (s backfiller) watchSilence(ctx context.Context) error {
	now := s.Clock.Now()
	accounts, err := s.q.ListRecentAccounts(ctx, s.Pool, now.Add(-silenceReach), silentAccountsMax)
	if err != nil {
		return fmt.Errorf("list recent accounts: %w", err)
	}
	missing, err := s.storeMissing(ctx, "", now)
	errs := []error{err, s.reportSilence(ctx, endpointAccount, missing, now)}
	if len(s.Config.ConnectSecrets) > 0 {
		missing = 0
		for _, account := range accounts { // one account that is gone does not stop the others
			n, err := s.storeMissing(ctx, account, now)
			missing += n
			errs = append(errs, err)
		}
		errs = append(errs, s.reportSilence(ctx, endpointConnect, missing, now))
	}
	return errors.Join(errs...)
}

// errNothingMissing ends the list of an account at the first page of which everything is known.
var errNothingMissing = errors.New("nothing is missing on this page")

// storeMissing stores the events of an account that should have arrived by now, and counts them.
func (s backfiller) storeMissing(ctx context.Context, account string, now time.Time) (missing int, err error) {
	span := listSpan{types: moneyTypes(), from: now.Add(-silenceReach), until: now.Add(-s.Config.SilenceAfter)}
	inPage := 0
	err = s.stripe.listPages(ctx, account, span, func(page []json.RawMessage) error {
		inPage = 0
		for _, raw := range page {
			isNew, err := s.storeListed(ctx, account, raw)
			if err != nil {
				return err
			}
			if isNew {
				inPage++
			}
		}
		if missing += inPage; inPage == 0 {
			return errNothingMissing
		}
		return nil
	})
	if errors.Is(err, errNothingMissing) {
		err = nil
	}
	if err != nil {
		return missing, fmt.Errorf("watch deliveries of %q: %w", account, err)
	}
	return missing, nil
}

// reportSilence tells people that events of an endpoint were missing, or that Stripe delivers to it again.
func (s backfiller) reportSilence(ctx context.Context, endpoint string, missing int, now time.Time) error {
	last, err := s.q.LastDelivery(ctx, s.Pool, now.Add(-silenceReach), endpoint)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read last delivery: %w", err)
	}
	if missing == 0 {
		if now.Sub(last) > s.Config.SilenceAfter {
			return nil // nothing shows that it is over
		}
		return alert.Resolve(ctx, s.Pool, alertSilent, endpoint)
	}
	s.Logger.LogAttrs(ctx, slog.LevelWarn, "webhook events did not arrive", slog.String("endpoint", endpoint), slog.Int("events", missing))
	facts := map[string]any{
		"endpoint": endpoint, "missing_events": missing,
		"action": "Look at the endpoint in Stripe's dashboard: whether it exists, is enabled, has this URL, and what its deliveries are answered. Payments are found by polling meanwhile, minutes late.",
	}
	if !last.IsZero() {
		facts["last_delivery_time"] = last.Format(time.RFC3339)
	}
	return alert.Raise(ctx, s.Pool, alertSilent, endpoint, facts, alert.Link(s.Config.ConsoleURL, "/webhooks"))
}
