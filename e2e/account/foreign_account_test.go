package account

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// TestForeignAccount has a connected account send every event of the matrix with metadata that name the orders, tickets, refunds
// and organiser of somebody else. Metadata name, the account authorises: nothing of the others changes, and a review case says
// who tried.
func TestForeignAccount(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, nil)
	system := client.NewClient(m.File)
	victim, attacker := client.NewKey(), client.NewKey()
	victimAccount := "acct_" + client.NewKey()
	connectAccount(t, system, victimAccount, victim)
	lines, eventID := organizersShop(t, system, victim)
	paid, waiting := startLines(t, system, eventID, lines), startLines(t, system, eventID, lines)
	ctx := e2etest.Within(t, time.Minute)
	if err := system.Pay(ctx, paid, client.ViaBoth); err != nil {
		t.Fatal(err)
	}
	sale, err := system.AwaitSale(ctx, paid.OrderID)
	if err != nil {
		t.Fatal(err)
	}
	refunded, err := system.Orders.RefundOrder(e2etest.Keyed(ctx), &checkoutv1.RefundOrderRequest{
		OrderId: paid.OrderID, Amount: &moneyv1.Money{Currency: "EUR", MinorUnits: 100},
	})
	if err != nil {
		t.Fatal(err)
	}
	names := foreignNames{
		orders: []string{paid.OrderID, waiting.OrderID}, refund: refunded.GetRefund().GetId(), organizer: victim, account: victimAccount,
	}
	for _, ticket := range sale.Tickets {
		names.tickets = append(names.tickets, ticket.ID)
	}
	e2etest.AwaitIdle(t, system, idle.Scope{Orders: names.orders, Fees: true})
	before := digest(t, m, names)

	handlers, err := system.Webhooks.ListHandlers(e2etest.Within(t, 10*time.Second), &webhookv1.ListHandlersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range handlers.GetHandlers() {
		account := "acct_" + client.NewKey() // a case is raised once per account
		connectAccount(t, system, account, attacker)
		for _, orderID := range names.orders {
			id := "evt_" + client.NewKey()
			postForeignEvent(t, system, id, account, h.GetType(), names.object(h.GetType(), orderID, account))
			e := awaitForeignEvent(t, system, h.GetType(), id)
			assertForeignEnd(t, system, e, account, names.orders)
			if after := digest(t, m, names); after != before {
				t.Errorf("%s changed what belongs to others; the event is %s %s\nbefore %s\nafter  %s", h.GetType(), e.GetState(), e.GetError(), before, after)
				before = after
			}
		}
	}
	e2etest.AssertClean(t, m)
}

// assertForeignEnd checks how an event ended: what names an order or an organiser of somebody else raises one case per account,
// what names nothing is unmatched, and what is about the account itself is done.
func assertForeignEnd(t *testing.T, system *client.Client, e *webhookv1.WebhookEvent, account string, orders []string) {
	t.Helper()
	claim, state := "", webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_APPLIED
	switch prefix, rest, _ := strings.Cut(e.GetType(), "."); prefix {
	case "payment_intent", "checkout", "refund":
		claim = "order"
	case "charge", "radar", "review":
		if claim = "order"; prefix != "charge" || strings.HasPrefix(rest, "dispute") {
			claim, state = "", webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_REJECTED
		}
	case "transfer", "application_fee":
		claim, state = "claimed_event", webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_REJECTED
	case "payout":
		if rest != "reconciliation_completed" {
			claim = "claimed_organizer"
		}
	case "balance":
		state = webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_IGNORED
	case "account", "capability":
	default:
		t.Errorf("say what a foreign account's %s ends in", e.GetType())
	}
	if e.GetState() != state {
		t.Errorf("%s is %s, want %s: %s", e.GetType(), e.GetState(), state, e.GetError())
	}
	if claim == "" {
		return
	}
	cases, err := system.Operations.ListReviewCases(e2etest.Within(t, 10*time.Second), &checkoutv1.ListReviewCasesRequest{PageSize: 100})
	if err != nil {
		t.Fatal(err)
	}
	raised := slices.ContainsFunc(cases.GetItems(), func(c *checkoutv1.ReviewCase) bool {
		return c.GetKind() == "foreign_account" && c.GetFacts()["stripe_account"] == account &&
			(claim == "order" && slices.Contains(orders, c.GetOrderId()) || c.GetFacts()[claim] != "")
	})
	if !raised {
		t.Errorf("%s: no review case about its %s among %d", e.GetType(), claim, len(cases.GetItems()))
	}
}

// startLines begins a checkout.
func startLines(t *testing.T, system *client.Client, eventID string, lines []*checkoutv1.CartLine) client.Cart {
	t.Helper()
	cart, err := system.StartLines(e2etest.Within(t, 30*time.Second), eventID, lines)
	if err != nil {
		t.Fatal(err)
	}
	return cart
}

// foreignNames are what the metadata of a foreign account name.
type foreignNames struct {
	orders, tickets            []string
	refund, organizer, account string
}

// object is an object with all fields that a handler may read.
func (n foreignNames) object(eventType, orderID, account string) e2etest.Resource {
	now := clock.System{}.Now().Unix()
	status := "succeeded"
	switch {
	case strings.HasPrefix(eventType, "charge.dispute."):
		status = "lost"
	case strings.HasPrefix(eventType, "payout."):
		status = "paid"
	case eventType == "payment_intent.canceled":
		status = "canceled"
	}
	o := e2etest.Resource{
		"id": "obj_" + client.NewKey(), "object": "any", "created": now, "currency": "eur", "livemode": false, "status": status,
		"amount": 4450, "amount_received": 4450, "amount_captured": 4450, "amount_total": 4450, "amount_refunded": 1, "captured": true, "paid": true,
		"payment_status": "paid", "client_reference_id": orderID, "charge": "ch_" + client.NewKey(), "payment_intent": "pi_" + client.NewKey(),
		"destination": n.account, "account": n.account, "fee": "fee_" + client.NewKey(), "open": true, "actionable": true,
		"balance_transactions": []e2etest.Resource{{"id": "txn_" + client.NewKey(), "amount": -4450, "fee": 1500, "currency": "eur", "created": now}},
		"metadata": e2etest.Resource{
			"order_id": orderID, "ticket_ids": strings.Join(n.tickets, ","), "refund_request_id": n.refund, "refund_id": n.refund,
			"organizer_id": n.organizer,
		},
	}
	prefix, _, _ := strings.Cut(eventType, ".")
	if strings.HasPrefix(eventType, "charge.dispute.") {
		prefix = "charge.dispute"
	}
	if eventType == "charge.refund.updated" {
		prefix = "refund"
	}
	kinds := map[string]string{
		"charge": "ch_", "charge.dispute": "du_", "payment_intent": "pi_", "payout": "po_", "radar": "issfr_", "refund": "re_", "review": "prv_",
		"transfer": "tr_", "checkout": "cs_", "application_fee": "fee_",
	}
	if kind := kinds[prefix]; kind != "" {
		o["id"] = kind + client.NewKey()
	}
	switch prefix {
	case "payout":
		o["destination"] = "ba_" + client.NewKey()
	case "refund":
		o["amount"] = 1
	}
	return o
}

// connectAccount makes an account of an organiser known.
func connectAccount(t *testing.T, system *client.Client, account, organizer string) {
	t.Helper()
	ctx := e2etest.Within(t, time.Minute)
	_, err := system.Stripe.Control(ctx, http.MethodPut, "/_sandbox/accounts/"+account, map[string]any{
		"charges_enabled": true, "metadata": map[string]string{"organizer_id": organizer},
	})
	if err != nil {
		t.Fatal(err)
	}
	for {
		known, err := system.Accounts.GetAccount(ctx, &checkoutv1.GetAccountRequest{StripeAccount: account})
		if err == nil && known.GetAccount().GetOrganizerId() == organizer {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("account %s does not become known: %v", account, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// postForeignEvent posts an event of a connected account to the Connect endpoint.
func postForeignEvent(t *testing.T, system *client.Client, id, account, eventType string, about e2etest.Resource) {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"id": id, "object": "event", "api_version": "2023-10-16", "created": clock.System{}.Now().Unix(), "account": account,
		"data": map[string]any{"object": about}, "livemode": false, "type": eventType,
	})
	if err != nil {
		t.Fatal(err)
	}
	status, err := system.PostWebhook(e2etest.Within(t, 10*time.Second), body, true, clock.System{}.Now)
	if err != nil || status != http.StatusOK {
		t.Fatalf("post %s: status %d, %v", eventType, status, err)
	}
}

// awaitForeignEvent waits until the event has ended.
func awaitForeignEvent(t *testing.T, system *client.Client, eventType, id string) *webhookv1.WebhookEvent {
	t.Helper()
	ctx := e2etest.Within(t, time.Minute)
	for {
		got, err := system.Webhooks.GetWebhookEvent(ctx, &webhookv1.GetWebhookEventRequest{Endpoint: "connect", EventId: id})
		if err != nil {
			t.Fatal(err)
		}
		if got.GetEvent().GetEndTime() != nil {
			return got.GetEvent()
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s has not ended: %s %s", eventType, got.GetEvent().GetState(), got.GetEvent().GetError())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// digest is all that the databases hold about the names, apart from what was received and what people are told.
func digest(t *testing.T, m *cluster.Cluster, n foreignNames) string {
	t.Helper()
	ctx := e2etest.Within(t, time.Minute)
	var all []string
	for _, service := range slices.Sorted(maps.Keys(m.File.DatabaseURLs)) {
		if service == "webhook" {
			continue // it holds the events
		}
		all = append(all, digestOf(ctx, t, service, m.File.DatabaseURLs[service], n))
	}
	return strings.Join(all, " ")
}

func digestOf(ctx context.Context, t *testing.T, service, url string, n foreignNames) string {
	t.Helper()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace
		and relname not like 'river%' and relname not in ('review_cases', 'alerts', 'idempotency_keys')
		order by relname`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var patterns []string
	for _, name := range append(append([]string{n.refund, n.organizer, n.account}, n.orders...), n.tickets...) {
		patterns = append(patterns, "%"+name+"%")
	}
	var found []string
	for _, table := range tables {
		var sum string
		query := `select count(*) || ':' || coalesce(md5(string_agg(r::text, ' ' order by r::text)), '') from ` +
			pgx.Identifier{table}.Sanitize() + ` r where r::text like any($1)`
		if err := conn.QueryRow(ctx, query, patterns).Scan(&sum); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(sum, "0:") {
			found = append(found, service+"."+table+"="+sum)
		}
	}
	return strings.Join(found, " ")
}
