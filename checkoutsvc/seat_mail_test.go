package checkoutsvc_test

import (
	"strings"
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// TestMailsNameSeats buys two seats and refunds one: the receipt and its calendar file name both, the mail about the refund the one.
func TestMailsNameSeats(t *testing.T) {
	w, server := newMailHarness(t)
	h := w.hall(1, 2)
	o := w.payFor(w.take("mailed", h.seated(2)))
	receipt := w.mailTo(server, "erika@example.test", 1)
	for _, seat := range []string{"Parkett, Reihe A, Platz 1", "Parkett, Reihe A, Platz 2"} {
		if !strings.Contains(receipt.Text, seat) || !strings.Contains(receipt.HTML, seat) {
			t.Errorf("the receipt does not name the seat %q: %s", seat, receipt.Text)
		}
	}
	if file := calendarOf(t, receipt); !strings.Contains(file, `DESCRIPTION:Parkett\, Reihe A\, Platz 1\nParkett\, Reihe A\, Platz 2`+"\r\n") {
		t.Errorf("the calendar file does not name the seats: %s", file)
	}
	if reason := w.refund("one", &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{o.GetTickets()[1].GetId()}}); reason != "" {
		t.Fatal(reason)
	}
	if refund := w.mailTo(server, "erika@example.test", 2); !strings.Contains(refund.Text, "Parkett, Reihe A, Platz 2 (") || strings.Contains(refund.Text, "Platz 1") {
		t.Errorf("the mail about the refund: %s", refund.Text)
	}
}
