package faults

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// TestLedgerFrozen freezes the ledger in the middle of a sale: the caller is answered in time, nothing is valid, no receipt
// is sent and no transaction stays open; once the ledger is back, everything follows by itself.
func TestLedgerFrozen(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, map[string]string{"DAYOF_CHECKOUT_CALLER_WAIT": "2s"})
	system := client.NewClient(m.File)
	cart := e2etest.Start(t, system, e2etest.NewVariant(t, system, 4450, 10), 1)
	if err := m.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.Hang, Rate: 1, Match: "POST"}); err != nil {
		t.Fatal(err)
	}
	ctx := e2etest.Within(t, 30*time.Second)
	if err := system.Stripe.Confirm(ctx, cart.IntentID, cart.ClientSecret, client.CardThatPays); err != nil {
		t.Fatal(err)
	}
	answered := make(chan *checkoutv1.Order, 1)
	go func() {
		o, err := system.Complete(ctx, cart)
		if err != nil {
			t.Error(err)
		}
		answered <- o
	}()
	e2etest.WaitForHit(t, m)
	assertNoOpenTransaction(t, m)
	o := <-answered
	if o.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_IN_PROGRESS {
		t.Errorf("the browser gets %s", o.GetFulfilmentState())
	}
	waiting := e2etest.Order(t, system, cart.OrderID)
	if len(waiting.Tickets) != 1 || waiting.Tickets[0].State != "reserved" {
		t.Fatalf("tickets while the ledger is away: %+v", waiting.Tickets)
	}
	if outcome := admission(t, system, waiting.Tickets[0].Code); outcome != checkoutv1.Admission_ADMISSION_NOT_VALID_YET {
		t.Errorf("the door says %s while the ledger is away", outcome)
	}
	if n := mails(t, system); n != 0 {
		t.Errorf("%d receipts were sent before the sale was booked", n)
	}

	m.Sandbox.Faults.Clear(fault.Ledger)
	e2etest.Await(t, system, cart.OrderID, "completed", e2etest.Completed)
	if outcome := admission(t, system, waiting.Tickets[0].Code); outcome != checkoutv1.Admission_ADMISSION_ADMIT {
		t.Errorf("the door says %s once the ledger is back", outcome)
	}
	for mails(t, system) == 0 {
		if ctx.Err() != nil {
			t.Fatal("no receipt was sent")
		}
		e2etest.Pause(ctx)
	}
	e2etest.AssertOneSale(t, e2etest.Order(t, system, cart.OrderID), 1)
	e2etest.AssertClean(t, m)
}

// TestLedgerLosesReplies cuts every other answer of the ledger after its effect. Each sale is booked exactly once.
func TestLedgerLosesReplies(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, nil)
	system := client.NewClient(m.File)
	variant := e2etest.NewVariant(t, system, 4450, 20)
	if err := m.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.LostReply, Rate: 0.5}); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		cart := e2etest.Start(t, system, variant, 1)
		if err := system.Pay(e2etest.Within(t, 30*time.Second), cart, client.ViaWebhook); err != nil {
			t.Fatal(err)
		}
		e2etest.Await(t, system, cart.OrderID, "completed", e2etest.Completed)
		e2etest.AssertOneSale(t, e2etest.Order(t, system, cart.OrderID), 1)
	}
	e2etest.AssertClean(t, m) // while it still loses replies
}

// samples is how often the open transactions are read while the call hangs; a transaction that is in half of the samples
// is open across the call, since one of ours ends within a few milliseconds.
const samples = 20

// assertNoOpenTransaction checks, while a call hangs, the transactions that the services' connections have open.
func assertNoOpenTransaction(t *testing.T, m *cluster.Cluster) {
	t.Helper()
	ctx := e2etest.Within(t, 30*time.Second)
	conns := map[string]*pgx.Conn{}
	for service, url := range m.File.DatabaseURLs {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := conn.Close(context.WithoutCancel(ctx)); err != nil {
				t.Error(err)
			}
		}()
		conns[service] = conn
	}
	counts := map[string]int{}
	for range samples {
		for service, conn := range conns {
			rows, err := conn.Query(ctx, `select format('%s of pid %s since %s, after %s', state, pid, xact_start, query)
				from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
				and backend_type = 'system backend' and xact_start is not null`)
			if err != nil {
				t.Fatal(err)
			}
			open, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			for _, transaction := range open {
				counts[service+": "+transaction]++
			}
		}
		e2etest.Pause(ctx)
	}
	for transaction, count := range counts {
		if count >= samples/2 {
			t.Errorf("a transaction is open across the call: %s", transaction)
		}
	}
}

func admission(t *testing.T, system *client.Client, code string) checkoutv1.Admission {
	t.Helper()
	res, err := system.Admission.CheckTicket(e2etest.Within(t, 10*time.Second), &checkoutv1.CheckTicketRequest{Code: code})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetAdmission()
}

// mails counts what the mail sink has.
func mails(t *testing.T, system *client.Client) int {
	t.Helper()
	res, err := system.HTTP.Get(system.File.Sandbox.MailLogURL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var all []any
	if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return len(all)
}
