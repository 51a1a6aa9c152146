package checkoutsvc_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// accounts is a client of one replica's AccountService.
func (r *replica) accounts() checkoutv1connect.AccountServiceClient {
	client, opts := rpc.Dial(rpc.DialConfig{BaseURL: r.url, Token: config.NewSecret(operatorToken), Timeout: patience})
	return checkoutv1connect.NewAccountServiceClient(client, r.url, opts...)
}

// putAccount connects or changes an account at Stripe; it belongs to the organiser of these tests.
func (w *harness) putAccount(id string, chargesEnabled bool) {
	w.t.Helper()
	w.control("PUT", "/_sandbox/accounts/"+id, map[string]any{
		"charges_enabled": chargesEnabled, "metadata": map[string]string{"organizer_id": organizerID},
	})
}

func (w *harness) recordAccount(r *replica, key, id string) *checkoutv1.Account {
	w.t.Helper()
	res, err := r.accounts().RecordAccount(w.keyed(key), &checkoutv1.RecordAccountRequest{StripeAccount: id})
	if err != nil {
		w.t.Fatalf("record account: %v", err)
	}
	return res.GetAccount()
}

func (w *harness) openAlerts(kind string) int {
	w.t.Helper()
	return w.count("select count(*) from alerts where kind = $1 and resolved_time is null", kind)
}

// TestAccountClosesAndOpensSales follows one organiser's account through all that Stripe may decide about it.
func TestAccountClosesAndOpensSales(t *testing.T) {
	w := newHarness(t)
	r := w.replicas[0]
	const id = "acct_1Organiser"
	steps := []struct {
		name   string
		change func()
		sells  bool
	}{
		{"nobody connected", func() {}, true},
		{"connected", func() { w.putAccount(id, true); w.recordAccount(r, "evt-1", id) }, true},
		{"may not take money", func() { w.putAccount(id, false); w.recordAccount(r, "evt-2", id) }, false},
		{"may take money again", func() { w.putAccount(id, true); w.recordAccount(r, "evt-3", id) }, true},
		{"left", func() {
			w.control("POST", "/_sandbox/accounts/"+id+"/deauthorize", map[string]any{})
			if got := w.recordAccount(r, "evt-4", id); !got.GetDisconnected() || got.GetOrganizerId() != organizerID {
				t.Errorf("got %v, want a disconnected account that is still the organiser's", got)
			}
		}, false},
		{"another account takes over", func() { w.putAccount("acct_2Organiser", true); w.recordAccount(r, "evt-5", "acct_2Organiser") }, true},
	}
	for i, step := range steps {
		step.change()
		_, err := r.checkout.StartCheckout(w.keyed(fmt.Sprintf("start/%d", i)), w.cart(1))
		if sells := err == nil; sells != step.sells {
			t.Fatalf("%s: sells %v, want %v (%v)", step.name, sells, step.sells, err)
		}
		if !step.sells {
			wantProblem(t, err, connect.CodeFailedPrecondition, "ORGANIZER_CANNOT_SELL")
		}
		v, err := r.catalog.GetVariant(t.Context(), &checkoutv1.GetVariantRequest{VariantId: w.variant.GetId()})
		if err != nil || v.GetVariant().GetOrganizerCannotSell() == step.sells {
			t.Errorf("%s: the catalogue says %v, %v", step.name, v.GetVariant().GetOrganizerCannotSell(), err)
		}
	}
	if n := w.openAlerts("account_cannot_sell"); n != 1 {
		t.Errorf("%d alerts are open for accounts that cannot sell, want 1: the one that left", n)
	}
	list, err := r.accounts().ListAccounts(t.Context(), &checkoutv1.ListAccountsRequest{OrganizerId: organizerID, PageSize: 1})
	if err != nil || len(list.GetAccounts()) != 1 || list.GetNextPageToken() == "" {
		t.Fatalf("first page %v, %v", list, err)
	}
	list, err = r.accounts().ListAccounts(t.Context(), &checkoutv1.ListAccountsRequest{OrganizerId: organizerID, PageToken: list.GetNextPageToken()})
	if err != nil || len(list.GetAccounts()) != 1 || list.GetAccounts()[0].GetStripeAccount() != "acct_2Organiser" || list.GetNextPageToken() != "" {
		t.Errorf("second page %v, %v", list, err)
	}
	_, err = r.accounts().GetAccount(t.Context(), &checkoutv1.GetAccountRequest{StripeAccount: "acct_nobody"})
	wantProblem(t, err, connect.CodeNotFound, "ACCOUNT_NOT_FOUND")
}

// TestStaleFetchOfAccount holds the answer of a fetch back until a later fetch is stored: it must change nothing then.
func TestStaleFetchOfAccount(t *testing.T) {
	w := newHarness(t)
	const id = "acct_1Stale"
	target, err := url.Parse(w.stripe)
	if err != nil {
		t.Fatal(err)
	}
	answered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(res *http.Response) error {
		if strings.HasSuffix(res.Request.URL.Path, "/accounts/"+id) {
			once.Do(func() { close(answered); <-release })
		}
		return nil
	}
	slow := w.addReplica(func(c *checkoutsvc.Config) { c.StripeURL = serve(t, proxy) })
	w.putAccount(id, false)
	done := make(chan error, 1)
	go func() {
		_, err := slow.accounts().RecordAccount(rpc.WithIdempotencyKey(context.WithoutCancel(t.Context()), "evt-old"), &checkoutv1.RecordAccountRequest{StripeAccount: id})
		done <- err
	}()
	<-answered
	w.putAccount(id, true)
	w.recordAccount(w.replicas[0], "evt-new", id)
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	res, err := w.replicas[0].accounts().GetAccount(t.Context(), &checkoutv1.GetAccountRequest{StripeAccount: id})
	if err != nil || !res.GetAccount().GetChargesEnabled() {
		t.Errorf("a stale fetch closed the account: %v, %v", res, err)
	}
}

// TestAccountIsLinkedByHand has a person name the organiser of an account whose metadata does not.
func TestAccountIsLinkedByHand(t *testing.T) {
	w := newHarness(t)
	r := w.replicas[0]
	const id = "acct_1Unlinked"
	w.control("PUT", "/_sandbox/accounts/"+id, map[string]any{"charges_enabled": false, "metadata": map[string]string{"organizer_id": "not an id"}})
	w.recordAccount(r, "evt-1", id)
	if n := w.openAlerts("account_without_organizer"); n != 1 {
		t.Errorf("%d alerts for an account without an organiser, want 1", n)
	}
	w.start("before", 1) // an account that is nobody's closes nothing
	if _, err := r.accounts().RecordAccount(w.keyed("link"), &checkoutv1.RecordAccountRequest{StripeAccount: id, OrganizerId: organizerID}); err != nil {
		t.Fatal(err)
	}
	if n := w.openAlerts("account_without_organizer"); n != 0 {
		t.Error("the alert stays open after the account was linked")
	}
	_, err := r.checkout.StartCheckout(w.keyed("after"), w.cart(1))
	wantProblem(t, err, connect.CodeFailedPrecondition, "ORGANIZER_CANNOT_SELL")
	w.control("PUT", "/_sandbox/accounts/"+id, map[string]any{"metadata": map[string]string{"organizer_id": "org00000000000another"}})
	if got := w.recordAccount(r, "evt-2", id); got.GetOrganizerId() != organizerID {
		t.Errorf("metadata overruled a person: %v", got)
	}
}

// TestBankAccountChange reports one change twice and at once, and expects one item and one alert without personal data.
func TestBankAccountChange(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	const id = "acct_1Bank"
	w.putAccount(id, true)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			_, err := w.replicas[i%2].accounts().RecordAccount(w.keyed(fmt.Sprintf("evt-%d", i)), &checkoutv1.RecordAccountRequest{
				StripeAccount: id, BankAccountChange: &checkoutv1.BankAccountChange{
					BankAccountId: "ba_1New", Change: "created", ChangeTime: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
				},
			})
			if err != nil {
				t.Errorf("record: %v", err)
			}
		})
	}
	wg.Wait()
	if n, alerts := w.count("select count(*) from review_cases where kind = 'bank_account_changed'"), w.openAlerts("bank_account_changed"); n != 1 || alerts != 1 {
		t.Fatalf("%d items and %d alerts, want 1 and 1", n, alerts)
	}
	items, err := w.replicas[0].desk.ListReviewCases(t.Context(), &checkoutv1.ListReviewCasesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.replicas[0].desk.ResolveReviewCase(w.keyed("resolve"), &checkoutv1.ResolveReviewCaseRequest{
		ReviewCaseId: items.GetItems()[0].GetId(), Note: "called them",
	}); err != nil {
		t.Fatal(err)
	}
	if n := w.openAlerts("bank_account_changed"); n != 0 {
		t.Error("the alert outlives its item")
	}
}

func TestRaiseReviewCase(t *testing.T) {
	w := newHarness(t)
	desk := w.replicas[0].desk
	req := &checkoutv1.RaiseReviewCaseRequest{
		Kind: "payout_differs", Subject: "po_1", Facts: map[string]string{"difference": "1", "payout_id": "po_1"}, SuggestedAction: "Look.",
	}
	first, err := desk.RaiseReviewCase(w.keyed("a"), req)
	if err != nil {
		t.Fatal(err)
	}
	again, err := desk.RaiseReviewCase(w.keyed("b"), req)
	if err != nil || again.GetItem().GetId() != first.GetItem().GetId() {
		t.Errorf("raised again: %v, %v; want the first item", again, err)
	}
	req.Facts["difference"] = "2"
	_, err = desk.RaiseReviewCase(w.keyed("a"), req)
	wantProblem(t, err, connect.CodeAlreadyExists, problem.ReasonIdempotencyKeyReused)
}
