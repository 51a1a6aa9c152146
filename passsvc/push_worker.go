package passsvc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// pushWorker sends the pushes of one pass type. One goroutine runs it.
type pushWorker struct {
	s           *Service
	passType    string
	woken       chan struct{}
	client      *apnsClient
	signedBy    string // fingerprint of the certificate that the client uses
	health      pushHealth
	ahead       []*devicePush // claimed while others were sent; their rows are leased
	unconfirmed []*devicePush // tokens called bad, before it is clear whose fault that is; their rows are leased
}

func newPushWorker(s *Service, passType string) *pushWorker {
	return &pushWorker{s: s, passType: passType, woken: make(chan struct{}, 1)}
}

// run sends what is due whenever it is woken, a push falls due, or pushIdle has passed.
func (w *pushWorker) run(ctx context.Context) {
	defer func() {
		if w.client != nil {
			w.client.close()
		}
	}()
	for ctx.Err() == nil {
		wait, err := w.drainSafely(ctx)
		if err != nil && ctx.Err() == nil {
			w.s.Logger.LogAttrs(ctx, slog.LevelWarn, "pushes not sent", slog.String("pass_type", w.passType), slog.Any("error", err))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.woken:
			// A row is due a little after the change that woke us; the next round knows when.
		}
		timer.Stop()
	}
}

// drainSafely is drain, but a mistake of ours does not end the worker.
func (w *pushWorker) drainSafely(ctx context.Context) (wait time.Duration, err error) {
	defer func() {
		if value := recover(); value != nil {
			wait, err = pushRetry, fmt.Errorf("panic: %v\n%s", value, debug.Stack())
		}
	}()
	return w.drain(ctx)
}

// drain sends what is due, and returns after what time to check again.
func (w *pushWorker) drain(ctx context.Context) (time.Duration, error) {
	wait, err := w.nextDue(ctx)
	if err != nil {
		return pushRetry, err
	}
	if wait > 0 && len(w.unconfirmed) == 0 && len(w.ahead) == 0 {
		return min(wait, pushIdle), nil
	}
	for ctx.Err() == nil || len(w.ahead) > 0 {
		if len(w.ahead) == 0 && w.health.isOpen(w.s.Clock.Now()) {
			return pushRetry, nil
		}
		if err := w.connect(); err != nil {
			w.ahead = nil // they are sent when their lease has ended
			return pushRetry, err
		}
		sent, err := w.sendBatch(ctx)
		if err != nil {
			return pushRetry, err
		}
		if sent == 0 {
			break
		}
	}
	if err := w.forgetUnconfirmed(ctx); err != nil {
		return pushRetry, err
	}
	if wait, err = w.nextDue(ctx); err != nil {
		return pushRetry, err
	}
	return min(max(wait, time.Millisecond), pushIdle), nil
}

// nextDue returns in what time the next push is due: none or less when one is.
func (w *pushWorker) nextDue(ctx context.Context) (time.Duration, error) {
	seconds, err := w.s.q.NextPushDue(ctx, w.s.Pool, w.passType)
	if err != nil {
		return 0, fmt.Errorf("look for next push: %w", err)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// connect makes a client, anew when the certificate changed.
func (w *pushWorker) connect() error {
	certificate, err := w.s.certificates.signer(w.passType)
	if err != nil {
		return err
	}
	if w.client != nil && w.signedBy == certificate.Fingerprint {
		return nil
	}
	client, err := newAPNsClient(w.s.Config.APNs, certificate, w.s.Clock)
	if err != nil {
		return err
	}
	if w.client != nil {
		w.client.close()
	}
	w.client, w.signedBy = client, certificate.Fingerprint
	w.health.reset()
	return nil
}
