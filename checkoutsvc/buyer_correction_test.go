package checkoutsvc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// correct corrects the buyer of an order.
func (w *harness) correct(ctx context.Context, orderID string, b *checkoutv1.Buyer, overLimit bool) (*checkoutv1.CorrectBuyerResponse, error) {
	return w.replicas[0].orders.CorrectBuyer(ctx, &checkoutv1.CorrectBuyerRequest{OrderId: orderID, Buyer: b, Note: "mistyped", OverLimit: overLimit})
}

// TestCorrectBuyer corrects an address: the receipt goes there, once per correction, and the timeline does not tell it.
func TestCorrectBuyer(t *testing.T) {
	w, server := newMailHarness(t)
	const wrong, right = "erika@exmaple.test", "erika@example.test"
	o := w.buy("corrected", &checkoutv1.Buyer{Name: "Erika", Email: wrong})
	w.mailTo(server, wrong, 1)
	to := &checkoutv1.Buyer{Name: "Erika Beispiel", Email: right, Language: "de"}
	for range 2 { // the second is a retry
		if _, err := w.correct(w.keyed("correct"), o.GetId(), to, false); err != nil {
			t.Fatal(err)
		}
	}
	w.mailTo(server, right, 1)
	if _, err := w.correct(w.keyed("same"), o.GetId(), to, false); err != nil {
		t.Fatal(err)
	}
	w.idle("send_receipt")
	w.idle("name_pass")
	if n := len(server.Messages()); n != 2 {
		t.Errorf("%d mails, want 2", n)
	}
	details, err := w.replicas[0].orders.GetOrderDetails(t.Context(), &checkoutv1.GetOrderDetailsRequest{OrderId: o.GetId()})
	if err != nil || details.GetBuyer().GetEmail() != right || details.GetBuyer().GetName() != to.GetName() {
		t.Errorf("the buyer is %v, %v", details.GetBuyer(), err)
	}
	told := fmt.Sprint(details.GetTimeline())
	if strings.Count(told, "name, address, language: mistyped") != 1 || strings.Contains(told, right) || strings.Contains(told, wrong) {
		t.Errorf("the timeline tells %s", told)
	}
	for i := range 5 {
		_, err = w.correct(w.keyed(fmt.Sprint("again", i)), o.GetId(), &checkoutv1.Buyer{Name: fmt.Sprint("Erika ", i), Email: right}, false)
		if i < 4 && err != nil {
			t.Fatal(err)
		}
	}
	wantProblem(t, err, connect.CodeResourceExhausted, "BUYER_CORRECTION_LIMIT")
	unpaid := w.start("unpaid", 1).GetOrder()
	_, err = w.correct(w.keyed("unpaid"), unpaid.GetId(), to, false)
	wantProblem(t, err, connect.CodeFailedPrecondition, "ORDER_NOT_COMPLETED")
}

// TestCorrectBuyerLimit counts tickets for the new address, and names the buyer on passes that nobody else is named on.
func TestCorrectBuyerLimit(t *testing.T) {
	w := newHarness(t)
	o := w.buy("one", &checkoutv1.Buyer{Name: "Erika", Email: "one@example.test"})
	w.buy("two", &checkoutv1.Buyer{Name: "Otto", Email: "two@example.test"})
	w.limitEvent("one", 1)
	to := &checkoutv1.Buyer{Name: "Otto", Email: "Two@example.test"}
	_, err := w.correct(w.keyed("refused"), o.GetId(), to, false)
	wantProblem(t, err, connect.CodeResourceExhausted, "BUYER_TICKET_LIMIT")
	if got := w.triesBy("still", w.seller, "one@example.test", 1); got != "BUYER_TICKET_LIMIT" {
		t.Errorf("a refused correction moved the tickets: %q", got)
	}
	if _, err := w.correct(w.keyed("over"), o.GetId(), to, true); err != nil {
		t.Fatal(err)
	}
	if got := w.triesBy("free", w.seller, "one@example.test", 1); got != "" {
		t.Errorf("the address of before still has tickets: %q", got)
	}
	w.idle("name_pass")
	if got := w.passes.holder(o.GetTickets()[0].GetId()).GetHolderName(); got != "Otto" {
		t.Errorf("the pass names %q", got)
	}
}
