package contract_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dayof/dayof/devenv/sandbox/ledger/contract"
)

const transcript = `{"scenario":"one","createLedger":false,"steps":[{
	"name":"step","request":{"method":"GET","path":"/v2/{ledger}"},
	"response":{"status":200,"headers":{"Content-Type":"application/json","Idempotency-Hit":"<absent>"},"body":{
		"id":"<txid:a>","same":"<txidstr:a>","at":"<time:t>","then":"<time:t>","list":[1,"x"],"errorMessage":"<re:^no >"
	}}}]}`

// TestReplay shows the replayer a right answer and answers that are wrong in one
// place each.
func TestReplay(t *testing.T) {
	const right = `{"id":7,"same":"7","at":"2024-01-01T00:00:00Z","then":"2024-01-01T00:00:00Z","list":[1,"x"],"errorMessage":"no way"}`
	for _, test := range []struct {
		name     string
		status   int
		old, new string
		header   string
		lenient  bool
		want     string // part of the difference; empty for none
	}{
		{name: "right"},
		{name: "another status", status: http.StatusCreated, want: "201"},
		{name: "another id", old: `"same":"7"`, new: `"same":"8"`, want: "same"},
		{name: "an id as text", old: `"id":7`, new: `"id":"7"`, want: "want an integer id"},
		{name: "another instant", old: `"then":"2024`, new: `"then":"2025`, want: "then"},
		{name: "a time that is not UTC", old: `00Z","list"`, new: `00+00:00","list"`, want: "want an RFC 3339 UTC time"},
		{name: "a key too many", old: `"id"`, new: `"extra":1,"id"`, want: "unexpected key"},
		{name: "a key too few", old: `"list":[1,"x"],`, new: ``, want: "missing key"},
		{name: "another number", old: `[1,`, new: `[1.0,`, want: "want 1"},
		{name: "an element too many", old: `"x"]`, new: `"x",2]`, want: "want 2 elements"},
		{name: "another text", old: `no way`, new: `yes`, want: "does not match"},
		{name: "another text, leniently", old: `no way`, new: `yes`, lenient: true},
		{name: "a header that must be absent", header: "true", want: "Idempotency-Hit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "one.json")
			if err := os.WriteFile(file, []byte(transcript), 0o600); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if test.header != "" {
					w.Header().Set("Idempotency-Hit", test.header)
				}
				if test.status != 0 {
					w.WriteHeader(test.status)
				}
				_, _ = w.Write([]byte(strings.Replace(right, test.old, test.new, 1)))
			}))
			defer server.Close()
			var out bytes.Buffer
			totals, err := contract.Replay(t.Context(), &out, contract.Options{Base: server.URL, StrictMessages: !test.lenient}, file)
			if err != nil {
				t.Fatal(err)
			}
			if want := (contract.Totals{Passed: 1}); test.want == "" && totals != want {
				t.Errorf("totals %+v\n%s", totals, &out)
			}
			if want := (contract.Totals{Failed: 1}); test.want != "" && (totals != want || !strings.Contains(out.String(), test.want)) {
				t.Errorf("totals %+v, want a difference with %q\n%s", totals, test.want, &out)
			}
		})
	}
}
