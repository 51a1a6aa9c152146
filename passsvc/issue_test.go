package passsvc_test

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/passsvc"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestIssuePasses(t *testing.T) {
	t.Parallel()

	t.Run("a repeat under the same key replays", func(t *testing.T) {
		t.Parallel()
		r := newService(t)
		ctx := rpc.WithIdempotencyKey(t.Context(), "order/1/issue-passes")
		req := &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{newContent(1), newContent(2)}}
		first, err := r.client.IssuePasses(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		again, err := r.client.IssuePasses(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, again, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
		if len(first.GetPasses()) != 2 || first.GetPasses()[1].GetTicketId() != ticketID(2) || first.GetPasses()[0].GetRevision() != 1 {
			t.Errorf("got %v", first)
		}
		req.Passes[0].HolderName = "Somebody else"
		_, err = r.client.IssuePasses(ctx, req)
		if problem.Reason(err) != problem.ReasonIdempotencyKeyReused {
			t.Errorf("same key, other request: %v", err)
		}
	})

	t.Run("a ticket keeps its pass under any key, also at once", func(t *testing.T) {
		t.Parallel()
		r := newService(t)
		serials := make([]string, 8)
		var wait sync.WaitGroup
		for i := range serials {
			wait.Go(func() {
				res, err := r.client.IssuePasses(withKey(t.Context()),
					&passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{newContent(1), newContent(2), newContent(3)}})
				if err != nil {
					t.Error(err)
					return
				}
				for _, p := range res.GetPasses() {
					serials[i] += p.GetSerial() + " "
				}
			})
		}
		wait.Wait()
		for _, s := range serials {
			if s != serials[0] {
				t.Fatalf("several passes: %q", serials)
			}
		}
		list, err := r.client.ListPasses(t.Context(), &passv1.ListPassesRequest{OrderId: orderID})
		if err != nil || len(list.GetPasses()) != 3 {
			t.Errorf("%d passes, %v", len(list.GetPasses()), err)
		}
	})

	t.Run("newer content is a revision, older content is nothing", func(t *testing.T) {
		t.Parallel()
		r := newService(t)
		first := r.issue(t, 1)[0]
		r.set(t, first.GetSerial(), "gate", "B")
		newer := newContent(1)
		newer.TicketChangeNumber, newer.HolderName = 3, "Grace Hopper"
		older := newContent(1)
		older.TicketChangeNumber, older.HolderName = 2, "Nobody"
		for _, c := range []*passv1.PassContent{newer, older, newer} {
			res, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{c}})
			if err != nil {
				t.Fatal(err)
			}
			if p := res.GetPasses()[0]; p.GetRevision() != 3 || p.GetSerial() != first.GetSerial() {
				t.Errorf("after %q: revision %d", c.GetHolderName(), p.GetRevision())
			}
		}
		shown := readPass(t, r.fetch(t, first).body)["pass.json"]
		if !strings.Contains(shown, "Grace Hopper") || !strings.Contains(shown, `"gate","label":"GATE","value":"B"`) {
			t.Errorf("pass.json: %s", shown)
		}
	})

	t.Run("a void pass stays void", func(t *testing.T) {
		t.Parallel()
		r := newService(t)
		p := r.issue(t, 1)[0]
		if _, err := r.client.VoidPass(withKey(t.Context()), &passv1.VoidPassRequest{PassSerial: p.GetSerial()}); err != nil {
			t.Fatal(err)
		}
		c := newContent(1)
		c.TicketChangeNumber = 2
		res, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{c}})
		if err != nil || !res.GetPasses()[0].GetVoided() {
			t.Errorf("%v, %v", res, err)
		}
	})

	t.Run("without a certificate it says what to set up", func(t *testing.T) {
		t.Parallel()
		r := newService(t, func(c *passsvc.Config) { c.Certificates = nil })
		_, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{newContent(1)}})
		if problem.Reason(err) != "PASS_TYPE_UNKNOWN" || problem.Code(err) != connect.CodeFailedPrecondition {
			t.Error(err)
		}
	})

	t.Run("bad content is refused with its path and nothing is written", func(t *testing.T) {
		t.Parallel()
		r := newService(t)
		cases := map[string]struct {
			edit func(c *passv1.PassContent)
			path string
		}{
			"time zone":        {func(c *passv1.PassContent) { c.Event.TimeZone = "Mars/Olympus" }, "passes[1].event.time_zone"},
			"end before start": {func(c *passv1.PassContent) { c.Event.EndTime = at(2020, 1, 1, 0, 0) }, "passes[1].event.end_time"},
			"half a place":     {func(c *passv1.PassContent) { c.Event.Longitude = nil }, "passes[1].event.latitude"},
			"ticket twice":     {func(c *passv1.PassContent) { c.TicketId = ticketID(1) }, "passes[1].ticket_id"},
			"no code":          {func(c *passv1.PassContent) { c.Code = "" }, "passes[1].code"},
			"long code":        {func(c *passv1.PassContent) { c.Code = strings.Repeat("x", 501) }, "passes[1].code"},
		}
		for name, tc := range cases {
			bad := newContent(2)
			tc.edit(bad)
			_, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{newContent(1), bad}})
			fields := problem.Fields(err)
			if problem.Reason(err) != problem.ReasonInvalidField || len(fields) != 1 || fields[0].Path != tc.path {
				t.Errorf("%s: %v, fields %v", name, err, fields)
			}
		}
		list, err := r.client.ListPasses(t.Context(), &passv1.ListPassesRequest{OrderId: orderID})
		if err != nil || len(list.GetPasses()) != 0 {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// TestNothingAtRestOpensAPass looks for tokens and links in the whole database.
func TestNothingAtRestOpensAPass(t *testing.T) {
	t.Parallel()
	r := newService(t)
	p := r.issue(t, 1)[0]
	r.set(t, p.GetSerial(), "gate", "B")
	_, secret, _ := strings.Cut(p.GetAuthenticationToken(), ".")
	_, link, _ := strings.Cut(p.GetDownloadUrl(), p.GetSerial()+".")
	for _, table := range []string{"passes", "pass_revisions", "idempotency_keys"} {
		var rows []string
		err := r.pool.QueryRow(t.Context(), `select coalesce(array_agg(t::text || convert_from(coalesce(nullif(to_jsonb(t)->>'response', ''), '')::bytea, 'latin1')), '{}') from `+table+` t`).Scan(&rows)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			t.Fatalf("%s is empty", table)
		}
		for _, row := range rows {
			if strings.Contains(row, secret) || strings.Contains(row, link) {
				t.Errorf("%s holds a token: %s", table, row)
			}
		}
	}
}

// readPass returns the files of a package.
func readPass(tb testing.TB, archive string) map[string]string {
	tb.Helper()
	z, err := zip.NewReader(strings.NewReader(archive), int64(len(archive)))
	if err != nil {
		tb.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		content, err := f.Open()
		if err != nil {
			tb.Fatal(err)
		}
		data, err := io.ReadAll(content)
		if err != nil {
			tb.Fatal(err)
		}
		files[f.Name] = string(data)
	}
	return files
}

// TestPassJSON compares what a pass shows with a golden file that people have read.
func TestPassJSON(t *testing.T) {
	t.Parallel()
	r := newService(t)
	plain, full := r.issue(t, 1)[0], newContent(2)
	full.Language = "de-AT"
	full.Event.Name = `Nacht der "Offenen" \ Luft; = 深夜`
	full.Price.Currency, full.Price.MinorUnits = "KWD", 1500
	full.Code = "Überraschung 票"
	full.Voided = false
	res, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{full}})
	if err != nil {
		t.Fatal(err)
	}
	fullPass := res.GetPasses()[0]
	for field, value := range map[string]string{"gate": "Tor 4", "section": "C", "row": "12", "seat": "7", "note": "Bitte Ausweis mitbringen"} {
		r.set(t, fullPass.GetSerial(), field, value)
	}
	seated := newContent(5)
	seated.Seat = &passv1.PassSeat{Section: "Balkon links", Row: "F", Label: "12"}
	if res, err = r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{seated}}); err != nil {
		t.Fatal(err)
	}
	seatedPass := res.GetPasses()[0]
	r.set(t, seatedPass.GetSerial(), "row", "G") // the seat was moved: staff's word is shown, and the rest stays
	void := r.issue(t, 3)[2]
	if _, err := r.client.VoidPass(withKey(t.Context()), &passv1.VoidPassRequest{PassSerial: void.GetSerial()}); err != nil {
		t.Fatal(err)
	}
	onHold := r.issue(t, 4)[3]
	r.suspend(t, onHold, true, 2)
	for name, p := range map[string]*passv1.Pass{"plain": plain, "full": fullPass, "void": void, "hold": onHold, "seat": seatedPass} {
		got := r.fetch(t, p)
		if got.status != http.StatusOK {
			t.Fatalf("%s: %d", name, got.status)
		}
		files := readPass(t, got.body)
		var parsed any
		if err := json.Unmarshal([]byte(files["pass.json"]), &parsed); err != nil {
			t.Fatal(err)
		}
		pretty, err := json.MarshalIndent(parsed, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer(p.GetSerial(), "SERIAL", p.GetAuthenticationToken(), "TOKEN").Replace(string(pretty))
		golden(t, "testdata/"+name+".pass.json.golden", text)
		golden(t, "testdata/"+name+".de.strings.golden", files["de.lproj/pass.strings"])
	}
}

// golden compares with a file, or writes it under -update.
func golden(tb testing.TB, name, got string) {
	tb.Helper()
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		tb.Fatalf("%s is missing: run with -update, read it, check it in", name)
	}
	if err != nil {
		tb.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		tb.Errorf("%s: %s", name, diff)
	}
}
