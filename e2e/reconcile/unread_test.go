package reconcile

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/e2e/e2etest"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// TestReconcileLeavesUnread has Stripe fail at one refund and at one connected account, and the ledger at one entry. The run names
// them in one alert and compares the rest; the next one fetches the items again, whatever span it compares.
func TestReconcileLeavesUnread(t *testing.T) {
	t.Parallel()
	stripe, ledger := newFailing(t), newFailing(t)
	settings := map[string]string{"DAYOF_STRIPE_URL": stripe.url, "DAYOF_FORMANCE_URL": ledger.url}
	maps.Copy(settings, e2etest.OnDemand)
	m := e2etest.NewCluster(t, 1, settings)
	stripe.forward(t, m.Sandbox.StripeURL)
	ledger.forward(t, m.File.Sandbox.FormanceURL)
	p := newPlant(t, m)
	sell := func() client.Order { return e2etest.SellIn(t, p.client, "EUR", 4450) }
	first, second, refunded := sell(), sell(), refundPart(t, p.client, sell(), "EUR", 500)
	e2etest.AwaitIdle(t, p.client, idle.Scope{}) // a webhook on its way would mend a mistake
	readable := p.postingMissing(first)
	unread := []mistake{p.postingMissing(second), p.refundMissingInLedger(refunded), p.payoutUnknown("acct_" + client.NewKey())}
	other := p.payoutUnknown("acct_" + client.NewKey())
	account := "acct_" + strings.TrimPrefix(unread[2].subject, "payout:po_")
	ledger.failAt(unread[0].subject)
	stripe.failAt("/v1/refunds/"+strings.TrimPrefix(unread[1].subject, "refund:"), account)

	run, open := reconcile(t, p.client)
	assertMistakes(t, open, []mistake{readable, other})
	want := []string{"account:" + account}
	for _, x := range unread {
		want = append(want, x.subject)
	}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(run.GetUnreadSubjects())); !slices.Equal(got, want) || run.GetUnreadCount() != int64(len(want)) {
		t.Errorf("%d are unread: %v, want %v", run.GetUnreadCount(), got, want)
	}
	assertUnreadAlerts(t, p, 1, 0)
	if again, _ := reconcile(t, p.client); again.GetUnreadCount() != int64(len(want)) || again.GetOpenedCount() != 0 {
		t.Errorf("a second run leaves %d unread and opens %d", again.GetUnreadCount(), again.GetOpenedCount())
	}
	assertUnreadAlerts(t, p, 1, 0)

	stripe.failAt()
	ledger.failAt()
	ctx := e2etest.Within(t, 3*time.Minute)
	for { // until the account's circuit breaker has closed
		var err error
		if run, open, err = p.client.Reconcile(ctx, time.Unix(0, 0), time.Unix(1, 0)); err != nil {
			t.Fatalf("%v; still unread: %v", err, run.GetUnreadSubjects())
		}
		if run.GetUnreadCount() == 0 {
			break
		}
		e2etest.Pause(ctx)
	}
	assertMistakes(t, open, append(unread, readable, other))
	assertUnreadAlerts(t, p, 0, 1)
}

// payoutUnknown books a payout of a connected account that Stripe does not know. Payout and account have the same key.
func (p plant) payoutUnknown(account string) mistake {
	p.t.Helper()
	ctx := e2etest.Within(p.t, time.Minute)
	if _, err := p.client.Stripe.Control(ctx, http.MethodPut, "/_sandbox/accounts/"+account, map[string]any{}); err != nil {
		p.t.Fatal(err)
	}
	id := "po_" + strings.TrimPrefix(account, "acct_")
	_, err := p.client.Ledger.RecordPayout(rpc.WithIdempotencyKey(ctx, id), &ledgerv1.RecordPayoutRequest{
		PayoutId: id, StripeAccount: account, OrganizerId: client.NewKey(), Status: ledgerv1.PayoutStatus_PAYOUT_STATUS_PAID,
		Amount: &moneyv1.Money{Currency: "EUR", MinorUnits: 4000}, BankAccountId: "ba_1", PayoutTime: timestamppb.New(clock.System{}.Now()),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return mistake{
		kind: ledgerv1.DifferenceKind_DIFFERENCE_KIND_POSTING_EXTRA, subject: "payout:" + id, found: "-4000 EUR",
		cause: "but Stripe does not",
	}
}

// assertUnreadAlerts counts the alerts about what was not read that are open and closed.
func assertUnreadAlerts(t *testing.T, p plant, open, closed int) {
	t.Helper()
	var gotOpen, gotClosed int
	err := p.copies.QueryRow(e2etest.Within(t, time.Minute), `select count(*) filter (where resolved_time is null), count(resolved_time)
		from alerts where kind = 'reconcile_unread' and subject = 'on_demand'`).Scan(&gotOpen, &gotClosed)
	if err != nil {
		t.Fatal(err)
	}
	if gotOpen != open || gotClosed != closed {
		t.Errorf("%d alerts about what was not read are open and %d closed, want %d and %d", gotOpen, gotClosed, open, closed)
	}
}

// failing stands before an outside party and answers 500 to the calls that name one of some texts.
type failing struct {
	url   string
	mu    sync.Mutex
	proxy http.Handler
	texts []string
}

func newFailing(t *testing.T) *failing {
	t.Helper()
	f := &failing{proxy: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// forward sends on the calls that do not fail.
func (f *failing) forward(t *testing.T, target string) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.proxy = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
}

// failAt replaces the texts.
func (f *failing) failAt(texts ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.texts = texts
}

// ServeHTTP implements http.Handler.
func (f *failing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	query, err := url.QueryUnescape(r.URL.RawQuery)
	if err != nil {
		query = r.URL.RawQuery
	}
	call := fmt.Sprintf("%s %s %s %s", r.URL.Path, query, r.Header.Get("Stripe-Account"), body)
	f.mu.Lock()
	proxy, fails := f.proxy, slices.ContainsFunc(f.texts, func(text string) bool { return strings.Contains(call, text) })
	f.mu.Unlock()
	if !fails {
		proxy.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusInternalServerError)
	fmt.Fprint(w, `{"error": {"type": "api_error"}, "errorCode": "INTERNAL"}`)
}
