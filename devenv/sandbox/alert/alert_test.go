package alert_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/sandbox/alert"
	"github.com/dayof/dayof/internal/chassis/clock"
)

func TestSink(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, 3, 1, 20, 0, 0, 0, time.UTC)
	srv := httptest.NewServer(&alert.Sink{Clock: clock.NewFake(now)})
	t.Cleanup(srv.Close)
	call := func(method, body string, status int) []alert.Alert {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+"/alerts", strings.NewReader(body))
		if err != nil {
			t.Fatalf("make request: %v", err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("call: %v", err)
		}
		defer res.Body.Close()
		if res.StatusCode != status {
			t.Fatalf("%s: status %d, want %d", method, res.StatusCode, status)
		}
		if method != http.MethodGet {
			return nil
		}
		var alerts []alert.Alert
		if err := json.NewDecoder(res.Body).Decode(&alerts); err != nil {
			t.Fatalf("decode: %v", err)
		}
		return alerts
	}
	if got := call("GET", "", 200); got == nil || len(got) != 0 {
		t.Fatalf("an empty log is %v, want an empty array", got)
	}
	call("POST", `{"severity":"critical"}`, 202)
	call("POST", "plain words", 202)
	call("PATCH", "", 405)
	got := call("GET", "", 200)
	if len(got) != 2 || string(got[0].Body) != `{"severity":"critical"}` || string(got[1].Body) != `"plain words"` || !got[1].Time.Equal(now) {
		t.Fatalf("log: %+v", got)
	}
	call("POST", strings.Repeat("x", 1<<20+1), 413)
	call("DELETE", "", 204)
	if got := call("GET", "", 200); len(got) != 0 {
		t.Fatalf("after DELETE: %v", got)
	}
}
