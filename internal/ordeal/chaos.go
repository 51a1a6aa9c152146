package ordeal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/internal/dev"
	"github.com/dayof/dayof/internal/sandbox/fault"
)

// blow is one thing that breaks.
type blow struct {
	name string
	do   func(ctx context.Context) error
}

// breakThings deals all blows of the configuration in a random order, one after the other.
func (o *ordeal) breakThings(ctx context.Context) {
	for _, b := range o.plan() {
		if ctx.Err() != nil {
			return
		}
		o.say("%s", b.name)
		if err := b.do(ctx); err != nil && ctx.Err() == nil {
			o.say("%s: %v", b.name, err)
		}
		o.pause(ctx, 150*time.Millisecond)
	}
}

// plan draws all blows beforehand, so that they do not depend on how quick the machine is.
func (o *ordeal) plan() []blow {
	var blows []blow
	for _, service := range dev.Services {
		for i := range o.config.Kills {
			n := o.chance(o.config.Replicas)
			if i%4 == 3 {
				blows = append(blows, o.freeze(service, n, time.Duration(o.chance(3000))*time.Millisecond))
			} else {
				blows = append(blows, o.kill(service, n, time.Duration(o.chance(int(downTime.Milliseconds())))*time.Millisecond))
			}
		}
	}
	parties := []string{fault.Ledger, fault.Ledger, fault.Stripe, fault.APNs, fault.Mail}
	modes := []fault.Mode{fault.Refuse, fault.ServerError, fault.TooMany, fault.Slow, fault.Hang, fault.LostReply, fault.HalfBody}
	for range o.config.Faults {
		blows = append(blows, o.fault(parties[o.chance(len(parties))], modes[o.chance(len(modes))]))
	}
	for i := range o.config.DatabaseFailures {
		if i%2 == 0 {
			blows = append(blows, blow{"terminate all backends", o.terminateBackends})
		} else {
			blows = append(blows, blow{"restart Postgres at once", o.restartPostgres})
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.random.Shuffle(len(blows), func(i, j int) { blows[i], blows[j] = blows[j], blows[i] })
	return blows
}

func (o *ordeal) pause(ctx context.Context, most time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(o.chance(int(most.Milliseconds())+1)) * time.Millisecond):
	}
}

// kill ends a replica and starts it again a little later.
func (o *ordeal) kill(service string, n int, down time.Duration) blow {
	return blow{fmt.Sprintf("kill %s %d for %v", service, n, down), func(ctx context.Context) error {
		if err := o.mesh.Kill(service, n); err != nil {
			return err
		}
		o.report.Killed++
		select {
		case <-ctx.Done():
		case <-time.After(down):
		}
		return o.mesh.Restart(context.WithoutCancel(ctx), service, n)
	}}
}

// freeze stops a replica and lets it go on: it does not know that time has passed.
func (o *ordeal) freeze(service string, n int, length time.Duration) blow {
	return blow{fmt.Sprintf("freeze %s %d for %v", service, n, length), func(ctx context.Context) error {
		if err := o.mesh.Freeze(service, n); err != nil {
			return err
		}
		o.report.Frozen++
		select {
		case <-ctx.Done():
		case <-time.After(length):
		}
		return o.mesh.Thaw(service, n)
	}}
}

// fault lets a party of the outside world fail for a while.
func (o *ordeal) fault(party string, mode fault.Mode) blow {
	rate, length := float64(1+o.chance(4))/4, time.Duration(o.chance(int(faultTime.Milliseconds())))*time.Millisecond
	return blow{fmt.Sprintf("fault %s %s rate %.2f for %v", party, mode, rate, length), func(ctx context.Context) error {
		if err := o.mesh.Sandbox.Faults.Set(party, fault.Fault{Mode: mode, Rate: rate, LatencyMS: 300}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(length):
		}
		o.mesh.Sandbox.Faults.Clear(party)
		return nil
	}}
}

// terminateBackends cuts every connection of every service.
func (o *ordeal) terminateBackends(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, o.mesh.Postgres.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname is not null")
	return err
}

// restartPostgres ends the server without a checkpoint and lets it recover.
func (o *ordeal) restartPostgres(ctx context.Context) error {
	return errors.Join(o.mesh.Postgres.Crash(), o.mesh.Postgres.Restart(context.WithoutCancel(ctx)))
}

// service is whose process passes the crash point.
func (o *ordeal) armed() string {
	service, _, _ := strings.Cut(o.config.CrashPoint, "/")
	return service
}

// arm restarts the first replica of the point's service so that it will die there.
func (o *ordeal) arm(ctx context.Context) error {
	service := o.armed()
	if !slices.Contains(dev.Services, service) {
		return fmt.Errorf("no service passes %q", o.config.CrashPoint)
	}
	if err := o.mesh.Kill(service, 0); err != nil {
		return err
	}
	return o.mesh.Restart(ctx, service, 0, "DAYOF_DEBUG_CRASH_POINT="+o.config.CrashPoint)
}

// supervise starts a replica again that died at its crash point, as whoever runs services does. checkoutsvc is left dead
// instead: another replica must take its orders up.
func (o *ordeal) supervise(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-o.mesh.Ended(o.armed(), 0):
	}
	close(o.died)
	o.pause(ctx, downTime)
	if err := o.mesh.Restart(context.WithoutCancel(ctx), o.armed(), 0); err != nil {
		o.say("restart %s: %v", o.armed(), err)
	}
}

// expectDeath makes sure that the point was passed: a point that nobody passes proves nothing.
func (o *ordeal) expectDeath(ctx context.Context) error {
	died := (<-chan struct{})(o.died)
	if o.armed() == "checkout" {
		died = o.mesh.Ended("checkout", 0)
	}
	select {
	case <-died:
		o.report.Killed++
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(deathPatience):
		return fmt.Errorf("%s was never passed", o.config.CrashPoint)
	}
}

// deathPatience is how long after the last sale the armed replica may still pass its point.
const deathPatience = 20 * time.Second
