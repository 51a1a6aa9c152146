package passsvc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// The rows of pushes are the jobs of telling devices: written in the transaction of the revision, leased by any replica,
// settled after APNs has answered. A process that dies leaves leased rows, which another takes up when the lease ends;
// those of its last claim that APNs had taken already are sent once more, and the device finds nothing new.

const (
	// pushIdle is how often a replica looks for pushes of others: those of a process that died, or late ones.
	pushIdle = time.Second
	// pushLease is for how long claimed pushes belong to a replica: longer than a push may take, and short enough that the
	// devices of a replica that died do not wait long.
	pushLease = 15 * time.Second
	// pushClaim is how many devices are claimed at once: as many may hear twice after a crash.
	pushClaim = 256
	// pushSettleWait is how long after a commit became visible the first push leaves: longer than freshFor, so that
	// whoever fetches because of it sees the commit on every replica.
	pushSettleWait = 4 * freshFor
	// pushRetention is how long ended pushes can be looked at.
	pushRetention = 30 * 24 * time.Hour
)

// pusher sends pushes, each pass type on a lane of its own.
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

// wake makes all lanes look for due pushes soon. It never blocks.
func (p *pusher) wake() { signal(p.woken) }

// signal leaves one wish in a channel of one place.
func signal(wish chan struct{}) {
	select {
	case wish <- struct{}{}:
	default: // somebody asked already
	}
}

// dispatch starts a lane for each pass type that there is a certificate for, and passes on who woke it.
func (p *pusher) dispatch(ctx context.Context) {
	lanes := map[string]*lane{}
	ticker := time.NewTicker(pushIdle) // certificates of new pass types may come
	defer ticker.Stop()
	for {
		for _, passType := range p.s.certificates.passTypes() {
			if lanes[passType] == nil {
				l := newLane(p.s, passType)
				lanes[passType] = l
				p.running.Go(func() { l.run(ctx) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-p.woken:
			for _, l := range lanes {
				signal(l.woken)
			}
		}
	}
}

// deleteOldPushes bounds the table.
func (s *Service) deleteOldPushes(ctx context.Context) error {
	if _, err := s.q.DeleteOldPushes(ctx, s.Pool, s.Clock.Now().Add(-pushRetention)); err != nil {
		return fmt.Errorf("delete old pushes: %w", err)
	}
	return nil
}

// lane sends the pushes of one pass type. One goroutine runs it.
type lane struct {
	s        *Service
	passType string
	woken    chan struct{}
	client   *apnsClient
	signedBy string // fingerprint of the certificate that the client uses
	health   laneHealth
	suspects []*delivery // tokens called bad, before it is clear whose fault that is; their rows are leased
}

func newLane(s *Service, passType string) *lane {
	return &lane{s: s, passType: passType, woken: make(chan struct{}, 1)}
}

// run drains the lane whenever it is woken, a push falls due, or pushIdle has passed.
func (l *lane) run(ctx context.Context) {
	defer func() {
		if l.client != nil {
			l.client.close()
		}
	}()
	for ctx.Err() == nil {
		wait, err := l.drainSafely(ctx)
		if err != nil && ctx.Err() == nil {
			l.s.Logger.LogAttrs(ctx, slog.LevelWarn, "pushes not sent", slog.String("pass_type", l.passType), slog.Any("error", err))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-l.woken:
			// A row is due a little after the change that woke us; the next round knows when.
		}
		timer.Stop()
	}
}

// drainSafely is drain, but a mistake of ours does not end the lane.
func (l *lane) drainSafely(ctx context.Context) (wait time.Duration, err error) {
	defer func() {
		if value := recover(); value != nil {
			wait, err = pushIdle, fmt.Errorf("panic: %v\n%s", value, debug.Stack())
		}
	}()
	return l.drain(ctx)
}

// drain sends what is due, and returns in which time to look again.
func (l *lane) drain(ctx context.Context) (time.Duration, error) {
	for ctx.Err() == nil {
		if l.health.resting(l.s.Clock.Now()) {
			return pushIdle, nil
		}
		if err := l.connect(); err != nil {
			return pushIdle, err
		}
		sent, err := l.sendBatch(ctx)
		if err != nil {
			return pushIdle, err
		}
		if sent == 0 {
			break
		}
	}
	if err := l.forgetSuspects(ctx); err != nil {
		return pushIdle, err
	}
	seconds, err := l.s.q.NextPushDue(ctx, l.s.Pool, l.passType)
	if err != nil {
		return pushIdle, fmt.Errorf("look for next push: %w", err)
	}
	return min(max(time.Duration(seconds*float64(time.Second)), time.Millisecond), pushIdle), nil
}

// connect makes a client, anew when the certificate changed.
func (l *lane) connect() error {
	certificate, err := l.s.certificates.signer(l.passType)
	if err != nil {
		return err
	}
	if l.client != nil && l.signedBy == certificate.Fingerprint {
		return nil
	}
	client, err := newAPNsClient(l.s.Config.APNs, certificate, l.s.Clock)
	if err != nil {
		return err
	}
	if l.client != nil {
		l.client.close()
	}
	l.client, l.signedBy = client, certificate.Fingerprint
	l.health.reset()
	return nil
}
