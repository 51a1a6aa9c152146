package passsvc_test

import (
	"net/http"
	"strings"
	"testing"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
)

// TestHolderNumbers has names of a holder arrive late and beside other changes of the ticket: a pass shows the newest name, and loses nothing.
func TestHolderNumbers(t *testing.T) {
	t.Parallel()
	r := newService(t).start(t)
	issue := func(name string, number, change int64) *passv1.Pass {
		t.Helper()
		c := newContent(1)
		c.HolderName, c.HolderNumber, c.TicketChangeNumber = name, number, change
		res, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{c}})
		if err != nil {
			t.Fatal(err)
		}
		return res.GetPasses()[0]
	}
	pass := issue("Ada", 0, 1)
	want := func(what, name string, revision int64, suspended bool) {
		t.Helper()
		got, err := r.client.GetPass(t.Context(), &passv1.GetPassRequest{PassSerial: pass.GetSerial()})
		if err != nil || got.GetPass().GetRevision() != revision || got.GetPass().GetSuspended() != suspended {
			t.Errorf("%s: %v, %v; want revision %d, suspended %t", what, got, err, revision, suspended)
		}
		if shown := readPass(t, r.fetch(t, pass).body)["pass.json"]; !strings.Contains(shown, name) {
			t.Errorf("%s: the pass lacks %q: %s", what, name, shown)
		}
	}
	if _, err := r.client.SetPassSuspended(withKey(t.Context()), &passv1.SetPassSuspendedRequest{PassSerial: pass.GetSerial(), Suspended: true, TicketChangeNumber: 2}); err != nil {
		t.Fatal(err)
	}
	issue("Carol", 2, 1)
	want("named beside a suspension", "Carol", 3, true)
	issue("Bob", 1, 1)
	want("an older name", "Carol", 3, true)
	issue("Ada", 0, 3)
	want("a later change that was built before", "Carol", 3, true)
	issue("Ada", 3, 1)
	want("the first name again", "Ada", 4, true)
}

// TestOrderPageHidesWhatWasTransferred opens the page of an order of which one ticket is somebody else's.
func TestOrderPageHidesWhatWasTransferred(t *testing.T) {
	t.Parallel()
	r := newService(t)
	own, others := newContent(1), newContent(2)
	others.HolderOnly, others.HolderName = true, "Bob"
	res, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{own, others}})
	if err != nil {
		t.Fatal(err)
	}
	page := r.browse(t, res.GetOrderDownloadUrl())
	if page.status != http.StatusOK || strings.Count(page.body, "<article") != 1 || strings.Contains(page.body, "Bob") {
		t.Errorf("the order's page is %d\n%s", page.status, page.body)
	}
	if page := r.browse(t, res.GetPasses()[1].GetDownloadUrl()); page.status != http.StatusOK || strings.Count(page.body, "<article") != 1 {
		t.Errorf("the holder's page is %d\n%s", page.status, page.body)
	}
	alone := newService(t)
	res, err = alone.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{others}})
	if err != nil {
		t.Fatal(err)
	}
	if page := alone.browse(t, res.GetOrderDownloadUrl()); page.status != http.StatusNotFound {
		t.Errorf("the page of an order without tickets of its own is %d", page.status)
	}
}
