// Package crash kills the process at a named point, as kill -9 would, or stops it there, as SIGSTOP would, so that tests
// can look at what is left behind.
//
// It is a debug setting: nothing happens unless Arm was called with a point, which `dayof serve` does only when
// DAYOF_DEBUG_CRASH_POINT is set, and a build with the tag dayof_production cannot be armed at all.
package crash

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// The points, each named by the service, what it does, and what has just been done.
const (
	CheckoutStartWritten  = "checkout/start/written"  // order, hold and intent row are committed, Stripe is not asked
	CheckoutStartAsked    = "checkout/start/asked"    // Stripe has made the intent, its id is not written
	CheckoutWalkBegun     = "checkout/walk/begun"     // tx 1 is committed
	CheckoutWalkIssued    = "checkout/walk/issued"    // the passes are issued
	CheckoutWalkPosted    = "checkout/walk/posted"    // the sale is posted
	CheckoutWalkFinishing = "checkout/walk/finishing" // both are done, tx 2 has not begun
	CheckoutWalkWritten   = "checkout/walk/written"   // tx 2 is written and not committed
	CheckoutWalkFinished  = "checkout/walk/finished"  // tx 2 is committed, nobody is answered
	CheckoutRefundSent    = "checkout/refund/sent"    // Stripe has made the refund, its id is not written
	CheckoutReceiptSent   = "checkout/receipt/sent"   // the mail server has the receipt, that is not written
	WebhookStored         = "webhook/inbox/stored"    // the event is committed, Stripe is not answered
	WebhookCalled         = "webhook/job/called"      // the RPC has answered, the outcome is not written
	LedgerPosted          = "ledger/post/posted"      // the ledger has the entry, our copy is not written
	LedgerCopied          = "ledger/post/copied"      // our copy is written, nobody is answered
	PassIssued            = "pass/issue/written"      // the passes are committed, nobody is answered
	PassRevised           = "pass/revise/written"     // a revision and its pushes are written and not committed
	PassPushed            = "pass/push/sent"          // APNs has taken pushes, that is not written
)

// Points lists all points.
func Points() []string {
	return []string{
		CheckoutStartWritten, CheckoutStartAsked, CheckoutWalkBegun, CheckoutWalkIssued, CheckoutWalkPosted, CheckoutWalkFinishing,
		CheckoutWalkWritten, CheckoutWalkFinished, CheckoutRefundSent, CheckoutReceiptSent, WebhookStored, WebhookCalled,
		LedgerPosted, LedgerCopied, PassIssued, PassRevised, PassPushed,
	}
}

// armed is the point at which to die, and passes is how often it is still passed alive.
var armed atomic.Pointer[trap]

type trap struct {
	point  string
	stops  bool // instead of dying
	passes atomic.Int64
}

// stopPrefix makes a setting stop the process instead of killing it.
const stopPrefix = "stop@"

// Arm takes a setting "POINT" or "POINT:N" (die when it is passed for the N-th time, from 1), or either of them behind
// "stop@" (stop there, once, until a SIGCONT). An empty one disarms.
func Arm(setting string) error {
	if setting == "" {
		armed.Store(nil)
		return nil
	}
	if !buildAllows {
		return errors.New("this build cannot be made to crash")
	}
	setting, stops := strings.CutPrefix(setting, stopPrefix)
	point, count, counted := strings.Cut(setting, ":")
	n := 1
	if counted {
		var err error
		if n, err = strconv.Atoi(count); err != nil || n < 1 {
			return fmt.Errorf("DAYOF_DEBUG_CRASH_POINT: %q is not a count from 1", count)
		}
	}
	if !slices.Contains(Points(), point) {
		return fmt.Errorf("DAYOF_DEBUG_CRASH_POINT: no such point %q; one of %s", point, strings.Join(Points(), ", "))
	}
	t := &trap{point: point, stops: stops}
	t.passes.Store(int64(n))
	armed.Store(t)
	return nil
}

// At is passed at a point. The process dies or stops here when it is the armed one's turn; nothing deferred runs.
func At(point string) {
	t := armed.Load()
	if t == nil || t.point != point || t.passes.Add(-1) != 0 {
		return
	}
	if t.stops {
		stop()
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until the signal arrives
}

// stop stops all of the process and returns once it was told to go on.
func stop() {
	woken := make(chan os.Signal, 1)
	signal.Notify(woken, syscall.SIGCONT)
	defer signal.Stop(woken)
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	<-woken // the signal to stop may arrive a little later
}
