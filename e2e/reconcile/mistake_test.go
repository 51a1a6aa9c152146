package reconcile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/e2e/e2etest"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// mistake is one thing that was made on purpose: what must be reported of it, and how it is mended.
type mistake struct {
	kind     ledgerv1.DifferenceKind
	subject  string
	expected string // "" for nothing
	found    string
	cause    string // a part of the suggested cause
	mend     func()
}

// plant makes mistakes in the books, each in one place, behind the back of those who keep them.
type plant struct {
	t                      *testing.T
	m                      *cluster.Cluster
	client                 *client.Client
	ledger, copies, orders *pgx.Conn
}

func newPlant(t *testing.T, m *cluster.Cluster) plant {
	t.Helper()
	e2etest.NeedsSandboxLedger(t)
	p := plant{
		t: t, m: m, client: client.NewClient(m.File),
		ledger: openDatabase(t, m, "sandbox_ledger"), copies: openDatabase(t, m, "ledger"), orders: openDatabase(t, m, "checkout"),
	}
	for _, conn := range []*pgx.Conn{p.ledger, p.copies, p.orders} { // triggers and references keep code from some of this
		if _, err := conn.Exec(t.Context(), `set session_replication_role = replica`); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.ledger.Exec(t.Context(), `create table removed as select * from transactions with no data`); err != nil {
		t.Fatal(err)
	}
	return p
}

// openDatabase opens the database of a service, or of the sandbox ledger.
func openDatabase(t *testing.T, m *cluster.Cluster, name string) *pgx.Conn {
	t.Helper()
	u, err := url.Parse(m.File.DatabaseURLs["checkout"])
	if err != nil {
		t.Fatal(err)
	}
	u.Path = strings.TrimSuffix(u.Path, "_checkout") + "_" + name
	conn, err := pgx.Connect(e2etest.Within(t, time.Minute), u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(e2etest.Within(t, time.Minute)); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// alter changes rows; at least one must be there.
func (p plant) alter(conn *pgx.Conn, sql string, args ...any) {
	p.t.Helper()
	tag, err := conn.Exec(e2etest.Within(p.t, time.Minute), sql, args...)
	if err != nil {
		p.t.Fatalf("%s: %v", sql, err)
	}
	if tag.RowsAffected() == 0 {
		p.t.Fatalf("%s changed nothing", sql)
	}
}

// remove takes an entry out of the ledger and returns the way back.
func (p plant) remove(reference string) (putBack func()) {
	p.t.Helper()
	p.alter(p.ledger, `with gone as (delete from transactions where reference = $1 returning *) insert into removed select * from gone`, reference)
	return func() {
		p.alter(p.ledger, `with back as (delete from removed where reference = $1 returning *) insert into transactions select * from back`, reference)
	}
}

// rewrite changes the postings of an entry in the ledger and returns the way back.
func (p plant) rewrite(reference, old, changed string) (putBack func()) {
	p.t.Helper()
	sql := `update transactions set postings = replace(postings::text, $2, $3)::json where reference = $1 and postings::text like '%' || $2 || '%'`
	p.alter(p.ledger, sql, reference, old, changed)
	return func() { p.alter(p.ledger, sql, reference, changed, old) }
}

// post posts to the ledger what no service asked for; it is mended by removing it.
func (p plant) post(reference, source, destination, asset string, amount int64) (remove func()) {
	p.t.Helper()
	body, err := json.Marshal(map[string]any{
		"reference": reference, "metadata": map[string]string{},
		"postings": []any{map[string]any{"source": source, "destination": destination, "asset": asset, "amount": amount}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(e2etest.Within(p.t, time.Minute), http.MethodPost,
		p.m.File.Sandbox.LedgerAPI()+"/transactions?force=true", bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		p.t.Fatalf("post %s: %s", reference, res.Status)
	}
	return func() { p.remove(reference) }
}

// fee is the reference of the fee of an order.
func (p plant) fee(o client.Order) string {
	p.t.Helper()
	for _, posting := range o.Postings {
		if strings.HasPrefix(posting.Reference, "fee:") {
			return posting.Reference
		}
	}
	p.t.Fatalf("order %s has no fee", o.OrderID)
	return ""
}

// forget removes our copy of an entry and returns the way back.
func (p plant) forget(reference string) (putBack func()) {
	p.t.Helper()
	p.alter(p.copies, `update entries set reference = 'forgotten:' || reference, effective_time = effective_time - interval '100 years' where reference = $1`, reference)
	return func() {
		p.alter(p.copies, `update entries set reference = $1, effective_time = effective_time + interval '100 years' where reference = 'forgotten:' || $1`, reference)
	}
}

func (p plant) postingMissing(o client.Order) mistake {
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_MISSING, subject: e2etest.Capture(o), expected: "4450 EUR",
		cause: "our copy has it", mend: p.remove(e2etest.Capture(o)),
	}
}

func (p plant) postingExtra(o client.Order) mistake {
	remove := p.post("gift-1", "platform:costs:gifts", "orders:"+o.OrderID+":payment", "EUR/2", 77)
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_EXTRA, subject: "gift-1", found: "77 EUR",
		cause: "touches an order that exists", mend: remove,
	}
}

func (p plant) capturedTwice(o client.Order) mistake {
	remove := p.post("capture:pi_second", "stripe:platform:main:07", "orders:"+o.OrderID+":payment", "EUR/2", 4450)
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_EXTRA, subject: "capture:pi_second", found: "4450 EUR",
		cause: "neither the order nor Stripe know", mend: remove,
	}
}

func (p plant) amountWrong(o client.Order) mistake {
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_AMOUNT_WRONG, subject: e2etest.Capture(o), expected: "4450 EUR", found: "4451 EUR",
		cause: "changed after it had been posted", mend: p.rewrite(e2etest.Capture(o), "4450", "4451"),
	}
}

func (p plant) currencyWrong(o client.Order) mistake {
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_CURRENCY_WRONG, subject: e2etest.Capture(o), expected: "4450 EUR", found: "4450 USD",
		cause: "changed after it had been posted", mend: p.rewrite(e2etest.Capture(o), "EUR/2", "USD/2"),
	}
}

func (p plant) orderWithoutPosting(o client.Order) mistake {
	remember, putBack := p.forget(e2etest.Capture(o)), p.remove(e2etest.Capture(o))
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_ORDER_WITHOUT_POSTING, subject: e2etest.Capture(o), expected: "4450 EUR",
		cause: "never posted", mend: func() { remember(); putBack() },
	}
}

func (p plant) postingWithoutOrder() mistake {
	remove := p.post("capture:pi_nobody", "stripe:platform:main:03", "orders:noSuchOrder0000000001:payment", "EUR/2", 990)
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_WITHOUT_ORDER, subject: "capture:pi_nobody", found: "990 EUR",
		cause: "names an order that does not exist", mend: remove,
	}
}

func (p plant) feeMissing(o client.Order) mistake {
	reference := p.fee(o)
	remember, putBack := p.forget(reference), p.remove(reference)
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_FEE_MISSING, subject: reference, expected: "-" + p.amountOf(o, reference) + " EUR",
		cause: "kept a fee that is not in the ledger", mend: func() { remember(); putBack() },
	}
}

func (p plant) amountOf(o client.Order, reference string) string {
	p.t.Helper()
	for _, posting := range o.Postings {
		if posting.Reference == reference {
			return fmt.Sprint(posting.Amount)
		}
	}
	p.t.Fatalf("order %s has no %s", o.OrderID, reference)
	return ""
}

func (p plant) refundMissingInLedger(o client.Order) mistake {
	reference := "refund:" + o.Payment.Refunds[0].StripeRefundID
	remember, putBack := p.forget(reference), p.remove(reference)
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_REFUND_MISSING_IN_LEDGER, subject: reference, expected: "-500 EUR",
		cause: "left at Stripe but was never posted", mend: func() { remember(); putBack() },
	}
}

// refundMissingAtStripe gives a refund another id, in all of our books: Stripe does not know it, and nobody here knows
// Stripe's.
func (p plant) refundMissingAtStripe(o client.Order) []mistake {
	id := o.Payment.Refunds[0].StripeRefundID
	rename := func(from, to string) {
		p.alter(p.orders, `update refunds set stripe_refund_id = $2 where stripe_refund_id = $1`, from, to)
		p.alter(p.copies, `update entries set reference = 'refund:' || $2 where reference = 'refund:' || $1`, from, to)
		p.alter(p.ledger, `update transactions set reference = 'refund:' || $2 where reference = 'refund:' || $1`, from, to)
	}
	rename(id, "re_imagined")
	return []mistake{
		{
			kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_REFUND_MISSING_AT_STRIPE, subject: "refund:re_imagined", expected: "-700 EUR",
			cause: "a refund that Stripe does not know", mend: func() { rename("re_imagined", id) },
		},
		{
			kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_STRIPE_TRANSACTION_UNKNOWN, subject: "refund:" + id, found: "-700 EUR",
			cause: "made in the dashboard", mend: func() {},
		},
	}
}

// stripeUnknown lets Stripe book something of its own.
func (p plant) stripeUnknown() mistake {
	p.t.Helper()
	now := p.m.Clock().Now().Unix()
	e2etest.Load(p.t, p.client, e2etest.Resource{
		"id": "txn_service", "object": "balance_transaction", "amount": -1500, "currency": "eur", "fee": 0, "net": -1500, "created": now,
		"type": "stripe_fee", "reporting_category": "fee", "status": "available", "source": nil, "fee_details": []any{},
	})
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_STRIPE_TRANSACTION_UNKNOWN, subject: "txn:txn_service", found: "-1500 EUR",
		cause: "stripe_fee of its own", mend: func() {
			e2etest.Load(p.t, p.client, e2etest.Resource{
				"id": "txn_service", "object": "balance_transaction", "amount": 0, "currency": "eur", "fee": 0, "net": 0, "created": now,
				"type": "stripe_fee", "reporting_category": "fee", "status": "available", "source": nil, "fee_details": []any{},
			})
		},
	}
}

// orderMoreThanStripe lets an order and the books believe in more money than Stripe has.
func (p plant) orderMoreThanStripe(o client.Order) mistake {
	intent := o.Payment.PayingIntentID
	set := func(from, to int64) {
		p.alter(p.orders, `update payment_intents set captured_minor_units = $3 where stripe_id = $1 and captured_minor_units = $2`, intent, from, to)
		old, changed := strconv.FormatInt(from, 10), strconv.FormatInt(to, 10)
		p.rewrite(e2etest.Capture(o), old, changed)
		p.alter(p.copies, `update postings set amount = $3 where amount = $2 and ledger_transaction_id = (select ledger_transaction_id from entries where reference = $1)`,
			e2etest.Capture(o), from, to)
	}
	set(4450, 9450)
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_AMOUNT_WRONG, subject: e2etest.Capture(o), expected: "4450 EUR", found: "9450 EUR",
		cause: "Order and ledger agree, so Stripe has other money", mend: func() { set(9450, 4450) },
	}
}

func (p plant) orderWrong(o client.Order) mistake {
	set := func(to int64) {
		p.alter(p.orders, `update payment_intents set captured_minor_units = $2 where stripe_id = $1`, o.Payment.PayingIntentID, to)
	}
	set(4400)
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_AMOUNT_WRONG, subject: e2etest.Capture(o), expected: "4400 EUR", found: "4450 EUR",
		cause: "Ledger and Stripe agree, so the order is wrong", mend: func() { set(4450) },
	}
}

func (p plant) copyDiffers(o client.Order) mistake {
	set := func(from, to string) {
		p.alter(p.copies, `update entries set organizer_id = $3 where reference = $1 and organizer_id = $2`, e2etest.Capture(o), from, to)
	}
	var organizer string
	if err := p.copies.QueryRow(e2etest.Within(p.t, time.Minute), `select organizer_id from entries where reference = $1`, e2etest.Capture(o)).Scan(&organizer); err != nil {
		p.t.Fatal(err)
	}
	set(organizer, "somebodyElse000000001")
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_COPY_DIFFERS, subject: e2etest.Capture(o), expected: "4450 EUR", found: "4450 EUR",
		cause: "is not what the ledger has", mend: func() { set("somebodyElse000000001", organizer) },
	}
}

func (p plant) copyMissing(o client.Order) mistake {
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_COPY_DIFFERS, subject: e2etest.Capture(o), expected: "4450 EUR",
		cause: "has no copy", mend: p.forget(e2etest.Capture(o)),
	}
}
