package order

import (
	"errors"
	"time"
)

// Policy is what an organiser or operator may decide about orders, and what the rules need from outside.
type Policy struct {
	// Livemode says which of Stripe's modes orders are paid in; money of the other mode buys nothing.
	Livemode bool
	// Lease is for how long an order belongs to who attempts to fulfil it.
	Lease time.Duration
	// BlockedAfter is how long fulfilment may fail before people are alerted; GiveUpAfter is how long before the order is
	// given up and refunded.
	BlockedAfter, GiveUpAfter time.Duration
	// RefundApplicationFee says whether the platform gives its fee back with a refund.
	RefundApplicationFee bool
	// FraudWarningRefunds says whether an early fraud warning refunds what is not used before the event begins.
	FraudWarningRefunds bool
	// ReviewHoldsDelivery says whether tickets are held back while the payment is reviewed at Stripe.
	ReviewHoldsDelivery bool
	// PartialCaptureKeepsHold says whether a capture of less than the total leaves the hold alive until its time; else it
	// ends the hold.
	PartialCaptureKeepsHold bool
	// ProcessingHoldMax is for how long a payment that is on its way, such as a bank debit, keeps a hold that has run out, from when
	// Stripe reported it.
	ProcessingHoldMax time.Duration
	// UnansweredHoldMax is for how long beyond its time a hold is kept while Stripe does not say whether the buyer has paid.
	UnansweredHoldMax time.Duration
	// TransferDuration is for how long a ticket is offered to its recipient.
	TransferDuration time.Duration
	// TransfersPendingMax is how many tickets of an order may be offered at once, and TransfersDailyMax how many within a day: each
	// offer is a mail to somebody who did not ask for it. 0: any number.
	TransfersPendingMax, TransfersDailyMax int
	// CodeKeyVersion is the version of the key that signs the codes of new tickets.
	CodeKeyVersion int32
	// NewID returns an id that nobody has.
	NewID func() string
}

// Fact is something that happened to an order: see the types that implement it.
type Fact interface {
	observe(d *decision) error
}

// Observe merges a fact into an order. It returns the order as it is then, and the changes to save. The given order is left
// as it is.
//
// Facts commute: any order of arrival, and any repetition, ends in the same states. An error says that nothing changed:
// a [Refusal] of a person's request, [ErrUnknownIntent], [ErrNoOrder] or [ErrFenced].
func Observe(o Order, f Fact, p Policy, now time.Time) (Order, Changes, error) {
	d := &decision{order: o.clone(), policy: p, now: now, held: o.TicketsHeld()}
	if r, ok := f.(reported); ok && r.source().account != o.StripeAccount() {
		d.refuseForeign(r.source())
		return o, d.changes, nil
	}
	if err := f.observe(d); err != nil {
		return o, Changes{}, err
	}
	d.followRefundedDisputes(&o)
	d.changes.compare(&o, &d.order)
	return d.order, d.changes, nil
}

// reported is a fact that Stripe reports of an object, and that may have found the order by what the object's metadata name.
type reported interface {
	source() source
}

// source is where a fact comes from: an account, the platform's own when it is empty, and an object of it at Stripe.
type source struct{ account, object string }

func (f Payment) source() source        { return source{f.Account, f.IntentID} }
func (f Charge) source() source         { return source{f.Account, f.ChargeID} }
func (f RefundObserved) source() source { return source{f.Account, f.StripeID} }
func (f SessionEnd) source() source     { return source{f.Account, f.SessionID} }

// refuseForeign leaves a fact of another account to a person. Whoever has an account at Stripe may write any order's id into
// the metadata of their objects: metadata name an order, only its own account says what became of it.
func (d *decision) refuseForeign(s source) {
	d.raise(ReviewCase{
		Kind: CaseForeignAccount, Subject: d.order.ID + "/" + s.account,
		Facts:  map[string]string{"stripe_account": s.account, "order_stripe_account": d.order.StripeAccount(), "object_id": s.object},
		Action: "Another Stripe account names this order in the metadata of its objects; nothing was changed. Ask its owner why, and look for a payment that a buyer made there.",
	})
}

var (
	// ErrUnknownIntent says that the order has an intent whose id at Stripe is not known yet, so that the observed one may
	// be it: learn the id first, then observe again with Adopt.
	ErrUnknownIntent = errors.New("the order waits for an intent's id")
	// ErrNoOrder says that a fact does not name what it is about; it may be known a moment later.
	ErrNoOrder = errors.New("the fact names no order")
	// ErrFenced says that the attempt is not the order's any more.
	ErrFenced = errors.New("another attempt has the order")
)

// decision is one call of Observe: the order as it changes, and what follows from that.
type decision struct {
	order   Order
	policy  Policy
	now     time.Time // one instant per transaction
	held    bool      // whether the tickets were held back before the fact
	changes Changes
}

func (d *decision) enqueue(kind WorkKind, id string) {
	d.changes.Work = append(d.changes.Work, Work{Kind: kind, ID: id})
}

// note adds a line to the order's timeline.
func (d *decision) note(step, detail string) {
	d.changes.Notes = append(d.changes.Notes, Note{Step: step, Attempt: d.order.Attempt, Detail: detail})
}

// noteBy is note of what somebody asked for.
func (d *decision) noteBy(actor, step, detail string) {
	d.changes.Notes = append(d.changes.Notes, Note{Step: step, Attempt: d.order.Attempt, Detail: detail, Actor: actor})
}

func (d *decision) raise(c ReviewCase) { d.changes.Cases = append(d.changes.Cases, c) }

// resolve closes a review case that nobody needs to decide any more, if there is one; note says why.
func (d *decision) resolve(kind, subject, note string) {
	d.changes.Resolved = append(d.changes.Resolved, ResolvedCase{Kind: kind, Subject: subject, Note: note})
}

func (d *decision) alert(a Alert) { d.changes.Alerts = append(d.changes.Alerts, a) }

// Refusal is why an order refuses what a person asks for.
type Refusal struct {
	Reason Reason
	Detail string // a sentence that says what to do
	Field  string // path of the field of the request that is wrong; empty when it is the state
	// Fields are all that is wrong, where it is several fields at once; nil where Field and Detail say it.
	Fields []RefusedField
}

// RefusedField is a field of a request and what is wrong with it.
type RefusedField struct{ Path, Detail string }

// Error implements error.
func (r *Refusal) Error() string { return string(r.Reason) + ": " + r.Detail }

// Reason is a stable word to switch on. They are listed in docs/problems.md.
type Reason string

// The reasons of refusals.
const (
	ReasonInvalidField           Reason = "INVALID_FIELD"                 // Field says which
	ReasonEventNotOnSale         Reason = "EVENT_NOT_ON_SALE"             // the event is archived, or a draft
	ReasonVariantNotFound        Reason = "VARIANT_NOT_FOUND"             // the event has no such variant
	ReasonEventCanceled          Reason = "EVENT_CANCELED"                // nothing of it is sold any more
	ReasonSaleNotOpen            Reason = "SALE_NOT_OPEN"                 // outside of the sale times
	ReasonOrganizerCannotSell    Reason = "ORGANIZER_CANNOT_SELL"         // the organiser may not take money at Stripe
	ReasonOrderTicketLimit       Reason = "ORDER_TICKET_LIMIT"            // more than one order may have
	ReasonBuyerTicketLimit       Reason = "BUYER_TICKET_LIMIT"            // more than one mail address may have
	ReasonOpenHoldsLimit         Reason = "OPEN_HOLDS_LIMIT"              // more unpaid orders than one network may have open
	ReasonBuyerHoldLimit         Reason = "BUYER_HOLD_LIMIT"              // more unpaid orders than one mail address may have open
	ReasonPaymentUnderWay        Reason = "PAYMENT_UNDER_WAY"             // money is on its way or authorised
	ReasonOrderAlreadyPaid       Reason = "ORDER_ALREADY_PAID"            // money was captured
	ReasonCurrencyMismatch       Reason = "CURRENCY_MISMATCH"             // not the order's currency
	ReasonTotalChanged           Reason = "TOTAL_CHANGED"                 // the price is another one now
	ReasonOrderNotPaid           Reason = "ORDER_NOT_PAID"                // no money was captured
	ReasonOrderDisputed          Reason = "ORDER_DISPUTED"                // Stripe refuses refunds
	ReasonTicketNotFound         Reason = "TICKET_NOT_FOUND"              // the order has no such ticket
	ReasonPaymentIntentNotFound  Reason = "PAYMENT_INTENT_NOT_FOUND"      // the order has no such payment
	ReasonPaymentNotAcceptable   Reason = "PAYMENT_NOT_ACCEPTABLE"        // no capture below the total waits for a decision
	ReasonSoldOut                Reason = "SOLD_OUT"                      // not enough tickets are left
	ReasonSeatNotFound           Reason = "SEAT_NOT_FOUND"                // the variant has no such seat
	ReasonSeatTaken              Reason = "SEAT_TAKEN"                    // somebody else holds or owns it, or it is blocked
	ReasonTicketVoid             Reason = "TICKET_VOID"                   // refunded already, or about to be, or replaced by another one
	ReasonTicketNotValid         Reason = "TICKET_NOT_VALID"              // it admits nobody now
	ReasonRefundExceedsPrice     Reason = "REFUND_EXCEEDS_PRICE"          // the named tickets cost less
	ReasonRefundExceedsCaptured  Reason = "REFUND_EXCEEDS_CAPTURED"       // less is left
	ReasonBuyerRefundClosed      Reason = "BUYER_REFUND_CLOSED"           // only staff refund it, or not any more
	ReasonRefundKeepsAll         Reason = "REFUND_KEEPS_ALL"              // nothing would go back
	ReasonEventEnded             Reason = "EVENT_ENDED"                   // the event is over
	ReasonTransferNotFound       Reason = "TRANSFER_NOT_FOUND"            // the order has no such transfer
	ReasonTransferNotAllowed     Reason = "TRANSFER_NOT_ALLOWED"          // the organiser does not want it, or not any more
	ReasonTransferPending        Reason = "TRANSFER_PENDING"              // the ticket is offered to somebody already
	ReasonTransferLimit          Reason = "TRANSFER_LIMIT"                // of the ticket, of the order at once, or of the order in a day
	ReasonTransferEnded          Reason = "TRANSFER_ENDED"                // it was answered, canceled or has expired
	ReasonReissueLimit           Reason = "REISSUE_LIMIT"                 // the ticket was issued again too often
	ReasonOrderNotCompleted      Reason = "ORDER_NOT_COMPLETED"           // the order does not have its tickets yet, or never will
	ReasonBuyerCorrectionLimit   Reason = "BUYER_CORRECTION_LIMIT"        // the buyer was corrected too often
	ReasonHolderFixed            Reason = "HOLDER_FIXED"                  // it is too late to name somebody else
	ReasonTicketNotFree          Reason = "TICKET_NOT_FREE"               // it was paid for
	ReasonPromotionNotFound      Reason = "PROMOTION_CODE_NOT_FOUND"      // the event has no such code
	ReasonPromotionNotActive     Reason = "PROMOTION_CODE_NOT_ACTIVE"     // outside of its times, or archived
	ReasonPromotionUsedUp        Reason = "PROMOTION_CODE_USED_UP"        // as many orders have it as may, of all buyers or of this one
	ReasonPromotionNotApplicable Reason = "PROMOTION_CODE_NOT_APPLICABLE" // it does nothing for this cart
	ReasonPromotionRequired      Reason = "PROMOTION_CODE_REQUIRED"       // the variant is sold with its code only
)
