// Package crash kills the process at a named point, as kill -9 would, so that tests can look at what is left behind.
//
// It is a debug setting: nothing happens unless Arm was called with a point, which `dayof serve` does only when
// DAYOF_DEBUG_CRASH_POINT is set, and a build with the tag dayof_production cannot be armed at all.
package crash

import (
	"errors"
	"fmt"
	"os"
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
	WebhookStored         = "webhook/inbox/stored"    // the event is committed, Stripe is not answered
	WebhookCalled         = "webhook/job/called"      // the RPC has answered, the outcome is not written
	LedgerPosted          = "ledger/post/posted"      // the ledger has the entry, our copy is not written
	LedgerCopied          = "ledger/post/copied"      // our copy is written, nobody is answered
	PassIssued            = "pass/issue/written"      // the passes are committed, nobody is answered
)

// Points lists all points.
func Points() []string {
	return []string{
		CheckoutStartWritten, CheckoutStartAsked, CheckoutWalkBegun, CheckoutWalkIssued, CheckoutWalkPosted, CheckoutWalkFinishing,
		CheckoutWalkWritten, CheckoutWalkFinished, CheckoutRefundSent, WebhookStored, WebhookCalled, LedgerPosted, LedgerCopied,
		PassIssued,
	}
}

// armed is the point at which to die, and passes is how often it is still passed alive.
var armed atomic.Pointer[trap]

type trap struct {
	point  string
	passes atomic.Int64
}

// Arm takes a setting "POINT" or "POINT:N" (die when it is passed for the N-th time, from 1). An empty one disarms.
func Arm(setting string) error {
	if setting == "" {
		armed.Store(nil)
		return nil
	}
	if !buildAllows {
		return errors.New("this build cannot be made to crash")
	}
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
	t := &trap{point: point}
	t.passes.Store(int64(n - 1))
	armed.Store(t)
	return nil
}

// At is passed at a point. The process dies here when it is the armed one's turn; nothing deferred runs.
func At(point string) {
	t := armed.Load()
	if t == nil || t.point != point || t.passes.Add(-1) >= 0 {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until the signal arrives
}
