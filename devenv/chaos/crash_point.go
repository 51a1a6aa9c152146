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
const deathPatience = 20 * time.Second

// fallPoll is how often the armed replica is looked at.
const fallPoll = 20 * time.Millisecond

// aims tells whether a replica dies or stops at a point.
func (c Config) aims() bool { return c.CrashPoint != "" || c.StopPoint != "" }

// point is where the armed replica falls.
func (c Config) point() string { return c.CrashPoint + c.StopPoint }

// armed is the service whose process passes the point.
func (o *ordeal) armed() string {
	service, _, _ := strings.Cut(o.config.point(), "/")
	return service
}

// arm restarts the first replica of the point's service so that it will die or stop there.
func (o *ordeal) arm(ctx context.Context) error {
	service, setting := o.armed(), o.config.CrashPoint
	if o.config.StopPoint != "" {
		setting = "stop@" + o.config.StopPoint
	}
	if !slices.Contains(server.Services(), service) {
		return fmt.Errorf("no service passes %q", o.config.point())
	}
	if err := o.cluster.Kill(service, 0); err != nil {
		return err
	}
	return o.cluster.Restart(ctx, service, 0, crashpoint.Setting+"="+setting)
}

// supervise waits until the armed replica has fallen and helps it up again: one that died is started again, as whoever
// runs services does, and one that stopped goes on after StopFor. A dead replica of checkoutsvc stays dead instead: another
// one must take its orders up.
func (o *ordeal) supervise(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.cluster.Ended(o.armed(), 0):
			o.fell(o.armed())
			close(o.fallen)
			if o.armed() == "checkout" {
				return
			}
			rest(ctx, downTime/2)
			if err := o.cluster.Restart(context.WithoutCancel(ctx), o.armed(), 0); err != nil {
				o.say("restart %s: %v", o.armed(), err)
			}
			return
		case <-time.After(fallPoll):
		}
		if stopped, err := o.cluster.Stopped(o.armed(), 0); err != nil || !stopped {
			continue
		}
		o.fell(o.armed())
		close(o.fallen)
		o.say("%s 0 has stopped at %s", o.armed(), o.config.StopPoint)
		rest(ctx, o.config.StopFor)
		if err := o.cluster.Thaw(o.armed(), 0); err != nil {
			o.say("thaw %s: %v", o.armed(), err)
		}
		o.say("%s 0 goes on", o.armed())
		return
	}
}

// expectFall makes sure that the point was passed: a point that nobody passes proves nothing.
func (o *ordeal) expectFall(ctx context.Context) error {
	select {
	case <-o.fallen:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(deathPatience):
		return fmt.Errorf("%s was never passed", o.config.point())
	}
	if o.config.StopPoint != "" {
		o.report.Frozen++
	} else {
		o.report.Killed++
	}
	return nil
}
