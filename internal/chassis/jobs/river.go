package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// newDriver returns River's driver for Postgres. River's own PollOnly stops
// listening, but an insert still sends a NOTIFY (one more round trip, and a
// commit under the notification lock), unless the driver cannot notify.
func newDriver(pool *pgxpool.Pool, pollOnly bool, p *polls) riverdriver.Driver[pgx.Tx] {
	driver := riverpgxv5.New(pool)
	if pollOnly {
		return quietDriver{Driver: driver, polls: p}
	}
	return driver
}

type quietDriver struct {
	*riverpgxv5.Driver

	polls *polls
}

// GetExecutor returns River's executor, which asks for jobs only where there may be some.
func (d quietDriver) GetExecutor() riverdriver.Executor {
	return quietExecutor{Executor: d.Driver.GetExecutor(), polls: d.polls}
}

func (quietDriver) SupportsListener() bool     { return false }
func (quietDriver) SupportsListenNotify() bool { return false }

type quietExecutor struct {
	riverdriver.Executor

	polls *polls
}

// JobGetAvailable fetches jobs of a queue, unless it is asleep.
func (e quietExecutor) JobGetAvailable(ctx context.Context, params *riverdriver.JobGetAvailableParams) (*riverdriver.JobGetAvailableResult, error) {
	if !e.polls.due(params.Queue) {
		return new(riverdriver.JobGetAvailableResult), nil
	}
	got, err := e.Executor.JobGetAvailable(ctx, params)
	if err != nil || len(got.Jobs) > 0 {
		e.polls.found(params.Queue)
	}
	return got, err
}

// QueueGet returns a queue's settings, which River asks for every two seconds: they are read every minute.
func (e quietExecutor) QueueGet(ctx context.Context, params *riverdriver.QueueGetParams) (*rivertype.Queue, error) {
	if known := e.polls.known(params.Name); known != nil {
		return known, nil
	}
	queue, err := e.Executor.QueueGet(ctx, params)
	if err == nil {
		e.polls.learn(queue)
	}
	return queue, err
}

// After something woke a queue, each of its polls goes to the database for a second: a job is inserted before its transaction commits,
// and where there is one, there are often more. Then one a second does, for as long as most that failed wait for their next attempt;
// what comes later is found by a heartbeat.
const (
	pollsAwake  = int(time.Second / fetchPoll)
	pollsDrowsy = int(7 * time.Second / fetchPoll)
	// settingsKept is for how many of River's questions, one every two seconds, the answer is kept.
	settingsKept = 30
)

// polls knows which queues may have jobs. River has a timer of its own for each queue, which costs nothing beside a statement; so all
// that is known here is how many of its polls still go to the database. Queues are asleep until they are woken.
type polls struct {
	mu       sync.Mutex
	awake    map[string]int // polls since a queue was woken; absent while it is asleep
	settings map[string]*rivertype.Queue
	answers  map[string]int // that settings still serve for
}

func newPolls() *polls {
	return &polls{awake: map[string]int{}, settings: map[string]*rivertype.Queue{}, answers: map[string]int{}}
}

// wake has a queue polled for a while.
func (p *polls) wake(queue string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.awake[queue] = 0
}

// found is wake for a queue that had jobs: for less, since none need be on its way.
func (p *polls) found(queue string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.awake[queue] = min(p.awake[queue], pollsAwake/2)
}

// due says whether a poll is worth a statement.
func (p *polls) due(queue string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, awake := p.awake[queue]
	if !awake {
		return false
	}
	p.awake[queue] = n + 1
	if n+1 > pollsDrowsy {
		delete(p.awake, queue)
	}
	return n < pollsAwake || n%pollsAwake == 0
}

func (p *polls) known(queue string) *rivertype.Queue {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answers[queue] == 0 {
		return nil
	}
	p.answers[queue]--
	return p.settings[queue]
}

func (p *polls) learn(queue *rivertype.Queue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settings[queue.Name], p.answers[queue.Name] = queue, settingsKept
}

// atLeast passes over River's chattier log lines.
type atLeast struct {
	slog.Handler

	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{level: h.level, Handler: h.Handler.WithAttrs(attrs)}
}

func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{level: h.level, Handler: h.Handler.WithGroup(name)}
}
