//go:build mutations

package order_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutations are mistakes in the rules, each of which a test of this package must notice.
var mutations = map[string]struct{ file, from, to string }{
	"captured takes the last sum, not the largest": {
		"intent.go", "max(p.CapturedMinorUnits, f.ReceivedMinorUnits)", "f.ReceivedMinorUnits - 1",
	},
	"a buyer is corrected any number of times": {
		"buyer_correction.go", "case o.BuyerCorrections >= correctionsMax:", "case false:",
	},
	"a buyer's name overwrites that of a named holder": {
		"buyer_correction.go", "if t.State == TicketVoid || t.HolderName != \"\" {", "if t.State == TicketVoid {",
	},
	"a final status of an intent does not stick": {
		"intent.go", "case p.Succeeded:\n\t\tp.Status = IntentSucceeded", "case f.Captured():\n\t\tp.Status = IntentSucceeded",
	},
	"a refund takes the state that arrives last": {
		"refund.go", "if refundRank[f.State] > refundRank[r.State] {", "if f.State != r.State {",
	},
	"a void ticket is derived anew": {
		"ticket.go", "case t.State == TicketVoid, o.Fulfilment", "case o.Fulfilment",
	},
	"tickets become valid before the ledger has the sale": {
		"ticket.go", "case o.Fulfilment == FulfilmentCompleted && t.PassSerial != \"\":", "case o.Fulfilment != FulfilmentNone:",
	},
	"a dispute takes the status that arrives last": {
		"dispute.go", "if disputeRank[f.Status] > disputeRank[dispute.Status] {", "if true {",
	},
	"a network holds one order more than it may": {
		"buyer.go", "ofNetwork <= most", "ofNetwork <= most+1",
	},
	"tickets of a canceled event stay valid": {
		"ticket.go", "case o.TicketsHeld(), o.Schedule.Canceled(), o.ticketRefundRequested(t.ID):", "case o.TicketsHeld(), o.ticketRefundRequested(t.ID):",
	},
	"a canceled event keeps stock for who has not paid": {
		"schedule.go", "if d.order.Schedule.Canceled() && d.order.Hold.State == HoldActive {", "if false {",
	},
	"money buys tickets of a canceled event": {
		"payment.go", "case o.Hold.State == HoldActive && !o.Schedule.Canceled():", "case o.Hold.State == HoldActive:",
	},
	"money of a duplicate payment is kept": {
		"payment.go", "d.refundUnwanted(p, RefundDuplicatePayment)", "_ = p",
	},
	"money that does not fit buys tickets": {
		"intent.go", "case captured != o.TotalMinorUnits:", "case captured < 0:",
	},
	"an attempt that was overtaken completes the order": {
		"fulfilment.go", "if o.Attempt != f.Attempt || !o.BeingFulfilled() {\n\t\treturn ErrFenced", "if !o.BeingFulfilled() {\n\t\treturn ErrFenced",
	},
	"refunds that are requested are not counted": {
		"refund_request.go", "!r.State.CameBack() {\n\t\t\tleft", "r.State.Moved() {\n\t\t\tleft",
	},
	"a refund that is asked for is counted beside its sum": {
		"refund_sum.go", "sum-asked, 0)", "sum, 0)",
	},
	"what was counted before a refund is asked for is explained by it": {
		"refund_sum.go", "max(min(counted, sum), sum-asked, 0)", "max(sum-asked, 0)",
	},
	"an attempt that made no refund explains a sum": {
		"refund_sum.go", " && r.ID != notMade:", ":",
	},
	"an order that is given up keeps the money": {
		"fulfilment.go", "d.refundUnwanted(p, reason)", "_ = reason",
	},
	"a hold that is not due ends": {
		"hold.go", "if d.order.HoldDue && d.order.Hold.State", "if d.order.Hold.State",
	},
	"a payment on its way loses its hold": {
		"hold.go", " && !d.paymentUnderWay()", "",
	},
	"a ticket gives back what the whole order would": {
		"share.go", "byTicket := o.ticketShares(sale, withFee)", "byTicket := map[string]split{}",
	},
	"more than is left of a tax goes back": {
		"share.go", "back := within(wanted, sale.less(named))", "back := wanted",
	},
	"a refund of a duplicate payment takes the order's tickets": {
		"refund_request.go", "len(f.TicketIDs) > 0 || !o.fundedBy(p.StripeID) || amount", "len(f.TicketIDs) > 0 || amount",
	},
	"a dispute of refunded money is like any other": {
		"refunded_dispute.go", "if was || !is {", "if was || is || !is {",
	},
	"a hold ends while Stripe does not answer": {
		"hold.go", " && !f.waits(d)", "",
	},
	"a checkout whose payment is on its way is canceled": {
		"hold.go", "case o.anyIntent(IntentProcessing) || o.anyIntent(IntentRequiresCapture):", "case o.anyIntent(IntentRequiresCapture):",
	},
	"a canceled checkout leaves its payment open at Stripe": {
		"hold.go", "d.setPayment()\n\td.enqueue(WorkCancelIntents, o.ID)", "d.setPayment()",
	},
	"a sale goes on at the instant of its end": {
		"sale.go", "!now.Before(*v.SaleEndTime)", "now.After(*v.SaleEndTime)",
	},
	"late money buys what is archived": {
		"sale.go", "return e.Publication != EventPublished || ", "return ",
	},
	"a buyer has one ticket above the limit": {
		"buyer.go", "limit > 0 && all > limit", "limit > 0 && all > limit+1",
	},
	"a limit of a variant is one of the event": {
		"buyer.go", "tickets[l.VariantID] > limit", "all > limit",
	},
	"a ticket that admits nobody is used": {
		"admission.go", "case t.State != TicketValid:", "case t.State == TicketReserved:",
	},
	"a ticket whose admission is undone is valid whatever happened": {
		"admission.go", "d.moveTicket(t, d.order.deriveTicket(valid))", "d.moveTicket(t, TicketValid)",
	},
	"the entry that is reported first is the first": {
		"admission.go", "slices.SortedFunc(slices.Values(scans), CompareScans)", "slices.Clone(scans)",
	},
	"a holder comes back while another is inside": {
		"admission.go", "case len(stays) == 0, !inside && s.Reentry:", "case len(stays) == 0, s.Reentry:",
	},
	"a used ticket lets its holder back in during a dispute": {
		"admission.go", "if o.TicketsHeld() || o.ticketRefundRequested(t.ID) {", "if o.ticketRefundRequested(t.ID) {",
	},
	"a used ticket without a stay admits": {
		"admission.go", "(p == PassageAlreadyUsed || len(stays) == 0)", "p == PassageAlreadyUsed",
	},
	"a seat of a void ticket stays off sale": {
		"ticket.go", "d.changes.SeatIDsReturned = append(d.changes.SeatIDsReturned, t.SeatID)", "_ = t.SeatID",
	},
	"all tickets of a line have one seat": {
		"ticket.go", "t.sit(l.Seats[k])", "t.sit(l.Seats[k/2])",
	},
	"seats across an aisle are neighbours": {
		"seat.go", "a.RowNumber == b.RowNumber && a.Place+1 == b.Place", "a.Place+1 == b.Place",
	},
	"the worst seats are the best": {
		"seat.go", "slices.Compare(x[:], y[:])", "slices.Compare(y[:], x[:])",
	},
	"a wheelchair's seat is given like any other": {
		"seat.go", "q[0]++", "_ = q",
	},
	"seats are split though there are neighbours": {
		"seat.go", "for size := n; len(choice) < n; {", "for size := 1; len(choice) < n; {",
	},
	"a seat that is gone is sold": {
		"seat.go", "} else if !taken[s.ID] {", "} else if false {",
	},
	"fewer seats than tickets are chosen": {
		"seat.go", "if len(ids) != int(lines[i].Quantity) {", "if len(ids) > int(lines[i].Quantity) {",
	},
	"a seat of another variant is sold": {
		"seat.go", "if variants[s.ID] != l.VariantID {", "if variants[s.ID] == \"\" {",
	},
	"a ticket that was replaced admits on": {
		"reissue.go", "d.moveTicket(o.Ticket(next.Replaces), TicketVoid)", "_ = next",
	},
	"the seat of a ticket that was replaced is on sale": {
		"ticket.go", " && d.order.Replacement(t.ID) == nil {", " {",
	},
	"the seat of a ticket that was replaced stays with it": {
		"reissue.go", "next.TakeSeat(o.Ticket(next.Replaces))", "_ = next",
	},
	"a ticket is valid before it has its pass": {
		"ticket.go", "case o.Fulfilment == FulfilmentCompleted && t.PassSerial != \"\":", "case o.Fulfilment == FulfilmentCompleted:",
	},
	"nothing issues the pass of a new ticket": {
		"reissue.go", "d.enqueue(WorkIssuePass, next.ID)", "_ = next",
	},
	"a ticket that was used is still offered": {
		"ticket.go", "if state == TicketVoid || state == TicketUsed {", "if state == TicketVoid {",
	},
	"a ticket that is void is still offered": {
		"ticket.go", "if state == TicketVoid || state == TicketUsed {", "if state == TicketUsed {",
	},
	"a ticket that changes hands stays the buyer's": {
		"transfer.go", "next.HolderName, next.HolderEmail, next.HolderLanguage = transfer.RecipientName, transfer.RecipientEmail, transfer.RecipientLanguage", "next.HolderName = transfer.RecipientName",
	},
	"a ticket on hold changes hands": {
		"reissue.go", "case t.State != TicketValid || o.ticketRefundRequested(t.ID):", "case t.State == TicketReserved, t.State == TicketUsed:",
	},
	"an offer outlives the event's start": {
		"transfer.go", "expire.After(end) {", "expire.Before(end) {",
	},
	"a ticket is offered to two people": {
		"transfer.go", "if o.findTransfer(t.ID, TransferPending) != nil {", "if false {",
	},
	"a ticket that is issued again may change hands as often as before": {
		"transfer.go", "range o.chain(t.ID)", "range []string{t.ID}",
	},
	"a whole refund names tickets that were replaced": {
		"refund_request.go", "if o.Replacement(t.ID) == nil {", "if true {",
	},
	"an admission counts twice in the shares of a refund": {
		"share.go", "if o.Replacement(t.ID) == nil {", "if true {",
	},
	"a refund at Stripe of an old ticket leaves the new one valid": {
		"ticket.go", "slices.ContainsFunc(o.chain(id), func(id string) bool { return slices.Contains(r.TicketIDs, id) })", "slices.Contains(r.TicketIDs, id)",
	},
	"a transfer ends before its time": {
		"transfer.go", "t.State == TransferPending && t.Due", "t.State == TransferPending",
	},
	"a name that was given late counts": {
		"reissue.go", "case !d.now.Before(end):", "case d.now.After(end):",
	},
	"odd units of a discount go to the last line": {
		"promotion.go", "return cmp.Compare(b.remainder, a.remainder)", "return cmp.Compare(a.remainder, b.remainder)",
	},
	"a tax stays while its ticket gets cheaper": {
		"promotion.go", "t.MinorUnits = min(roundedShare(t.MinorUnits, l.UnitPriceMinorUnits, price), left)", "t.MinorUnits = min(t.MinorUnits, left)",
	},
	"a fee is above what is left": {
		"promotion.go", "min(list.ApplicationFeeMinorUnits, left)", "list.ApplicationFeeMinorUnits",
	},
	"a refunded ticket gives back what it cost without its discount": {
		"share.go", "o.splitOf(l.ticketPrice(k), parts", "o.splitOf(l.UnitPriceMinorUnits, parts",
	},
	"a code holds at the instant of its end": {
		"promotion.go", "now.Before(*p.EndTime)", "!now.After(*p.EndTime)",
	},
	"a hidden variant is sold without its code": {
		"promotion.go", ".NeedsCode && !p.unlocks(line.VariantID)", ".NeedsCode && p == nil && false",
	},
	"all tickets of a line cost what the first does": {
		"ticket.go", "if k > 0 && k == l", "if k < 0 && k == l",
	},
	"money buys tickets of a free order": {
		"intent.go", "case o.Free():\n\t\treturn MismatchAmount", "case false:\n\t\treturn MismatchAmount",
	},
	"a ticket that was paid for is released": {
		"free.go", "if price > 0 {", "if price < 0 {",
	},
	"a free order is made twice": {
		"free.go", " || d.order.Fulfilment != FulfilmentNone {", " {",
	},
	"a free order waits for a payment": {
		"payment.go", "if o.Free() {\n\t\treturn PaymentNotRequired", "if false {\n\t\treturn PaymentNotRequired",
	},
	"a free checkout is canceled behind its tickets": {
		"hold.go", "case o.Free():", "case false:",
	},
	"a closed review is open again": {
		"risk.go", "r.Open = r.Open && f.Open", "r.Open = f.Open",
	},
}

// TestMutations makes each mistake in a copy of its file and runs the tests of this package, which must fail.
func TestMutations(t *testing.T) {
	t.Parallel()
	for name, m := range mutations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, err := os.ReadFile(m.file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(string(source), m.from) != 1 {
				t.Fatalf("%s does not have %q once: make the same mistake in today's rules", m.file, m.from)
			}
			dir := t.TempDir()
			mutant := filepath.Join(dir, m.file)
			if err := os.WriteFile(mutant, []byte(strings.Replace(string(source), m.from, m.to, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			original, err := filepath.Abs(m.file)
			if err != nil {
				t.Fatal(err)
			}
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutant}})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "overlay.json")
			if err := os.WriteFile(file, overlay, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := runMutant(t, file, "1000")
			if err == nil { // few scenarios notice most mistakes, and all of them the rest
				out, err = runMutant(t, file, "")
			}
			switch {
			case err == nil:
				t.Errorf("the tests pass with the mistake")
			case !strings.Contains(string(out), "--- FAIL"):
				t.Errorf("the tests did not run: %s", out)
			}
		})
	}
}

// runMutant runs the tests of this package with an overlay, and some number of scenarios, or all.
func runMutant(t *testing.T, overlay, scenarios string) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-failfast", "-timeout", "3m", "-overlay", overlay, ".")
	cmd.Env = append(os.Environ(), "DAYOF_TEST_SCENARIOS="+scenarios)
	return cmd.CombinedOutput()
}
