package passsvc_test

import (
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

func TestUpdatePass(t *testing.T) {
	t.Parallel()

	t.Run("the same key at once has one effect", func(t *testing.T) {
		t.Parallel()
		r := newService(t)
		p := r.issue(t, 1)[0]
		ctx := rpc.WithIdempotencyKey(t.Context(), "staff/1")
		req := &passv1.UpdatePassRequest{PassSerial: p.GetSerial(), Fields: map[string]string{"gate": "B", "row": "4"}}
		answers := make([]*passv1.UpdatePassResponse, 8)
		var wait sync.WaitGroup
		for i := range answers {
			wait.Go(func() {
				var err error
				if answers[i], err = r.client.UpdatePass(ctx, req); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		for _, a := range answers {
			if diff := cmp.Diff(answers[0], a, protocmp.Transform()); diff != "" || !a.GetChanged() || a.GetPass().GetRevision() != 2 {
				t.Errorf("%v %s", a, diff)
			}
		}
		if answers[0].GetPass().GetAuthenticationToken() != p.GetAuthenticationToken() || answers[0].GetPass().GetDownloadUrl() != p.GetDownloadUrl() {
			t.Error("token or link changed")
		}
		req.Fields["gate"] = "C"
		if _, err := r.client.UpdatePass(ctx, req); problem.Reason(err) != problem.ReasonIdempotencyKeyReused {
			t.Errorf("same key, other request: %v", err)
		}
	})

	t.Run("problems", func(t *testing.T) {
		t.Parallel()
		r := newService(t)
		p := r.issue(t, 1)[0]
		update := func(serial, field string) error {
			_, err := r.client.UpdatePass(withKey(t.Context()), &passv1.UpdatePassRequest{PassSerial: serial, Fields: map[string]string{field: "x"}})
			return err
		}
		if err := update(p.GetSerial(), "price"); problem.Reason(err) != problem.ReasonInvalidField || problem.Fields(err)[0].Path != `fields["price"]` {
			t.Errorf("%v %v", err, problem.Fields(err))
		}
		if err := update("AAAAAAAAAAAAAAAAAAAAA", "gate"); problem.Reason(err) != "PASS_NOT_FOUND" || problem.Code(err) != connect.CodeNotFound {
			t.Error(err)
		}
		if _, err := r.client.UpdatePass(t.Context(), &passv1.UpdatePassRequest{PassSerial: p.GetSerial(), Fields: map[string]string{"gate": "x"}}); problem.Reason(err) != problem.ReasonIdempotencyKeyRequired {
			t.Error(err)
		}
		if n := r.count(t, "select count(*) from pass_revisions"); n != 0 {
			t.Errorf("%d revisions", n)
		}
	})

	t.Run("control characters do not reach the pass", func(t *testing.T) {
		t.Parallel()
		r := newService(t)
		p := r.issue(t, 1)[0]
		r.set(t, p.GetSerial(), "note", "a\x00b\nc\u007f")
		if shown := readPass(t, r.fetch(t, p).body)["pass.json"]; !strings.Contains(shown, `"value":"a b c"`) {
			t.Error(shown)
		}
	})
}

func TestVoidPass(t *testing.T) {
	t.Parallel()
	server, useAPNs := newAPNs(t)
	r := newService(t, useAPNs).start(t)
	p, d := r.issue(t, 1)[0], newDevice(1)
	r.register(t, d, p)
	for i, changed := range []bool{true, false} {
		res, err := r.client.VoidPass(withKey(t.Context()), &passv1.VoidPassRequest{PassSerial: p.GetSerial(), VoidNote: "refunded"})
		if err != nil || res.GetChanged() != changed || !res.GetPass().GetVoided() || res.GetPass().GetRevision() != 2 {
			t.Errorf("call %d: %v, %v", i+1, res, err)
		}
	}
	r.settled(t)
	if n := len(server.Pushes()); n != 1 {
		t.Errorf("%d pushes", n)
	}
	got := r.fetch(t, p)
	shown := readPass(t, got.body)["pass.json"]
	if got.status != 200 || !strings.Contains(shown, `"voided":true`) || strings.Contains(shown, newContent(1).GetCode()) || strings.Contains(shown, "refunded") {
		t.Errorf("%d %s", got.status, shown)
	}
	if _, err := r.client.VoidPass(withKey(t.Context()), &passv1.VoidPassRequest{PassSerial: "AAAAAAAAAAAAAAAAAAAAA"}); problem.Reason(err) != "PASS_NOT_FOUND" {
		t.Error(err)
	}
}

// suspend says whether the ticket of a pass is suspended, by a change number of the ticket.
func (r *replica) suspend(tb testing.TB, p *passv1.Pass, suspended bool, changeNumber int64) *passv1.SetPassSuspendedResponse {
	tb.Helper()
	res, err := r.client.SetPassSuspended(withKey(tb.Context()), &passv1.SetPassSuspendedRequest{
		PassSerial: p.GetSerial(), Suspended: suspended, TicketChangeNumber: changeNumber,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return res
}

func TestSetPassSuspended(t *testing.T) {
	t.Parallel()
	server, useAPNs := newAPNs(t)
	r := newService(t, useAPNs).start(t)
	p, d := r.issue(t, 1)[0], newDevice(1)
	r.register(t, d, p)
	// Suspended by change 4, lifted by 5; 3 and 4 arrive late and again.
	for i, step := range []struct {
		suspended    bool
		changeNumber int64
		changed      bool
		want         bool
		revision     int64
	}{
		{true, 4, true, true, 2}, {false, 3, false, true, 2}, {false, 5, true, false, 3}, {true, 4, false, false, 3}, {false, 6, false, false, 3}, {true, 5, false, false, 3},
	} {
		res := r.suspend(t, p, step.suspended, step.changeNumber)
		if res.GetChanged() != step.changed || res.GetPass().GetSuspended() != step.want || res.GetPass().GetRevision() != step.revision {
			t.Errorf("step %d: %v", i, res)
		}
		r.settled(t)
	}
	if n := len(server.Pushes()); n != 2 {
		t.Errorf("%d pushes", n)
	}
	r.suspend(t, p, true, 7)
	shown := readPass(t, r.fetch(t, p).body)["pass.json"]
	if !strings.Contains(shown, "On hold") || !strings.Contains(shown, newContent(1).GetCode()) {
		t.Errorf("on hold: %s", shown)
	}
	if page := r.browse(t, p.GetDownloadUrl()); !strings.Contains(page.body, "on hold") {
		t.Error("the page does not say that the ticket is on hold")
	}
	// A ticket that changed otherwise stays on hold, and void is more than on hold.
	c := newContent(1)
	c.TicketChangeNumber, c.HolderName = 8, "Grace Hopper"
	if res, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{c}}); err != nil || !res.GetPasses()[0].GetSuspended() {
		t.Errorf("%v, %v", res, err)
	}
	if _, err := r.client.VoidPass(withKey(t.Context()), &passv1.VoidPassRequest{PassSerial: p.GetSerial()}); err != nil {
		t.Fatal(err)
	}
	for _, suspended := range []bool{false, true} {
		if res := r.suspend(t, p, suspended, 9); res.GetChanged() || !res.GetPass().GetVoided() || res.GetPass().GetSuspended() {
			t.Errorf("a void pass: %v", res)
		}
	}
	_, err := r.client.SetPassSuspended(withKey(t.Context()), &passv1.SetPassSuspendedRequest{PassSerial: "AAAAAAAAAAAAAAAAAAAAA", TicketChangeNumber: 1})
	if problem.Reason(err) != "PASS_NOT_FOUND" {
		t.Error(err)
	}
}

func TestListPassRevisions(t *testing.T) {
	t.Parallel()
	r := newService(t)
	p := r.issue(t, 1)[0]
	first := r.fetch(t, p).header.Get("Etag")
	r.set(t, p.GetSerial(), "gate", "B")
	second := r.fetch(t, p).header.Get("Etag")
	if _, err := r.client.VoidPass(withKey(t.Context()), &passv1.VoidPassRequest{PassSerial: p.GetSerial(), VoidNote: "refunded"}); err != nil {
		t.Fatal(err)
	}
	list, err := r.client.ListPassRevisions(t.Context(), &passv1.ListPassRevisionsRequest{PassSerial: p.GetSerial()})
	if err != nil {
		t.Fatal(err)
	}
	third := r.fetch(t, p).header.Get("Etag")
	want := &passv1.ListPassRevisionsResponse{Revisions: []*passv1.PassRevision{
		{Revision: 3, Etag: third, Origin: "void", Note: "refunded", Changes: []*passv1.FieldChange{{Path: "voided", NewValue: "true"}}},
		{Revision: 2, Etag: second, Origin: "update", Changes: []*passv1.FieldChange{{Path: "staff.gate", NewValue: "B"}}},
		{Revision: 1, Etag: first, Origin: "issue"},
	}}
	if diff := cmp.Diff(want, list, protocmp.Transform(), protocmp.IgnoreFields(&passv1.PassRevision{}, "create_time")); diff != "" {
		t.Error(diff)
	}
	for name, call := range map[string]func() error{
		"revisions": func() error {
			_, err := r.client.ListPassRevisions(t.Context(), &passv1.ListPassRevisionsRequest{PassSerial: "AAAAAAAAAAAAAAAAAAAAA"})
			return err
		},
		"registrations": func() error {
			_, err := r.client.ListRegistrations(t.Context(), &passv1.ListRegistrationsRequest{PassSerial: "AAAAAAAAAAAAAAAAAAAAA"})
			return err
		},
		"pushes": func() error {
			_, err := r.client.ListPushes(t.Context(), &passv1.ListPushesRequest{PassSerial: "AAAAAAAAAAAAAAAAAAAAA"})
			return err
		},
	} {
		if err := call(); problem.Reason(err) != "PASS_NOT_FOUND" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPassShowsUsed has the ticket of a pass used, taken back, and used while it is on hold, which is more.
func TestPassShowsUsed(t *testing.T) {
	t.Parallel()
	server, useAPNs := newAPNs(t)
	r := newService(t, useAPNs).start(t)
	p, d := r.issue(t, 1)[0], newDevice(1)
	r.register(t, d, p)
	plain := readPass(t, r.fetch(t, p).body)
	for i, step := range []struct {
		used, suspended bool
		changed, want   bool
		shown           string
	}{{true, false, true, true, "Somebody has entered"}, {true, false, false, true, "Somebody has entered"}, {true, true, true, false, "On hold"}, {false, false, true, false, ""}} {
		res, err := r.client.SetPassSuspended(withKey(t.Context()), &passv1.SetPassSuspendedRequest{
			PassSerial: p.GetSerial(), Used: step.used, Suspended: step.suspended, TicketChangeNumber: int64(i + 2),
		})
		if err != nil || res.GetChanged() != step.changed || res.GetPass().GetUsed() != step.want {
			t.Errorf("step %d: %v, %v", i, res, err)
		}
		r.settled(t)
		files := readPass(t, r.fetch(t, p).body)
		if !strings.Contains(files["pass.json"], step.shown) || strings.Contains(files["pass.json"], "entered") != step.want {
			t.Errorf("step %d: the pass does not show %q", i, step.shown)
		}
		if german := files["de.lproj/pass.strings"]; strings.Contains(german, "schon jemand") != step.want {
			t.Errorf("step %d: German says\n%s", i, german)
		}
		if page := r.browse(t, p.GetDownloadUrl()); strings.Contains(page.body, "Somebody has entered") != step.want {
			t.Errorf("step %d: the page is wrong", i)
		}
	}
	if last := readPass(t, r.fetch(t, p).body); last["pass.json"] != plain["pass.json"] || last["de.lproj/pass.strings"] != plain["de.lproj/pass.strings"] {
		t.Error("a pass whose use was taken back is not as it was")
	}
	if n := len(server.Pushes()); n != 3 {
		t.Errorf("%d pushes, want 3", n)
	}
}
