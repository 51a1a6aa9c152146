package server

import (
	"context"
	"errors"
	"fmt"
)

// ServeAll runs all services in this process, each on its own listener and with its own database, until ctx ends or one
// of them does. It then drains them one after the other, callers before those they call; each has DAYOF_DRAIN_TIMEOUT.
// The settings of all are checked before the first one starts.
func ServeAll(ctx context.Context, o Options) error {
	if o.Listener != nil {
		return errors.New("one listener cannot serve all services")
	}
	launches := map[string]launch{}
	var errs []error
	for _, name := range Services() {
		l, err := prepare(name, o)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		launches[name] = l
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	type running struct {
		stop context.CancelFunc
		done chan error
	}
	all := map[string]running{}
	ended := make(chan struct{}, len(launches))
	for name, l := range launches {
		serviceCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		r := running{stop: stop, done: make(chan error, 1)}
		all[name] = r
		go func() {
			defer func() { ended <- struct{}{} }()
			defer stop()
			if err := l.run(serviceCtx); err != nil {
				r.done <- fmt.Errorf("%s: %w", name, err)
			}
			close(r.done)
		}()
	}
	select {
	case <-ctx.Done():
	case <-ended:
	}
	for _, name := range drainOrder() {
		all[name].stop()
		err := <-all[name].done
		if ctx.Err() == nil && errors.Is(err, context.Canceled) {
			continue // it was still starting when another one ended, whose error says why
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
