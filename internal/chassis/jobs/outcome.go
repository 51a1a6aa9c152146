package jobs

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"

	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// breakerSnooze is how long a job waits at least for an open breaker: as long as
// it stays open by default. Half of it again spreads the jobs.
const breakerSnooze = 5 * time.Second

// Cancel ends a job for good: it becomes a dead letter now, with err as its
// reason. Use it when trying again cannot help.
func Cancel(err error) error { return river.JobCancel(err) }

// Snooze lets the job run again after d. It costs no attempt, so put a limit on
// it where the job decides.
func Snooze(d time.Duration) error { return river.JobSnooze(max(d, 0)) }

// outcome is what an error means for its job. The zero outcome is an attempt
// that failed.
type outcome struct {
	cancel bool
	final  bool // of a cancel: the same call gets the same answer, as long as nobody mends what it asks for
	snooze bool
	delay  time.Duration // of a snooze, or the least delay of a retry
}

// classify decides what an error of a job means:
//
//	Cancel, Snooze                       as they say
//	breaker.ErrOpen                      snooze: nothing was tried
//	Problem or Downstream that waits     retry, not before its RetryAfter
//	Problem or Downstream that is final  cancel: the same call gets the same answer; retry of endless work
//	anything else                        retry
func classify(err error) outcome {
	if snooze, ok := errors.AsType[*river.JobSnoozeError](err); ok {
		return outcome{snooze: true, delay: snooze.Duration}
	}
	if _, ok := errors.AsType[*river.JobCancelError](err); ok {
		return outcome{cancel: true}
	}
	if errors.Is(err, breaker.ErrOpen) {
		return outcome{snooze: true, delay: breakerSnooze + rand.N(breakerSnooze/2)}
	}
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return outcome{cancel: problem.Final(p.Code), final: problem.Final(p.Code), delay: p.RetryAfter}
	}
	if d, ok := errors.AsType[*problem.Downstream](err); ok {
		return outcome{cancel: problem.Final(d.Code()), final: problem.Final(d.Code()), delay: d.RetryAfter()}
	}
	return outcome{}
}
