package passsvc

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// The rows of pushes are the work of telling devices: written in the transaction of the revision, leased by any replica,
// settled after APNs has answered. A process that dies leaves leased rows, which another takes up when the lease ends;
// those of its last claim that APNs had taken already are sent once more, and the device finds nothing new.

// Pushes are no River jobs: they are claimed in batches of devices, in the order in which they fall due.

const (
	// pushIdle is how often a replica checks for pushes of others: those of a process that died, or late ones.
	pushIdle = 10 * time.Second
	// pushRetry is when a replica that cannot send tries again.
	pushRetry = time.Second
	// pushLease is for how long claimed pushes belong to a replica: longer than a push may take, and short enough that the
	// devices of a replica that died do not wait long.
	pushLease = 15 * time.Second
	// pushClaim is how many devices are claimed at once: as many may be notified twice after a crash.
	pushClaim = 256
	// pushSettleWait is how long after a commit became visible the first push leaves: longer than freshFor, so that
	// whoever fetches because of it gets the commit from every replica.
	pushSettleWait = 4 * freshFor
	// pushRetention is how long ended pushes are kept.
	pushRetention = 30 * 24 * time.Hour
)

// pusher sends pushes, each pass type by a worker of its own.
type pusher struct {
	s       *Service
	woken   chan struct{}
	stop    context.CancelFunc // nil unless started
	running sync.WaitGroup
}

func newPusher(s *Service) *pusher { return &pusher{s: s, woken: make(chan struct{}, 1)} }

// start begins to send until halt. The end of ctx does not end it.
func (p *pusher) start(ctx context.Context) {
	ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	p.running.Go(func() { p.dispatch(ctx) })
}

// halt claims no more, waits for pushes under way, and returns.
func (p *pusher) halt(ctx context.Context) error {
	if p.stop == nil {
		return nil
	}
	p.stop()
	p.stop = nil
	ended := make(chan struct{})
	go func() {
		p.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return errors.New("pushes still under way were abandoned; others send them again")
	}
}

// wake makes all workers check for due pushes soon. It never blocks.
func (p *pusher) wake() { signal(p.woken) }

// signal leaves one wish in a channel of one place.
func signal(wish chan struct{}) {
	select {
	case wish <- struct{}{}:
	default: // somebody asked already
	}
}

// dispatch starts a worker for each pass type that there is a certificate for, and passes on who woke it.
func (p *pusher) dispatch(ctx context.Context) {
	workers := map[string]*pushWorker{}
	ticker := time.NewTicker(pushRetry) // certificates of new pass types may come
	defer ticker.Stop()
	for {
		for _, passType := range p.s.certificates.passTypes() {
			if workers[passType] == nil {
				w := newPushWorker(p.s, passType)
				workers[passType] = w
				p.running.Go(func() { w.run(ctx) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-p.woken:
			for _, w := range workers {
				signal(w.woken)
			}
		}
	}
}

// deleteOldPushes bounds the table.
func (s maintenance) deleteOldPushes(ctx context.Context) error {
	_, err := pgdb.Purge(ctx, s.Pool, "pushes", "create_time < $1 and state <> 'pending'", s.Clock.Now().Add(-pushRetention))
	return err
}
