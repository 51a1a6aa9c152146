package jobs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/clock"
)

const (
	// queueDefault is the queue of kinds that name none.
	queueDefault = river.QueueDefault
	// workersDefault is how many jobs of a queue run at once in a process.
	workersDefault = 16
	// fetchPoll is how long an inserted job waits at most until a poll finds it.
	fetchPoll = 50 * time.Millisecond
	// fetchCooldown is the least time between two fetches of a busy queue.
	fetchCooldown = 10 * time.Millisecond
	// timeoutGrace is what a job that ran into its timeout has to return before
	// River takes it for lost and runs it again elsewhere.
	timeoutGrace = 5 * time.Second
	// completedRetention is how long completed jobs are kept.
	completedRetention = time.Hour
	// endedRetention is how long dead jobs wait for their dead letter; the
	// sweep takes seconds, the rest is for an outage of it.
	endedRetention = 7 * 24 * time.Hour
	// hardStopPatience is how long cancelled jobs may take to return.
	hardStopPatience = 5 * time.Second
)

// Config says how a service runs its jobs. Logger and Clock are required.
type Config struct {
	Logger *slog.Logger
	// Clock decides which tick of a periodic job it is. Everything else goes by
	// the database's time.
	Clock clock.Clock
	// Queues and how many of their jobs run at once in this process. Queues
	// that policies name and that are absent here get 16. Each queue is polled
	// on its own, so have few.
	Queues map[string]int
	// PollOnly polls for jobs every 50 ms instead of being notified, while this
	// process has some to do or has just inserted some, and else with its heartbeats.
	// NOTIFY takes a lock that serialises the commits of a database, so a service
	// with many small transactions polls.
	PollOnly bool
	// SendAlert delivers an alert to people. Nil keeps alerts as rows.
	SendAlert alert.Sender
	// DeadLetterURL is the address of the page of a dead letter without its id,
	// for the alert. Empty: alerts have no link.
	DeadLetterURL string
}

// Registry knows a service's kinds of jobs, inserts and runs them.
type Registry struct {
	pool    *pgxpool.Pool
	config  Config
	workers *river.Workers
	runner  string // what this process is called in the rows of the jobs that it runs

	mu       sync.Mutex
	policies map[string]Policy // by kind
	loops    []*loop
	client   *river.Client[pgx.Tx] // made by the first insert or Start
	stop     context.CancelFunc    // of the loops; nil unless started
	running  sync.WaitGroup        // the loops

	polls      *polls
	wakeMove   func() // has dead jobs moved to the dead letters
	wakeAlerts func() // has alerts delivered; nil where they are kept as rows
}

// New returns a registry on a database that Migrate has prepared. Register all
// kinds before the first insert and before Start.
func New(pool *pgxpool.Pool, config Config) *Registry {
	r := &Registry{pool: pool, config: config, workers: river.NewWorkers(), runner: rand.Text(), policies: make(map[string]Policy), polls: newPolls()}
	r.wakeMove = r.OnWake("move dead jobs to dead letters", r.moveToDeadLetters)
	r.Sweep("heartbeat", heartbeatEvery, r.heartbeat)
	if config.SendAlert != nil {
		r.wakeAlerts = r.OnWake("send alerts", func(ctx context.Context) error { return alert.Deliver(ctx, pool, config.SendAlert) })
	}
	return r
}

// Start begins to run jobs, sweeps and periodic jobs, until Stop. The end of
// ctx does not stop them: a service drains in order.
func (r *Registry) Start(ctx context.Context) error {
	client, err := r.river()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		return errors.New("jobs are running already")
	}
	ctx = context.WithoutCancel(ctx)
	loopCtx, stop := context.WithCancel(ctx)
	if len(r.policies) > 0 { // River refuses to run without a kind
		// Before the first job: a process without a heartbeat counts as dead.
		if err := r.recordHeartbeat(ctx); err != nil {
			stop()
			return fmt.Errorf("start jobs: %w", err)
		}
		ended, unsubscribe := client.Subscribe(river.EventKindJobFailed, river.EventKindJobCancelled)
		if err := client.Start(ctx); err != nil {
			stop()
			unsubscribe()
			return fmt.Errorf("start jobs: %w", err)
		}
		r.running.Go(func() { r.watchEnds(loopCtx, ended) })
		context.AfterFunc(loopCtx, unsubscribe)
	}
	r.stop = stop
	for _, l := range r.loops {
		r.running.Go(func() { l.run(loopCtx, r.config.Logger) })
	}
	return nil
}

// watchEnds has dead jobs moved at once, so that their alert does not wait for
// the next heartbeat, which finds ends that no event reports.
func (r *Registry) watchEnds(ctx context.Context, ended <-chan *river.Event) {
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-ended:
			if event != nil && event.Job.FinalizedAt != nil {
				r.wakeMove()
			}
		}
	}
}

// Stop takes no more jobs, waits for those that run, and returns. When ctx ends
// first, the jobs' contexts are cancelled; what they interrupt is tried again by
// another process and costs no attempt. Sweeps are cancelled at once, since
// they repeat anyway. Start may be called again.
func (r *Registry) Stop(ctx context.Context) error {
	r.mu.Lock()
	stop, client := r.stop, r.client
	r.stop = nil
	r.mu.Unlock() // what runs may insert jobs until it has ended, which takes the lock
	if stop == nil {
		return nil
	}
	stop()
	err := client.Stop(ctx) // fine when it was not started
	if err != nil {
		hardCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hardStopPatience)
		defer cancel()
		err = client.StopAndCancel(hardCtx)
	}
	r.running.Wait()
	if err != nil {
		return fmt.Errorf("stop jobs: %w", err)
	}
	return nil
}

// Client is River's client, to inspect jobs.
func (r *Registry) Client() (*river.Client[pgx.Tx], error) { return r.river() }

// river returns the client, made when it is first needed: its queues and
// timeouts follow from the registered policies.
func (r *Registry) river() (*river.Client[pgx.Tx], error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		return r.client, nil
	}
	config := &river.Config{
		ID:                          r.runner,
		Workers:                     r.workers,
		Queues:                      r.queues(),
		Logger:                      slog.New(atLeast{level: slog.LevelWarn, Handler: r.config.Logger.Handler()}),
		FetchCooldown:               fetchCooldown,
		FetchPollInterval:           fetchPoll,
		PollOnly:                    r.config.PollOnly,
		RetryPolicy:                 unknownKinds{},
		JobTimeout:                  r.shortestTimeout(),
		RescueStuckJobsAfter:        r.shortestTimeout(),
		CompletedJobRetentionPeriod: completedRetention,
		CancelledJobRetentionPeriod: endedRetention,
		DiscardedJobRetentionPeriod: endedRetention,
		ReindexerIndexNames:         riverIndexes(),
	}
	if !r.config.PollOnly {
		config.FetchCooldown, config.FetchPollInterval = river.FetchCooldownDefault, river.FetchPollIntervalDefault
	}
	client, err := river.NewClient(newDriver(r.pool, r.config.PollOnly, r.polls), config)
	if err != nil {
		return nil, fmt.Errorf("configure jobs: %w", err)
	}
	r.client = client
	return client, nil
}

// queueNames are the queues that this process works on.
func (r *Registry) queueNames() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.queues()))
}

func (r *Registry) queues() map[string]river.QueueConfig {
	workers := map[string]int{queueDefault: workersDefault}
	for _, policy := range r.policies {
		workers[policy.Queue] = workersDefault
	}
	maps.Copy(workers, r.config.Queues)
	queues := make(map[string]river.QueueConfig, len(workers))
	for name, count := range workers {
		queues[name] = river.QueueConfig{MaxWorkers: count}
	}
	return queues
}

// shortestTimeout is when the first kind of job may count as lost. River examines
// jobs that are older and then goes by the timeout of their own kind.
func (r *Registry) shortestTimeout() time.Duration {
	shortest := river.JobTimeoutDefault
	for _, policy := range r.policies {
		shortest = min(shortest, policy.Timeout+timeoutGrace)
	}
	return shortest
}
