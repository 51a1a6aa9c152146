package order_test

import (
	"testing"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/internal/personal"
)

// TestBuyerCorrected corrects a buyer as often as may be; a holder who was named keeps the name.
func TestBuyerCorrected(t *testing.T) {
	t.Parallel()
	x := newExchanger(t)
	a, b := x.o.Tickets[0].ID, x.o.Tickets[1].ID
	x.see(order.HolderNamed{TicketID: a, Name: "Carol"})
	for _, name := range []personal.Text{"A", "B", "C", "D", "E"} {
		x.see(order.BuyerCorrected{Name: name, Email: x.o.BuyerEmail, Language: x.o.Language, MailID: "mail", Note: "n"})
	}
	if n, m := x.o.Ticket(a).HolderNumber, x.o.Ticket(b).HolderNumber; n != 1 || m != 5 {
		t.Errorf("the holders were changed %d and %d times, want 1 and 5", n, m)
	}
	x.refused(order.BuyerCorrected{Name: "F", Email: x.o.BuyerEmail, Language: x.o.Language}, order.ReasonBuyerCorrectionLimit)
}
