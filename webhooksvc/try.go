package webhooksvc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/webhooksvc/webhookdb"
)

// tryTimeout bounds one try: several calls of one event, each up to CallTimeout.
const tryTimeout = 30 * time.Second

// Kinds of alerts, and whose they are.
const (
	alertDead       = "webhook_event_dead"    // "<endpoint>/<event id>": no try can help now; replay it when the cause is gone
	alertDelayed    = "webhook_event_delayed" // "<endpoint>/<type>": events of this type fail for long and are tried again; or all, see below
	alertAttention  = "webhook_event_odd"     // "<endpoint>/<event id>": processed, but a person should check
	alertThin       = "webhook_thin_events"   // "<endpoint>": it is set up for thin events at Stripe
	alertAPIVersion = "webhook_api_version"   // "<endpoint>/<version>": it sends another version than it is pinned to
)

// alertAllDelayed is the subject where nobody tries events that are due.
const alertAllDelayed = "inbox"

// workEvent runs one try of an event that is open. Running it twice, at once, or after the event ended is harmless: the calls carry
// the keys of the event, and only a run that is still open is ended. What our own database does not take is tried again when the lease
// has ended.
func (s *Service) workEvent(ctx context.Context, row webhookdb.WebhookEvent) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	o := s.try(ctx, row)
	crash.At(crash.WebhookCalled)
	if errors.Is(ctx.Err(), context.Canceled) {
		return // we are stopped; the try says nothing about the event
	}
	if o.away {
		s.queue.standBack()
	} else {
		s.queue.goOn()
	}
	s.queue.settle(leaseOf(row))
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := s.record(recording, row, o); err != nil {
		s.Logger.LogAttrs(ctx, slog.LevelError, "webhook event tried, but that cannot be recorded", slog.String("endpoint", row.Endpoint),
			slog.String("event_id", row.EventID), slog.Any("error", err))
	}
}

// record writes how a try ended. What cannot be ended counts as a failure, so that people hear of it when it lasts.
func (s *Service) record(ctx context.Context, row webhookdb.WebhookEvent, o outcome) error {
	if o.orderless {
		if err := s.raiseOrderless(ctx, row); err != nil {
			o = s.classify(row, err)
		}
	}
	s.metrics.processed(row.Type, o.state, s.Clock.Now().Sub(row.QueueTime), s.handlers)
	s.logOutcome(ctx, row, o)
	if o.state == stateReceived || o.state == stateDeferred {
		return s.delay(ctx, row, o)
	}
	err := s.end(ctx, row, o)
	if err == nil {
		return nil
	}
	failed := s.classify(row, err)
	failed.state = stateReceived // whatever its age: it could not end
	return errors.Join(err, s.delay(ctx, row, failed))
}

// raiseDelayed tells people of events of a type that fail for long: one alert, however many they are.
func (s *Service) raiseDelayed(ctx context.Context, row webhookdb.WebhookEvent, cause string) error {
	return alert.Raise(ctx, s.Pool, alertDelayed, row.Endpoint+"/"+row.Type, map[string]any{
		"event_id": row.EventID, "endpoint": row.Endpoint, "type": row.Type, "error": cause,
	}, alert.Link(s.Config.ConsoleURL, "/webhooks/"+row.Endpoint+"/"+row.EventID))
}

// raiseOrderless leaves an event about money to a person when no order is known for it in the end, such as a dispute of a payment
// that names our order and that no row of ours has. Idempotent: it is one case per object.
func (s *Service) raiseOrderless(ctx context.Context, row webhookdb.WebhookEvent) error {
	key := idempotencyKey(row.Endpoint, row.EventID, row.ReplayCount, "orderless")
	return s.send(ctx, key, &checkoutv1.RaiseReviewCaseRequest{
		Kind: "event_without_order", Subject: cmp.Or(row.ObjectID, row.EventID),
		Facts: map[string]string{
			"event_id": row.EventID, "endpoint": row.Endpoint, "type": row.Type, "object_id": row.ObjectID, "stripe_account": row.StripeAccount,
		},
		SuggestedAction: "Look at the object at Stripe and find the order that its payment names. If there is one, replay the event; if not, settle with the buyer at Stripe.",
	})
}

// try translates the event and makes its calls. Nothing is written here.
func (s *Service) try(ctx context.Context, row webhookdb.WebhookEvent) (o outcome) {
	defer func() {
		if value := recover(); value != nil {
			// A body that breaks us must not come back for ever, nor go unseen.
			s.Logger.LogAttrs(ctx, slog.LevelError, "webhook event panicked", slog.String("event_id", row.EventID),
				slog.Any("panic", value), slog.String("stack", string(debug.Stack())))
			o = s.classify(row, fmt.Errorf("panic: %v", value))
		}
	}()
	e, err := decodeEvent(row.Body)
	if err != nil {
		return outcome{state: stateDead, error: errorText(err)}
	}
	e.account = row.StripeAccount // an event of Stripe's list does not repeat whose list it was
	t, err := interpret(e, s.handlers, s.Config.Livemode)
	switch {
	case err != nil:
		return outcome{state: stateDead, error: errorText(err)}
	case t.refusal == "" && len(t.calls) == 0:
		return outcome{state: stateIgnored}
	}
	for _, c := range t.calls {
		key := idempotencyKey(row.Endpoint, row.EventID, row.ReplayCount, c.suffix)
		if c.prepare != nil {
			err := c.prepare(ctx, s.lookupsFor(key))
			if errors.Is(err, errNotNeeded) {
				continue
			}
			if err != nil {
				return s.classify(row, err)
			}
		}
		err := s.send(ctx, key, c.request)
		if problem.Is(err, checkoutv1.Reason_REASON_ORDER_NOT_FOUND) {
			if t.refusal != "" {
				continue // nobody's money here
			}
			if ours, lookupErr := s.mayBeOurs(ctx, key, c); lookupErr != nil {
				err = lookupErr
			} else if !ours {
				return outcome{state: stateRejected, error: refusalUnmatched}
			}
		}
		if err != nil {
			return s.classify(row, err)
		}
	}
	if t.refusal != "" {
		return outcome{state: stateRejected, error: t.refusal, alert: t.alert}
	}
	return outcome{state: stateApplied, alert: t.alert}
}

// mayBeOurs says whether the object of a call that found no order may still turn out to be one of ours.
func (s *Service) mayBeOurs(ctx context.Context, key string, c call) (bool, error) {
	if c.ours == nil {
		return true, nil
	}
	return c.ours(ctx, s.lookupsFor(key))
}

// delay records a try without success, and when the next one is. Nothing changes when another try ended the event meanwhile.
func (s *Service) delay(ctx context.Context, row webhookdb.WebhookEvent, o outcome) error {
	open, err := s.q.DelayWebhookEvent(ctx, s.Pool, webhookdb.DelayWebhookEventParams{
		State: o.state, Error: o.error, DeferralCount: o.deferrals, FailureCount: o.failures, DelaySeconds: o.delay.Seconds(),
		Endpoint: row.Endpoint, EventID: row.EventID, ReplayCount: row.ReplayCount,
	})
	if err != nil {
		return fmt.Errorf("delay webhook event: %w", err)
	}
	if open == 0 {
		return nil
	}
	if o.state == stateDeferred {
		s.queue.nudgeIn(o.delay + nudgeLate)
	}
	if o.delayed {
		if err := s.raiseDelayed(ctx, row, o.error); err != nil {
			return fmt.Errorf("tell that a webhook event is delayed: %w", err)
		}
	}
	return nil
}

// nudgeLate is how much later than a delayed event is due it is looked for: its time is the database's.
const nudgeLate = 20 * time.Millisecond

// end ends the run of an event. Alerts are opened and closed in the same transaction; without any, events share a statement.
func (s *Service) end(ctx context.Context, row webhookdb.WebhookEvent, o outcome) error {
	params := webhookdb.EndWebhookEventParams{
		State: o.state, Error: o.error, EndTime: s.Clock.Now(),
		Endpoint: row.Endpoint, EventID: row.EventID, ReplayCount: row.ReplayCount,
	}
	var alerts pgdb.Pipeline
	if err := s.queueAlerts(ctx, &alerts, row, o); err != nil {
		return err
	}
	if alerts.Batch().Len() == 0 {
		return s.endTogether(ctx, params)
	}
	err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		ended, err := s.q.EndWebhookEvent(ctx, tx, params)
		if err != nil || ended == 0 {
			return err
		}
		return alerts.Flush(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("end webhook event: %w", err)
	}
	return nil
}

// queueAlerts queues what people should hear of: a dead event, an odd one, an unexpected API version. The alert of a
// dead event is resolved when a later run ends well.
func (s *Service) queueAlerts(ctx context.Context, tx alert.Execer, row webhookdb.WebhookEvent, o outcome) error {
	subject := row.Endpoint + "/" + row.EventID
	link := alert.Link(s.Config.ConsoleURL, "/webhooks/"+subject)
	facts := map[string]any{
		"event_id": row.EventID, "endpoint": row.Endpoint, "type": row.Type, "object_id": row.ObjectID,
		"stripe_account": row.StripeAccount, "attempts": row.AttemptCount + 1, "error": o.error,
	}
	if amount, ok := amountOf(row.Body); ok {
		facts["amount"] = amount.Format()
	}
	var errs []error
	if o.state == stateDead {
		errs = append(errs, alert.Raise(ctx, tx, alertDead, subject, facts, link))
	} else if row.ReplayCount > 0 {
		errs = append(errs, alert.Resolve(ctx, tx, alertDead, subject))
	}
	if row.FailureCount >= failuresMax {
		errs = append(errs, alert.Resolve(ctx, tx, alertDelayed, row.Endpoint+"/"+row.Type)) // raised again where others still fail
	}
	if o.alert != "" {
		facts["alert"] = o.alert
		kind := alertAttention
		if o.error == refusalThinEvent {
			kind, subject = alertThin, row.Endpoint // one cause for all of them
		}
		errs = append(errs, alert.Raise(ctx, tx, kind, subject, facts, link))
	}
	// The list shows events in the version of the account, so only deliveries show what the endpoint is pinned to.
	if row.Source == sourceDelivery && row.ApiVersion != "" && row.ApiVersion != s.Config.APIVersion {
		errs = append(errs, alert.Raise(ctx, tx, alertAPIVersion, row.Endpoint+"/"+row.ApiVersion, map[string]any{
			"endpoint": row.Endpoint, "api_version": row.ApiVersion, "pinned": s.Config.APIVersion, "event_id": row.EventID,
		}, link))
	}
	return errors.Join(errs...)
}

func (s *Service) logOutcome(ctx context.Context, row webhookdb.WebhookEvent, o outcome) {
	level := slog.LevelInfo
	switch o.state {
	case stateReceived, stateDeferred:
		level = slog.LevelWarn
	case stateDead:
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("endpoint", row.Endpoint), slog.String("event_id", row.EventID), slog.String("type", row.Type),
		slog.String("state", o.state), slog.Int("attempt", int(row.AttemptCount)+1),
	}
	if o.error != "" {
		attrs = append(attrs, slog.String("error", o.error))
	}
	s.Logger.LogAttrs(ctx, level, "webhook event tried", attrs...)
}
