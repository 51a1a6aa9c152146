package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// loop runs one function again and again, one run at a time.
type loop struct {
	name  string
	every time.Duration // zero: only when asked
	f     func(ctx context.Context) error
	wake  chan struct{} // holds one wish to run now
}

// Sweep runs f at Start and then about every so often, on every replica at its
// own times: for work that is found in rows and claimed there (FOR UPDATE SKIP
// LOCKED). An error or a panic is logged and the next round comes as usual. f's
// context ends at Stop. The returned function asks for a round now; it never
// blocks. Sweeps are added before Start.
func (r *Registry) Sweep(name string, every time.Duration, f func(ctx context.Context) error) (now func()) {
	return r.addLoop(name, every, f)
}

// OnWake is Sweep without the rounds: f runs at Start and whenever it is asked for.
func (r *Registry) OnWake(name string, f func(ctx context.Context) error) (now func()) {
	return r.addLoop(name, 0, f)
}

func (r *Registry) addLoop(name string, every time.Duration, f func(ctx context.Context) error) (now func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &loop{name: name, every: every, f: f, wake: make(chan struct{}, 1)}
	r.loops = append(r.loops, l)
	return func() {
		select {
		case l.wake <- struct{}{}:
		default: // somebody asked already
		}
	}
}

func (l *loop) run(ctx context.Context, logger *slog.Logger) {
	for ctx.Err() == nil {
		if err := l.once(ctx); err != nil && ctx.Err() == nil {
			logger.LogAttrs(ctx, slog.LevelWarn, "sweep failed", slog.String("sweep", l.name), slog.Any("error", err))
		}
		l.wait(ctx)
	}
}

func (l *loop) wait(ctx context.Context) {
	var due <-chan time.Time
	if l.every > 0 {
		// Replicas that started together do not stay together.
		delay := time.NewTimer(l.every - l.every/10 + rand.N(l.every/5+1))
		defer delay.Stop()
		due = delay.C
	}
	select {
	case <-ctx.Done():
	case <-l.wake:
	case <-due:
	}
}

func (l *loop) once(ctx context.Context) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("panic: %v\n%s", value, debug.Stack())
		}
	}()
	return l.f(ctx)
}
