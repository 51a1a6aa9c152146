package webhooksvc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/webhooksvc/webhookdb"
)

// eventArgs names the event to process. The job reads everything else from the inbox when it runs.
type eventArgs struct {
	Endpoint string `json:"endpoint"`
	EventID  string `json:"event_id"`
}

// Kind implements river.JobArgs.
func (eventArgs) Kind() string { return "webhook_event" }

// eventQueue is the queue of all jobs of this service.
const eventQueue = river.QueueDefault

// eventPolicy is River's part of the retries: attempts are spent only when our own database fails in the middle of a
// try. How the try itself ended, and when the next one is, stands in the inbox; see verdict.
var eventPolicy = jobs.Policy{
	MaxAttempts: 25,               // about 100 minutes of a database that works for River and not for us
	Timeout:     30 * time.Second, // several calls of one event, each up to CallTimeout
	Queue:       eventQueue,
}

const (
	// deferDelayMin and deferDelayMax bound the doubling wait for an unknown order. Mostly it is known at the second
	// look: the webhook overtook the answer to the call that made the intent.
	deferDelayMin = time.Second
	deferDelayMax = 10 * time.Minute
	// deferredTriesMax ends the wait after 1 s + 2 s + ... + 512 s + 600 s, about 27 minutes.
	deferredTriesMax = 11
	// failureDelayMin and failureDelayMax bound the doubling wait for a service that is away.
	failureDelayMin = time.Second
	failureDelayMax = time.Minute
	// failuresMax ends the tries of an event that a service fails to process, after about 12 minutes. A service that
	// is away does not count: see unavailableMax.
	failuresMax = 15
	// unavailableMax is how long an event waits for a service that is away: as long as Stripe would.
	unavailableMax = 72 * time.Hour
	// delayJitter spreads tries that failed together by a fifth either way.
	delayJitter = 0.2
	// errorSizeMax cuts off what is kept of an error.
	errorSizeMax = 1000
)

// Kinds of alerts, and whose they are.
const (
	alertDead       = "webhook_event_dead"  // "<endpoint>/<event id>": no try can help now; replay it when the cause is gone
	alertAttention  = "webhook_event_odd"   // "<endpoint>/<event id>": processed, but somebody should look
	alertThin       = "webhook_thin_events" // "<endpoint>": it is set up for thin events at Stripe
	alertAPIVersion = "webhook_api_version" // "<endpoint>/<version>": it sends another version than it is pinned to
)

// verdict is how one try of an event ended.
type verdict struct {
	state               string
	error               string        // why it is in this state; empty when all is well
	alert               string        // what an operator should know besides; empty when nothing
	delay               time.Duration // until the next try, when the state is received or deferred
	deferrals, failures int32
}

// workEvent runs one try of an event. Running it twice, at once, or after the event ended is harmless: the calls carry
// the keys of the event, and only a run that is still open is ended.
func (s *Service) workEvent(ctx context.Context, job *river.Job[eventArgs]) error {
	row, err := s.q.GetWebhookEvent(ctx, s.Pool, job.Args.Endpoint, job.Args.EventID)
	if errors.Is(err, pgx.ErrNoRows) {
		return jobs.Cancel(fmt.Errorf("no webhook event %s/%s", job.Args.Endpoint, job.Args.EventID))
	}
	if err != nil {
		return fmt.Errorf("read webhook event: %w", err)
	}
	if row.State != stateReceived && row.State != stateDeferred {
		return nil
	}
	v := s.try(ctx, row)
	crash.At(crash.WebhookCalled)
	if ctx.Err() != nil {
		return ctx.Err() // we were stopped or timed out; the try says nothing about the event
	}
	s.metrics.processed(row.Type, v.state, s.Clock.Now().Sub(row.QueueTime), s.handlers)
	s.logVerdict(ctx, row, v)
	if v.state == stateReceived || v.state == stateDeferred {
		return s.delay(ctx, row, v)
	}
	return s.end(ctx, row, v)
}

// try translates the event and makes its calls. Nothing is written here.
func (s *Service) try(ctx context.Context, row webhookdb.WebhookEvent) (v verdict) {
	defer func() {
		if value := recover(); value != nil {
			// A body that breaks us must not come back for ever, nor go unseen.
			s.Logger.LogAttrs(ctx, slog.LevelError, "webhook event panicked", slog.String("event_id", row.EventID),
				slog.Any("panic", value), slog.String("stack", string(debug.Stack())))
			v = s.failed(row, fmt.Errorf("panic: %v", value))
		}
	}()
	e, err := decodeEvent(row.Body)
	if err != nil {
		return verdict{state: stateDead, error: errorText(err)}
	}
	e.account = row.StripeAccount // an event of Stripe's list does not repeat whose list it was
	t, err := interpret(e, s.handlers, s.Config.Livemode)
	switch {
	case err != nil:
		return verdict{state: stateDead, error: errorText(err)}
	case t.refusal == "" && len(t.calls) == 0:
		return verdict{state: stateIgnored}
	}
	for _, c := range t.calls {
		key := idempotencyKey(row.Endpoint, row.EventID, row.ReplayCount, c.suffix)
		if c.prepare != nil {
			if err := c.prepare(ctx, s.lookupsFor(key)); err != nil {
				return s.failed(row, err)
			}
		}
		err := s.send(ctx, key, c.request)
		if t.refusal != "" && problem.Reason(err) == "ORDER_NOT_FOUND" {
			continue // nobody's money here
		}
		if err != nil {
			return s.failed(row, err)
		}
	}
	if t.refusal != "" {
		return verdict{state: stateRejected, error: t.refusal, alert: t.alert}
	}
	return verdict{state: stateApplied, alert: t.alert}
}

// notPosted says whether err is the answer that an entry builds on another one that is not in the ledger yet.
func notPosted(err error) bool {
	return problem.Is(err, ledgerv1.Reason_REASON_CAPTURE_NOT_POSTED) || problem.Is(err, ledgerv1.Reason_REASON_REFUND_NOT_POSTED) ||
		problem.Is(err, ledgerv1.Reason_REASON_TRANSFER_NOT_POSTED)
}

// failed decides what an error of a call means for its event:
//
//	not_found ORDER_NOT_FOUND, failed_precondition ..._NOT_POSTED,
//	an account that is nobody's                                     deferred: what it follows from is on its way
//	unavailable, aborted, timed out, shed                           tried again for as long as Stripe would
//	invalid_argument, already_exists (the key was used for another
//	request), permission_denied, other not_found and
//	failed_precondition, out_of_range                               dead at once: the same call gets the same answer
//	internal and everything else                                    tried again a few times, then dead
func (s *Service) failed(row webhookdb.WebhookEvent, err error) verdict {
	v := verdict{state: stateReceived, error: errorText(err), deferrals: row.DeferralCount, failures: row.FailureCount}
	code, reason := problem.Code(err), problem.Reason(err)
	switch {
	case errors.Is(err, errNotAtStripe), errors.Is(err, errNoStripeKey), errors.Is(err, errPayoutLarge):
		v.state = stateDead
	case errors.Is(err, errNoOrganizer),
		code == connect.CodeNotFound && reason == "ORDER_NOT_FOUND",
		code == connect.CodeFailedPrecondition && notPosted(err):
		v.state = stateDeferred
		v.delay = doubling(deferDelayMin, deferDelayMax, v.deferrals)
		if v.deferrals++; v.deferrals > deferredTriesMax {
			v.state = stateDead
		}
	case refuses(code):
		v.state = stateDead
	case isAway(err):
		v.delay = max(doubling(failureDelayMin, failureDelayMax, v.failures), problem.RetryAfter(err))
		v.failures++
		if s.Clock.Now().Sub(row.QueueTime) > unavailableMax {
			v.state = stateDead
		}
	default:
		v.delay = doubling(failureDelayMin, failureDelayMax, v.failures)
		if v.failures++; v.failures >= failuresMax {
			v.state = stateDead
		}
	}
	return v
}

// isAway says that the call may succeed as it is, later.
func isAway(err error) bool {
	if _, stripeAway := errors.AsType[*stripeAwayError](err); stripeAway {
		return true
	}
	d, ok := errors.AsType[*problem.Downstream](err)
	return ok && d.Retryable()
}

// refuses tells the codes that a repeat will get again.
func refuses(code connect.Code) bool {
	switch code {
	case connect.CodeInvalidArgument, connect.CodeAlreadyExists, connect.CodePermissionDenied,
		connect.CodeNotFound, connect.CodeFailedPrecondition, connect.CodeOutOfRange:
		return true
	default:
		return false
	}
}

// doubling is first after the first failure and doubles up to most, give or take the jitter.
func doubling(first, most time.Duration, before int32) time.Duration {
	delay := first
	for range before {
		if delay *= 2; delay >= most {
			delay = most
			break
		}
	}
	return time.Duration(float64(delay) * (1 - delayJitter + 2*delayJitter*rand.Float64()))
}

// delay notes a try without success and lets the job wait. Nothing changes when another try ended the event meanwhile.
func (s *Service) delay(ctx context.Context, row webhookdb.WebhookEvent, v verdict) error {
	open, err := s.q.DelayWebhookEvent(ctx, s.Pool, webhookdb.DelayWebhookEventParams{
		State: v.state, Error: v.error, DeferralCount: v.deferrals, FailureCount: v.failures,
		Endpoint: row.Endpoint, EventID: row.EventID, ReplayCount: row.ReplayCount,
	})
	if err != nil {
		return fmt.Errorf("delay webhook event: %w", err)
	}
	if open == 0 {
		return nil
	}
	return jobs.Snooze(v.delay)
}

// end ends the run of an event. Alerts are opened and closed in the same transaction.
func (s *Service) end(ctx context.Context, row webhookdb.WebhookEvent, v verdict) error {
	params := webhookdb.EndWebhookEventParams{
		State: v.state, Error: v.error, EndTime: s.Clock.Now(),
		Endpoint: row.Endpoint, EventID: row.EventID, ReplayCount: row.ReplayCount,
	}
	var alerts pgdb.Pipeline
	if err := s.queueAlerts(ctx, &alerts, row, v); err != nil {
		return err
	}
	if alerts.Batch().Len() == 0 {
		if _, err := s.q.EndWebhookEvent(ctx, s.Pool, params); err != nil {
			return fmt.Errorf("end webhook event: %w", err)
		}
		return nil
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
func (s *Service) queueAlerts(ctx context.Context, tx jobs.Execer, row webhookdb.WebhookEvent, v verdict) error {
	subject := row.Endpoint + "/" + row.EventID
	link := s.Config.ConsoleURL + "/webhooks/" + subject
	facts := map[string]any{
		"event_id": row.EventID, "endpoint": row.Endpoint, "type": row.Type, "object_id": row.ObjectID,
		"stripe_account": row.StripeAccount, "attempts": row.AttemptCount + 1, "error": v.error,
	}
	var errs []error
	if v.state == stateDead {
		errs = append(errs, jobs.RaiseAlert(ctx, tx, alertDead, subject, facts, link))
	} else if row.ReplayCount > 0 {
		errs = append(errs, jobs.ResolveAlert(ctx, tx, alertDead, subject))
	}
	if v.alert != "" {
		facts["alert"] = v.alert
		kind := alertAttention
		if v.error == refusalThinEvent {
			kind, subject = alertThin, row.Endpoint // one cause for all of them
		}
		errs = append(errs, jobs.RaiseAlert(ctx, tx, kind, subject, facts, link))
	}
	// The list shows events in the version of the account, so only deliveries tell what the endpoint is pinned to.
	if row.Source == sourceDelivery && row.ApiVersion != "" && row.ApiVersion != s.Config.APIVersion {
		errs = append(errs, jobs.RaiseAlert(ctx, tx, alertAPIVersion, row.Endpoint+"/"+row.ApiVersion, map[string]any{
			"endpoint": row.Endpoint, "api_version": row.ApiVersion, "pinned": s.Config.APIVersion, "event_id": row.EventID,
		}, link))
	}
	return errors.Join(errs...)
}

func (s *Service) logVerdict(ctx context.Context, row webhookdb.WebhookEvent, v verdict) {
	level := slog.LevelInfo
	switch v.state {
	case stateReceived, stateDeferred:
		level = slog.LevelWarn
	case stateDead:
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("endpoint", row.Endpoint), slog.String("event_id", row.EventID), slog.String("type", row.Type),
		slog.String("state", v.state), slog.Int("attempt", int(row.AttemptCount)+1),
	}
	if v.error != "" {
		attrs = append(attrs, slog.String("error", v.error))
	}
	s.Logger.LogAttrs(ctx, level, "webhook event tried", attrs...)
}

// errorText is an error in a form that fits into a text column.
func errorText(err error) string {
	text := strings.ReplaceAll(strings.ToValidUTF8(err.Error(), "\uFFFD"), "\x00", "")
	if len(text) > errorSizeMax {
		text = strings.ToValidUTF8(text[:errorSizeMax], "")
	}
	return text
}
