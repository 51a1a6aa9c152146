package e2e

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// TestReservedTicketIsNotValidYet opens the links of tickets whose sale the ledger does not have: they say so, and give neither
// code nor pass until it has.
func TestReservedTicketIsNotValidYet(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, map[string]string{"DAYOF_CHECKOUT_CALLER_WAIT": "100ms"})
	system := client.NewClient(m.File)
	ctx := e2etest.Within(t, 2*time.Minute)
	cart := e2etest.Start(t, system, e2etest.NewVariant(t, system, 4450, 10), 2)
	if err := m.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.Refuse, Rate: 1, Match: "POST"}); err != nil {
		t.Fatal(err)
	}
	if err := system.Stripe.Confirm(ctx, cart.IntentID, cart.ClientSecret, client.CardThatPays); err != nil {
		t.Fatal(err)
	}
	passes := awaitPasses(ctx, t, system, cart.OrderID, 2)
	ticket, all := passes.GetPasses()[0].GetDownloadUrl(), passes.GetOrderDownloadUrl()
	for address, accept := range map[string]string{
		ticket: "text/html", all: "text/html", ticket + "/ticket.pkpass": "*/*", all + "/tickets-1.pkpasses": "*/*",
	} {
		status, body := open(ctx, t, address, accept)
		if !strings.Contains(body, "not valid yet") || strings.Contains(body, "<svg") || strings.Contains(body, ".pkpass") || strings.HasPrefix(body, "PK") {
			t.Errorf("%s answers %d %.2000s", address, status, body)
		}
	}
	if status, body := open(ctx, t, ticket, "*/*"); status != http.StatusServiceUnavailable || !strings.Contains(body, "not valid yet") {
		t.Errorf("a program that opens the link gets %d %.200q", status, body)
	}

	buyer := func(what string, hasCode bool) {
		res, err := system.Checkout.GetOrder(rpc.WithBearerToken(ctx, cart.AccessToken), &checkoutv1.GetOrderRequest{OrderId: cart.OrderID, WithPasses: true})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.GetPasses()) != 2 || res.GetPasses()[0].GetDownloadUrl() != ticket || res.GetOrderDownloadUrl() != all || res.GetPassesUnavailable() {
			t.Errorf("%s: the buyer is told %v", what, res)
		}
		if got := res.GetOrder().GetTickets()[0].GetCode() != ""; got != hasCode {
			t.Errorf("%s: the buyer is told a code: %v, want %v", what, got, hasCode)
		}
	}
	buyer("reserved", false)

	m.Sandbox.Faults.Clear(fault.Ledger)
	e2etest.Await(t, system, cart.OrderID, "completed", e2etest.Completed)
	for address, accept := range map[string]string{ticket: "text/html", all: "text/html"} {
		if status, body := open(ctx, t, address, accept); status != http.StatusOK || !strings.Contains(body, "<svg") || strings.Contains(body, "not valid yet") {
			t.Errorf("once the sale is booked, %s answers %d %.2000s", address, status, body)
		}
	}
	for _, address := range []string{ticket, ticket + "/ticket.pkpass", all + "/tickets-1.pkpasses"} {
		if status, body := open(ctx, t, address, "*/*"); status != http.StatusOK || !strings.HasPrefix(body, "PK") {
			t.Errorf("once the sale is booked, %s answers %d %.200q", address, status, body)
		}
	}
	buyer("valid", true)
	e2etest.AssertClean(t, m)
}

// awaitPasses waits until an order has its passes.
func awaitPasses(ctx context.Context, t *testing.T, system *client.Client, orderID string, count int) *passv1.ListPassesResponse {
	t.Helper()
	for {
		passes, err := system.Passes.ListPasses(ctx, &passv1.ListPassesRequest{OrderId: orderID})
		if err != nil {
			t.Fatalf("no passes of order %s: %v", orderID, err)
		}
		if len(passes.GetPasses()) == count {
			return passes
		}
		e2etest.Pause(ctx)
	}
}

// open gets an address as a program does that accepts one media type.
func open(ctx context.Context, t *testing.T, address, accept string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}
