package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/sandbox/mail"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// boughtCart buys tickets as a browser does, and returns the order with its token.
func boughtCart(t *testing.T, system *client.Client, tickets int32) (client.Cart, *checkoutv1.Order) {
	t.Helper()
	ctx := e2etest.Within(t, time.Minute)
	cart, err := system.Start(ctx, e2etest.NewVariant(t, system, 4450, 20), tickets)
	if err != nil {
		t.Fatal(err)
	}
	if err := system.Pay(ctx, cart, client.ViaBoth); err != nil {
		t.Fatal(err)
	}
	return cart, e2etest.Await(t, system, cart.OrderID, "completed", e2etest.Completed)
}

// mailedLink waits for a mail to an address that has a link to a page of the shop, and returns its token.
func mailedLink(t *testing.T, system *client.Client, address, page string) string {
	t.Helper()
	for ctx := e2etest.Within(t, time.Minute); ctx.Err() == nil; e2etest.Pause(ctx) {
		var messages []mail.Message
		if err := json.Unmarshal(fetched(t, system, system.File.Sandbox.MailLogURL+"?to="+address), &messages); err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if _, after, found := strings.Cut(m.Text, page+"#"); found {
				return strings.Fields(after)[0]
			}
		}
	}
	t.Fatalf("no mail to %s has a link to %s", address, page)
	return ""
}

func fetched(t *testing.T, system *client.Client, url string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(e2etest.Within(t, time.Minute), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html") // else a link to a pass is the pass
	res, err := system.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestTransferThroughTheMail hands a ticket over as people do: by the buyer's token, a mail, and the link in it. What the buyer is left with has
// nothing of the ticket any more.
func TestTransferThroughTheMail(t *testing.T) {
	t.Parallel()
	system := client.NewClient(shared.File)
	cart, o := boughtCart(t, system, 2)
	old := o.GetTickets()[0]
	address := strings.ToLower(client.NewKey()[:12]) + "@example.test"
	ctx := e2etest.Within(t, time.Minute)
	buyer := rpc.WithBearerToken(rpc.WithIdempotencyKey(ctx, client.NewKey()), cart.AccessToken)
	offered, err := system.Tickets.TransferTicket(buyer, &checkoutv1.TransferTicketRequest{
		OrderId: o.GetId(), TicketId: old.GetId(), RecipientName: "Zenobia Recipient", RecipientEmail: address, Language: "en",
	})
	if err != nil {
		t.Fatal(err)
	}
	id := offered.GetTransfer().GetId()
	recipient := rpc.WithBearerToken(rpc.WithIdempotencyKey(ctx, client.NewKey()), mailedLink(t, system, address, "/transfers/"+id))
	accepted, err := system.Tickets.AcceptTransfer(recipient, &checkoutv1.AcceptTransferRequest{TransferId: id})
	if err != nil {
		t.Fatal(err)
	}
	held := accepted.GetHeldTicket()
	if held.GetTicket().GetState() != checkoutv1.TicketState_TICKET_STATE_VALID || held.GetHolderName() != "Zenobia Recipient" {
		t.Errorf("the recipient has %v", held)
	}
	if page := string(fetched(t, system, held.GetDownloadUrl())); !strings.Contains(page, "<article") {
		t.Errorf("the ticket's page is %s", page)
	}
	if token := mailedLink(t, system, address, "/tickets/"+held.GetTicket().GetId()); token != accepted.GetTicketAccessToken() {
		t.Error("the mail has another token than the answer")
	}
	for ctx := e2etest.Within(t, time.Minute); ; e2etest.Pause(ctx) {
		pass, err := system.Passes.GetPass(ctx, &passv1.GetPassRequest{PassSerial: old.GetPassSerial()})
		if err != nil {
			t.Fatal(err)
		}
		if pass.GetPass().GetVoided() {
			break
		}
	}
	view, err := system.Checkout.GetOrder(rpc.WithBearerToken(ctx, cart.AccessToken), &checkoutv1.GetOrderRequest{OrderId: o.GetId(), WithPasses: true})
	if err != nil {
		t.Fatal(err)
	}
	if text := view.String(); strings.Contains(text, held.GetTicket().GetPassSerial()) || strings.Contains(text, held.GetTicket().GetCode()) || !strings.Contains(text, "Zenobia") {
		t.Errorf("the buyer sees %s", text)
	}
	page := string(fetched(t, system, view.GetOrderDownloadUrl()))
	if strings.Count(page, "<article") != 2 || strings.Contains(page, held.GetTicket().GetPassSerial()) { // one void, one valid
		t.Errorf("the page of the order is %s", page)
	}
	e2etest.AssertClean(t, shared)
}

// TestTicketsUnderHands has several people do what they may with the tickets of one order at once, on two replicas. Whatever wins, each
// admission is in one ticket's hands at the end.
func TestTicketsUnderHands(t *testing.T) {
	t.Parallel()
	one, two := client.NewClient(shared.ReplicaFile(0)), client.NewClient(shared.ReplicaFile(1))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	_, o := boughtCart(t, one, 4)
	ctx := e2etest.Within(t, 2*time.Minute)
	var people sync.WaitGroup
	for i := range 6 {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		system := []*client.Client{one, two}[i%2]
		people.Go(func() {
			for range 15 {
				if err := act(ctx, system, r, o.GetId()); err != nil && !expected(err) {
					t.Error(err)
				}
			}
		})
	}
	people.Wait()
	done := e2etest.Await(t, one, o.GetId(), "with all passes", func(o *checkoutv1.Order) bool {
		for _, ticket := range o.GetTickets() {
			if ticket.GetState() == checkoutv1.TicketState_TICKET_STATE_RESERVED {
				return false
			}
		}
		return true
	})
	replaced := map[string]bool{}
	for _, ticket := range done.GetTickets() {
		replaced[ticket.GetReplacesTicketId()] = true
	}
	live := 0
	for _, ticket := range done.GetTickets() {
		if !replaced[ticket.GetId()] {
			live++
		}
	}
	t.Logf("%d tickets, %d transfers", len(done.GetTickets()), len(done.GetTransfers()))
	if live != 4 || len(done.GetTickets()) < 6 {
		t.Errorf("%d of %d tickets are not replaced, 4 were bought", live, len(done.GetTickets()))
	}
	e2etest.AssertClean(t, shared)
}

// act does one thing to a ticket or a transfer of an order, by chance.
func act(ctx context.Context, system *client.Client, r *rand.Rand, orderID string) error {
	details, err := system.Orders.GetOrderDetails(ctx, &checkoutv1.GetOrderDetailsRequest{OrderId: orderID})
	if err != nil {
		return err
	}
	tickets, transfers := details.GetOrder().GetTickets(), details.GetOrder().GetTransfers()
	ticket := tickets[len(tickets)-1-r.IntN(min(len(tickets), 6))]
	ctx = rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey())
	if len(transfers) > 0 && r.IntN(2) == 0 {
		id := transfers[len(transfers)-1-r.IntN(min(len(transfers), 3))].GetId()
		switch r.IntN(4) {
		case 0:
			_, err = system.Tickets.DeclineTransfer(ctx, &checkoutv1.DeclineTransferRequest{TransferId: id})
		case 1:
			_, err = system.Tickets.CancelTransfer(ctx, &checkoutv1.CancelTransferRequest{TransferId: id})
		default:
			_, err = system.Tickets.AcceptTransfer(ctx, &checkoutv1.AcceptTransferRequest{TransferId: id})
		}
		return err
	}
	switch r.IntN(5) {
	case 0:
		_, err = system.Tickets.ReissueTicket(ctx, &checkoutv1.ReissueTicketRequest{TicketId: ticket.GetId()})
	case 1:
		_, err = system.Tickets.SetTicketHolder(ctx, &checkoutv1.SetTicketHolderRequest{TicketId: ticket.GetId(), HolderName: fmt.Sprint("Guest ", r.IntN(100))})
	default:
		_, err = system.Tickets.TransferTicket(ctx, &checkoutv1.TransferTicketRequest{
			OrderId: orderID, TicketId: ticket.GetId(), RecipientName: "Bob", RecipientEmail: "bob@example.test",
		})
	}
	return err
}

// expected says whether somebody else was first, or a limit is reached.
func expected(err error) bool {
	switch problem.Reason(err) {
	case "TICKET_VOID", "TICKET_NOT_VALID", "TRANSFER_PENDING", "TRANSFER_ENDED", "TRANSFER_LIMIT":
		return true
	}
	return false
}
