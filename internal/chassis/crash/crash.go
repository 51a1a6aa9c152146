// Package crash marks the instants at which a crash leaves the most behind.
//
// A service calls At where it has done one thing and not the next. Nothing happens there: this package can neither end
// nor stop a process, and production links nothing that can. Tests give it a hook that does, see devenv/crashpoint.
package crash

import "sync/atomic"

// Point is one such instant. Points have no names here, so that none is part of the production binary.
type Point uint8

// The points, each named by the service, what it does, and what has just been done.
const (
	CheckoutStartWritten     Point = iota + 1 // order, hold and intent row are committed, Stripe is not asked
	CheckoutStartAsked                        // Stripe has made the intent, its id is not written
	CheckoutAttemptBegun                      // tx 1 is committed
	CheckoutAttemptIssued                     // the passes are issued
	CheckoutAttemptPosted                     // the sale is posted
	CheckoutAttemptFinishing                  // both are done, tx 2 has not begun
	CheckoutAttemptWritten                    // tx 2 is written and not committed
	CheckoutAttemptFinished                   // tx 2 is committed, nobody is answered
	CheckoutRefundSent                        // Stripe has made the refund, its id is not written
	CheckoutReceiptSent                       // the mail server has the receipt, that is not written
	WebhookStored                             // the event is committed, Stripe is not answered
	WebhookCalled                             // the RPC has answered, the outcome is not written
	LedgerPosted                              // the ledger has the entry, our copy is not written
	LedgerCopied                              // our copy is written, nobody is answered
	PassIssued                                // the passes are committed, nobody is answered
	PassRevised                               // a revision and its pushes are written and not committed
	PassPushed                                // APNs has taken pushes, that is not written
)

// hook is nil outside of tests.
var hook atomic.Pointer[func(Point)]

// SetHook has f called at every point from now on; nil ends that.
func SetHook(f func(Point)) {
	if f == nil {
		hook.Store(nil)
		return
	}
	hook.Store(&f)
}

// At is called at a point.
func At(p Point) {
	if f := hook.Load(); f != nil {
		(*f)(p)
	}
}
