package webhooksvc

import (
	"errors"
	"strings"
	"time"

	"connectrpc.com/connect"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/backoff"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/webhooksvc/webhookdb"
)

const (
	// deferredTriesMax ends the wait after 1 s + 2 s + ... + 512 s + 600 s, about 27 minutes.
	deferredTriesMax = 11
	// failuresMax is after how many failures of a service to process an event people are told, after about 12 minutes. A service that
	// is away does not count.
	failuresMax = 15
	// unavailableMax is how long an event waits for a service that is away, or that fails to process it: as long as Stripe would.
	unavailableMax = 72 * time.Hour
	// delayJitter spreads tries that failed together by a fifth either way.
	delayJitter = 0.2
	// errorSizeMax cuts off what is kept of an error.
	errorSizeMax = 1000
)

var (
	// deferBackoff is the wait for an unknown order. Mostly it is known at the second try: the webhook overtook the
	// answer to the call that made the intent.
	deferBackoff = backoff.Policy{First: time.Second, Max: 10 * time.Minute, Jitter: delayJitter}
	// failureBackoff is the wait for a service that is away, or that fails.
	failureBackoff = backoff.Policy{First: time.Second, Max: time.Minute, Jitter: delayJitter}
)

// outcome is how one try of an event ended.
type outcome struct {
	state               string
	error               string        // why it is in this state; empty when all is well
	alert               string        // what an operator should know besides; empty when nothing
	delay               time.Duration // until the next try, when the state is received or deferred
	deferrals, failures int32
	// delayed says that it failed for long, so that people should hear of it.
	delayed bool
	// away says that a service is away, perhaps for this process only.
	away bool
	// orderless says that the event is about money of an order that nobody came to know.
	orderless bool
}

// notPosted says whether err is the answer that an entry builds on another one that is not in the ledger yet.
func notPosted(err error) bool {
	return problem.Is(err, ledgerv1.Reason_REASON_CAPTURE_NOT_POSTED) || problem.Is(err, ledgerv1.Reason_REASON_REFUND_NOT_POSTED) ||
		problem.Is(err, ledgerv1.Reason_REASON_TRANSFER_NOT_POSTED)
}

// classify decides what an error of a call means for its event:
//
//	not_found ORDER_NOT_FOUND, failed_precondition ..._NOT_POSTED,
//	an account that is nobody's                                     deferred: what it follows from is on its way
//	unavailable, aborted, timed out, shed                           tried again for as long as Stripe would
//	invalid_argument, already_exists (the key was used for another
//	request), permission_denied, other not_found and
//	failed_precondition, out_of_range                               dead at once: the same call gets the same answer
//	internal and everything else                                    the same, and people are told after some minutes: a release mends it
func (s *Service) classify(row webhookdb.WebhookEvent, err error) outcome {
	o := outcome{state: stateReceived, error: errorText(err), deferrals: row.DeferralCount, failures: row.FailureCount}
	code := problem.Code(err)
	switch {
	case errors.Is(err, errNotAtStripe), errors.Is(err, errNoStripeKey), errors.Is(err, errPayoutLarge):
		o.state = stateDead
	case errors.Is(err, errNoOrganizer),
		problem.Is(err, checkoutv1.Reason_REASON_ORDER_NOT_FOUND),
		code == connect.CodeFailedPrecondition && notPosted(err):
		o.state = stateDeferred
		o.delay = deferBackoff.Delay(int(o.deferrals) + 1)
		if o.deferrals++; o.deferrals > deferredTriesMax {
			o.state, o.orderless = stateDead, problem.Is(err, checkoutv1.Reason_REASON_ORDER_NOT_FOUND)
		}
	case problem.Final(code):
		o.state = stateDead
	default:
		o.failures, o.away = o.failures+1, isAway(err)
		o.delay = max(failureBackoff.Delay(int(o.failures)), problem.RetryAfter(err))
		if !o.away && o.failures >= failuresMax {
			o.delayed, o.delay = true, deferBackoff.Delay(int(o.failures))
		}
		if s.Clock.Now().Sub(row.QueueTime) > unavailableMax {
			o.state = stateDead
		}
	}
	return o
}

// isAway says that the call may succeed as it is, later.
func isAway(err error) bool {
	if _, stripeAway := errors.AsType[*stripeAwayError](err); stripeAway {
		return true
	}
	d, ok := errors.AsType[*problem.Downstream](err)
	return ok && d.Retryable()
}

// errorText is an error in a form that fits into a text column.
func errorText(err error) string {
	text := strings.ReplaceAll(strings.ToValidUTF8(err.Error(), "\uFFFD"), "\x00", "")
	if len(text) > errorSizeMax {
		text = strings.ToValidUTF8(text[:errorSizeMax], "")
	}
	return text
}
