// Package crashpoint ends the process at a named point, as kill -9 does, or stops it there, as SIGSTOP does, so that tests
// can examine what is left behind.
//
// Nothing happens unless Arm is called with a point, which `dayof serve` does when DAYOF_DEBUG_CRASH_POINT is set. The
// production program does not link this package.
package crashpoint

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/dayof/dayof/internal/chassis/crash"
)

// Setting is the environment variable that names a point.
const Setting = "DAYOF_DEBUG_CRASH_POINT"

// names are the points by their names: service, what it does, what has just been done.
var names = []struct {
	point crash.Point
	name  string
}{
	{crash.CheckoutStartWritten, "checkout/start/written"},
	{crash.CheckoutStartAsked, "checkout/start/asked"},
	{crash.CheckoutAttemptBegun, "checkout/attempt/begun"},
	{crash.CheckoutAttemptIssued, "checkout/attempt/issued"},
	{crash.CheckoutAttemptPosted, "checkout/attempt/posted"},
	{crash.CheckoutAttemptFinishing, "checkout/attempt/finishing"},
	{crash.CheckoutAttemptWritten, "checkout/attempt/written"},
	{crash.CheckoutAttemptFinished, "checkout/attempt/finished"},
	{crash.CheckoutRefundSent, "checkout/refund/sent"},
	{crash.CheckoutReceiptSent, "checkout/receipt/sent"},
	{crash.WebhookStored, "webhook/inbox/stored"},
	{crash.WebhookCalled, "webhook/job/called"},
	{crash.LedgerPosted, "ledger/post/posted"},
	{crash.LedgerCopied, "ledger/post/copied"},
	{crash.PassIssued, "pass/issue/written"},
	{crash.PassRevised, "pass/revise/written"},
	{crash.PassPushed, "pass/push/sent"},
}

// Names lists the names of all points.
func Names() []string {
	var out []string
	for _, n := range names {
		out = append(out, n.name)
	}
	return out
}

// Name returns the name of a point. A point without one is a mistake in this package.
func Name(p crash.Point) string {
	for _, n := range names {
		if n.point == p {
			return n.name
		}
	}
	panic(fmt.Sprintf("crash point %d has no name", p))
}

// pointOf finds a point by its name. Scripts know those of a fulfilment attempt as checkout/walk as well.
func pointOf(name string) (crash.Point, bool) {
	if step, ok := strings.CutPrefix(name, "checkout/walk/"); ok {
		name = "checkout/attempt/" + step
	}
	for _, n := range names {
		if n.name == name {
			return n.point, true
		}
	}
	return 0, false
}

// stopPrefix makes a setting stop the process instead of killing it.
const stopPrefix = "stop@"

// Arm takes a setting "POINT" or "POINT:N" (die when it is passed for the N-th time, from 1), or either of them behind
// "stop@" (stop there, once, until a SIGCONT). An empty one disarms.
func Arm(setting string) error {
	if setting == "" {
		crash.SetHook(nil)
		return nil
	}
	setting, stops := strings.CutPrefix(setting, stopPrefix)
	name, count, counted := strings.Cut(setting, ":")
	n := 1
	if counted {
		var err error
		if n, err = strconv.Atoi(count); err != nil || n < 1 {
			return fmt.Errorf("%s: %q is not a count from 1", Setting, count)
		}
	}
	armed, ok := pointOf(name)
	if !ok {
		return fmt.Errorf("%s: no such point %q; one of %s", Setting, name, strings.Join(Names(), ", "))
	}
	var left atomic.Int64 // how often the point is still passed, the last time included
	left.Store(int64(n))
	crash.SetHook(func(p crash.Point) {
		switch {
		case p != armed || left.Add(-1) != 0:
		case stops:
			stop()
		default:
			die()
		}
	})
	return nil
}

// die ends the process; nothing deferred runs.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until the signal arrives
}

// stop stops all of the process and returns once it is continued.
func stop() {
	woken := make(chan os.Signal, 1)
	signal.Notify(woken, syscall.SIGCONT)
	defer signal.Stop(woken)
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	<-woken // the signal to stop may arrive a little later
}
