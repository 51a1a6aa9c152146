package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dayof/dayof/devenv/crashpoint"
	"github.com/dayof/dayof/internal/server"
)

// deathPatience is how long after the last sale the armed replica may still pass its point.
const deathPatience = 2 * time.Minute

// downPoll is how often the armed replica is polled.
const downPoll = 20 * time.Millisecond

// aims reports whether a replica dies or stops at a point.
func (c Config) aims() bool { return c.CrashPoint != "" || c.StopPoint != "" }

// point is where the armed replica failures.
func (c Config) point() string { return c.CrashPoint + c.StopPoint }

// armed is the service whose process passes the point.
func (h *harness) armed() string {
	service, _, _ := strings.Cut(h.config.point(), "/")
	return service
}

// arm restarts the first replica of the point's service so that it will die or stop there.
func (h *harness) arm(ctx context.Context) error {
	service, setting := h.armed(), h.config.CrashPoint
	if h.config.StopPoint != "" {
		setting = "stop@" + h.config.StopPoint
	}
	if !slices.Contains(server.Services(), service) {
		return fmt.Errorf("no service passes %q", h.config.point())
	}
	if err := h.cluster.Kill(service, 0); err != nil {
		return err
	}
	return h.cluster.Restart(ctx, service, 0, crashpoint.Setting+"="+setting)
}

// supervise waits until the armed replica is down and helps it up again: one that died is started again, as whoever
// runs services does, and one that stopped goes on after StopFor. A replica of checkoutsvc stays down for longer, until another
// one has taken its orders up: a dead one is started by run.
func (h *harness) supervise(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.cluster.Ended(h.armed(), 0):
			h.noteFailure(h.armed())
			close(h.down)
			if h.armed() == "checkout" {
				return
			}
			rest(ctx, downTime/2)
			if err := h.cluster.Restart(context.WithoutCancel(ctx), h.armed(), 0); err != nil {
				h.say("restart %s: %v", h.armed(), err)
			}
			return
		case <-time.After(downPoll):
		}
		if stopped, err := h.cluster.Stopped(h.armed(), 0); err != nil || !stopped {
			continue
		}
		h.noteFailure(h.armed())
		close(h.down)
		h.say("%s 0 has stopped at %s", h.armed(), h.config.StopPoint)
		rest(ctx, h.config.StopFor)
		if h.armed() == "checkout" {
			h.wait(ctx, h.openAttempts)
		}
		if err := h.cluster.Thaw(h.armed(), 0); err != nil {
			h.say("thaw %s: %v", h.armed(), err)
		}
		h.say("%s 0 goes on", h.armed())
		return
	}
}

// expectDown makes sure that the point was passed: a point that nobody passes proves nothing.
func (h *harness) expectDown(ctx context.Context) error {
	select {
	case <-h.down:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(deathPatience):
		return fmt.Errorf("%s was never passed", h.config.point())
	}
	if h.config.StopPoint != "" {
		h.report.Frozen++
	} else {
		h.report.Killed++
	}
	return nil
}
