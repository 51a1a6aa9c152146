//go:build tools

package e2e

import (
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// handover is what the examples of TicketService are about: three tickets of an order, of which two are offered to somebody.
type handover struct {
	sale               client.Sale
	transfer           string // of the first ticket
	declined, canceled string
}

func newHandover(t *testing.T, system *client.Client, variant string) handover {
	t.Helper()
	sale, err := system.Sell(e2etest.Within(t, time.Minute), client.Purchase{VariantID: variant, Tickets: 3, Via: client.ViaBoth})
	if err != nil {
		t.Fatal(err)
	}
	h := handover{sale: sale}
	for i, id := range []*string{&h.declined, &h.canceled} {
		ctx := rpc.WithIdempotencyKey(e2etest.Within(t, time.Minute), "operator/"+client.NewKey())
		res, err := system.Tickets.TransferTicket(ctx, &checkoutv1.TransferTicketRequest{
			OrderId: sale.OrderID, TicketId: sale.Tickets[i+1].ID, RecipientName: "Eve", RecipientEmail: "eve@example.test",
		})
		if err != nil {
			t.Fatal(err)
		}
		*id = res.GetTransfer().GetId()
	}
	return h
}

// ticketExamples are those of TicketService. Staff act for everybody.
func ticketExamples() []example {
	const service = "dayof.checkout.v1.TicketService/"
	ticket := func(s *scene) any { return s.handover.sale.Tickets[0].ID }
	transfer := func(s *scene) any { return s.handover.transfer }
	return []example{
		ask(service+"GetTicket", `{"ticket_id":%q}`, ticket),
		ask(service+"SetTicketHolder", `{"ticket_id":%q,"holder_name":"Carol"}`, ticket),
		ask(service+"TransferTicket", `{"order_id":%q,"ticket_id":%q,"recipient_name":"Bob","recipient_email":"bob@example.test","language":"de"}`,
			func(s *scene) any { return s.handover.sale.OrderID }, ticket).
			learning(func(s *scene, a map[string]any) { s.handover.transfer = find(a, "transfer", "id") }),
		ask(service+"DeclineTransfer", `{"transfer_id":%q}`, func(s *scene) any { return s.handover.declined }),
		ask(service+"CancelTransfer", `{"transfer_id":%q}`, func(s *scene) any { return s.handover.canceled }),
		ask(service+"GetTransfer", `{"transfer_id":%q}`, transfer),
		ask(service+"AcceptTransfer", `{"transfer_id":%q}`, transfer).
			learning(func(s *scene, a map[string]any) {
				s.handover.sale.Tickets[0].ID = find(a, "heldTicket", "ticket", "id")
			}),
		ask(service+"GetTicketPdf", `{"ticket_id":%q}`, ticket),
		ask(service+"ReissueTicket", `{"ticket_id":%q}`, ticket),
	}
}
