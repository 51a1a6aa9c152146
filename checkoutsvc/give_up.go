package checkoutsvc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

// alertBlocked is the kind of the alert for an order that cannot be fulfilled for longer than a minute.
const alertBlocked = "order_blocked"

// giveUp ends an order whose tickets could not be made valid in time, in one transaction on the locked row: raising the
// attempt fences off any walker, the tickets become void, and the refund is written down with the job that makes it.
// The books are set right by whichever of sale and receipt the ledger has or gets.
func (s *Service) giveUp(ctx context.Context, orderID string, attempt int32) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		o, err := lockOrderForUpdate(ctx, tx, orderKey{ID: orderID})
		if err != nil {
			return err
		}
		if o.Attempt != attempt || !o.inWalk() {
			return nil
		}
		w := s.newWrites(o)
		p := o.paying()
		w.giveBack(ctx, p, *o.CaptureTime, refundGivenUp)
		for i := range o.Tickets {
			if o.Tickets[i].State != ticketVoid {
				w.setTicketState(ctx, &o.Tickets[i], ticketVoid)
			}
		}
		w.returnStock(ctx)
		must(jobs.ResolveAlert(ctx, &w.pipe, alertBlocked, o.ID))
		return w.flush(ctx, tx)
	})
}

// giveBack makes an order unfulfillable and sends its money back.
func (w *writes) giveBack(ctx context.Context, p *checkoutdb.PaymentIntent, at time.Time, reason string) {
	o := w.order
	o.PayingIntent, o.CaptureTime = p.StripeID, &at
	o.Fulfilment = fulfilmentUnfulfillable
	o.Attempt++
	w.refundUnwanted(ctx, p, reason)
	w.enqueue(recordFeeArgs{OrderID: o.ID, PaymentIntentRow: p.ID})
	o.Payment = o.derivePayment()
	must(w.q.SetUnfulfillable(ctx, &w.pipe, o.ID, o.Payment, o.PayingIntent, o.CaptureTime))
	w.note(ctx, "unfulfillable", reason)
	w.raise(ctx, reviewCase{
		Kind: "order_unfulfillable", Subject: o.ID, Intent: *p.StripeID, Facts: map[string]string{"reason": reason},
		Action: "The money is being refunded by itself. Tell the buyer; offer other tickets if there are any.",
	})
}

// blockedFacts is what an operator needs to know first of an order that waits.
func blockedFacts(o *order, st *steps) map[string]any {
	facts := map[string]any{"order_id": o.ID, "payment_intent_id": *o.PayingIntent}
	if st.saleErr != nil {
		facts["record_sale"] = publicError(st.saleErr)
	}
	if st.passErr != nil {
		facts["issue_passes"] = publicError(st.passErr)
	}
	return facts
}

// orderLink leads to the order in the console.
func (s *Service) orderLink(orderID string) string { return s.Config.ConsoleURL + "/orders/" + orderID }
