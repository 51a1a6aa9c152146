package ledger_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/sandbox/ledger"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// names returns the names of all ledgers.
func (a *api) names() (names []string) {
	a.t.Helper()
	rows, err := a.pool.Query(a.t.Context(), "select name from ledgers order by name")
	if err != nil {
		a.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			a.t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		a.t.Fatal(err)
	}
	return names
}

func TestFaces(t *testing.T) {
	t.Parallel()
	t.Run("behind a gateway there is nothing but its path", func(t *testing.T) {
		t.Parallel()
		a := newAPIOf(t, ledger.Config{Gateway: true})
		a.want(http.StatusNoContent, a.call("POST", "/api/ledger/v2/l", nil))
		a.want(http.StatusOK, a.call("POST", "/api/ledger/v2/l/transactions", postings(usd("world", "a", 1))))
		a.want(http.StatusOK, a.call("GET", "/api/ledger/_/info", nil))
		for _, path := range []string{"/v2/l", "/_info", "/_/info", "/", "/api/ledger", "/api/ledgers/_/info"} {
			a.want(http.StatusNotFound, a.call("GET", path, nil))
		}
		wantValue(t, a.names(), "[l]")
	})
	t.Run("bare, the gateway's path asks version 1 about a ledger api", func(t *testing.T) {
		t.Parallel()
		now := clock.NewFake(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
		a := newAPIOf(t, ledger.Config{Clock: now})
		a.want(http.StatusNotFound, a.call("GET", "/", nil))
		a.want(http.StatusNotFound, a.call("GET", "/_/nothing", nil))
		if names := a.names(); len(names) != 0 {
			t.Fatalf("ledgers %v were made", names)
		}
		a.want(http.StatusNotFound, a.call("GET", "/api/ledger/_/info", nil))
		wantValue(t, a.names(), "[api]")
		a.wantCode("VALIDATION", a.call("GET", "/a%20b/_info", nil))
		// The temporary table that this left makes the next bucket fail, while the connection lives.
		a.wantCode("INTERNAL", a.call("POST", "/v2/l", nil))
		now.Advance(59 * time.Second)
		a.wantCode("INTERNAL", a.call("POST", "/v2/l", nil))
		a.want(http.StatusNoContent, a.call("POST", "/v2/m", map[string]string{"bucket": "api"})) // needs no new bucket
		now.Advance(time.Second)
		a.want(http.StatusNoContent, a.call("POST", "/v2/l", nil))
		a.want(http.StatusNotFound, a.call("GET", "/api/ledger/_/info", nil)) // makes nothing twice
		wantValue(t, a.names(), "[api l m]")
	})
	t.Run("a bucket that takes its time is undone when the caller goes", func(t *testing.T) {
		t.Parallel()
		a := newAPIOf(t, ledger.Config{BucketDelay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+"/v2/l", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := a.client.Do(request); err == nil {
			_ = response.Body.Close()
			t.Fatalf("it was answered with %s", response.Status)
		}
		if names := a.names(); len(names) != 0 {
			t.Errorf("ledgers %v were made", names)
		}
	})
}
