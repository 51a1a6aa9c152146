package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/dayof/dayof/internal/chassis/backoff"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// jitter spreads the retries of jobs that failed together: a delay is between
// 1-jitter and 1+jitter of what the policy says.
const jitter = 0.2

// Policy says how a kind of job is tried. Every kind names its own.
type Policy struct {
	// MaxAttempts is how often it is tried before it becomes a dead letter, or
	// counts as delayed when it is endless. Required.
	MaxAttempts int
	// Endless work is tried until it is done: no number of failures ends it, nor
	// an answer that is final for others. After MaxAttempts it is repeated with
	// the backoff of the last one. Only Cancel ends it.
	Endless bool
	// Delayed is called by endless work: after each failure from MaxAttempts on,
	// and after each whose answer is final, with the error; and with nil when
	// work that failed before is done. It must be safe to call twice. Nil calls
	// nobody.
	Delayed func(ctx context.Context, job *rivertype.JobRow, err error) error
	// Timeout ends the context of one attempt. Required. An attempt that was
	// lost with its process is repeated a little later than this.
	Timeout time.Duration
	// Backoff is the delay after failed attempt number attempt (1 is the
	// first), before jitter. Nil doubles from 1 s to 5 minutes.
	Backoff func(attempt int) time.Duration
	// Queue the jobs wait in; empty is "default". A queue of its own keeps a
	// flood of one kind from delaying others.
	Queue string
}

// AttemptsMax is how many attempts the row of a job allows. For endless work they are as many as River counts: what is lost with its
// process and what panics spends one, too.
func (p Policy) AttemptsMax() int {
	if p.Endless {
		return math.MaxInt16
	}
	return p.MaxAttempts
}

// doubling is the default backoff: twelve attempts last about 18 minutes.
var doubling = backoff.Policy{First: time.Second, Max: 5 * time.Minute}

// Register says what to do with jobs of A's kind. It panics when the policy is
// incomplete, the kind is registered already, or the registry is in use: these
// are mistakes in the program.
func Register[A river.JobArgs](r *Registry, policy Policy, work func(ctx context.Context, job *river.Job[A]) error) {
	var args A
	registerArgs(r, args, policy, work)
}

func registerArgs[A river.JobArgs](r *Registry, args A, policy Policy, work func(ctx context.Context, job *river.Job[A]) error) {
	kind := args.Kind()
	r.mu.Lock()
	defer r.mu.Unlock()
	if policy.MaxAttempts < 1 || policy.Timeout <= 0 {
		panic(fmt.Sprintf("jobs: the policy of %s must say MaxAttempts and Timeout", kind))
	}
	if r.client != nil {
		panic(fmt.Sprintf("jobs: %s is registered after the first insert or Start", kind))
	}
	if policy.Backoff == nil {
		policy.Backoff = doubling.Delay
	}
	if policy.Queue == "" {
		policy.Queue = queueDefault
	}
	r.policies[kind] = policy
	river.AddWorkerArgs(r.workers, args, &worker[A]{policy: policy, work: work, logger: r.config.Logger})
}

// worker runs the jobs of one kind for River.
type worker[A river.JobArgs] struct {
	policy Policy
	work   func(ctx context.Context, job *river.Job[A]) error
	logger *slog.Logger

	// delays that a failed attempt asks for, by job id, on their way from Work
	// to NextRetry: River passes the error to no one.
	delays sync.Map
}

// Work runs one attempt.
func (w *worker[A]) Work(ctx context.Context, job *river.Job[A]) (err error) {
	defer func() {
		if value := recover(); value != nil { // River's executor makes an error of it, with the stack, which is still there
			panic(storable(fmt.Sprint(value)))
		}
		if err != nil {
			err = &storableError{err}
		}
	}()
	attemptCtx, cancel := context.WithTimeout(ctx, w.policy.Timeout)
	defer cancel()
	err = w.work(attemptCtx, job)
	if err == nil {
		return w.done(attemptCtx, job)
	}
	if ctx.Err() != nil {
		// Not the attempt's timeout: this process is stopping. River gives the
		// attempt back when it recognises the reason.
		return errors.Join(err, ctx.Err())
	}
	result := classify(err)
	level := slog.LevelWarn
	switch {
	case result.snooze:
		level = slog.LevelDebug
		err = river.JobSnooze(result.delay)
	case w.policy.Endless && (!result.cancel || result.final):
		err = w.goOn(ctx, job, err, result)
	case result.cancel:
		level = slog.LevelError
		err = river.JobCancel(err)
	case job.Attempt >= job.MaxAttempts:
		level = slog.LevelError
	case result.delay > 0:
		w.delays.Store(job.ID, result.delay)
	}
	w.logger.LogAttrs(ctx, level, "job did not finish", slog.String("kind", job.Kind), slog.Int64("job_id", job.ID),
		slog.Int("attempt", job.Attempt), slog.Int("attempts_max", job.MaxAttempts), slog.Any("error", err))
	return err
}

// done ends endless work that failed before: nobody waits for it any more.
func (w *worker[A]) done(ctx context.Context, job *river.Job[A]) error {
	if !w.policy.Endless || w.policy.Delayed == nil || job.Attempt == 1 {
		return nil
	}
	if err := w.policy.Delayed(ctx, job.JobRow, nil); err != nil {
		return fmt.Errorf("report that delayed work is done: %w", err)
	}
	return nil
}

// goOn keeps endless work alive after a failure. After MaxAttempts it costs no
// more attempts, so that the errors that the job's row keeps do not grow for
// ever.
func (w *worker[A]) goOn(ctx context.Context, job *river.Job[A], err error, result outcome) error {
	spent := job.Attempt >= w.policy.MaxAttempts
	if (spent || result.final) && w.policy.Delayed != nil {
		if failed := w.policy.Delayed(ctx, job.JobRow, err); failed != nil { // the next failure tells it again
			err = errors.Join(err, fmt.Errorf("report delayed work: %w", failed))
		}
	}
	if spent {
		w.logger.LogAttrs(ctx, slog.LevelError, "endless job still fails", slog.String("kind", job.Kind), slog.Int64("job_id", job.ID), slog.Any("error", err))
		return river.JobSnooze(max(w.backoff(job.Attempt), result.delay))
	}
	if result.delay > 0 {
		w.delays.Store(job.ID, result.delay)
	}
	return err
}

// backoff is the delay after failed attempt number attempt, with jitter.
func (w *worker[A]) backoff(attempt int) time.Duration {
	return time.Duration(float64(w.policy.Backoff(attempt)) * (1 - jitter + 2*jitter*rand.Float64()))
}

// storable is a text in a form that jsonb takes, which has no NUL. River writes the ends of up to some thousands of jobs in one
// statement: a text that the database refuses would leave all of them running.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// storableError is an error whose text is storable.
type storableError struct{ error }

// Error returns the error's text, storable.
func (e *storableError) Error() string { return storable(e.error.Error()) }

// Unwrap returns the error, for River, which looks for its own.
func (e *storableError) Unwrap() error { return e.error }

// NextRetry says when a failed attempt is repeated: after the backoff, but not
// before the time that the other party asked for.
func (w *worker[A]) NextRetry(job *river.Job[A]) time.Time {
	delay := w.backoff(job.Attempt)
	asked, _ := w.delays.LoadAndDelete(job.ID)
	if least, ok := asked.(time.Duration); ok {
		delay = max(delay, least)
	}
	return clock.System{}.Now().Add(delay)
}

// Timeout is when River gives an attempt up. Work's own timeout comes first, so
// that a job which returns late is not taken for lost and run twice.
func (w *worker[A]) Timeout(*river.Job[A]) time.Duration { return w.policy.Timeout + timeoutGrace }

// Middleware is part of River's interface.
func (w *worker[A]) Middleware(*rivertype.JobRow) []rivertype.WorkerMiddleware { return nil }

// unknownKinds is the retry policy of jobs whose kind this program does not
// know, inserted by a newer release: it will be here soon.
type unknownKinds struct{}

// NextRetry implements River's interface.
func (unknownKinds) NextRetry(job *rivertype.JobRow) time.Time {
	return clock.System{}.Now().Add(doubling.Delay(job.Attempt))
}
