package ledger_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/devenv/sandbox/ledger"
	"github.com/dayof/dayof/devenv/sandbox/ledger/contract"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// api is a running ledger on a database of its own, reached over real sockets.
type api struct {
	t      testing.TB
	base   string
	client *http.Client
	pool   *pgxpool.Pool
}

func newAPI(tb testing.TB) *api {
	tb.Helper()
	return newAPIOf(tb, ledger.Config{})
}

func newAPIOf(tb testing.TB, c ledger.Config) *api {
	tb.Helper()
	pool := pgtest.New(tb, ledger.Migrate)
	c.Logger = slog.New(slog.NewTextHandler(tb.Output(), nil))
	server := httptest.NewServer(ledger.New(pool, c))
	tb.Cleanup(server.Close)
	client := &http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	tb.Cleanup(client.CloseIdleConnections)
	return &api{t: tb, base: server.URL, client: client, pool: pool}
}

// withLedger is newAPI with a ledger named l.
func withLedger(tb testing.TB) *api {
	tb.Helper()
	a := newAPI(tb)
	a.want(http.StatusNoContent, a.call("POST", "/v2/l", nil))
	return a
}

type answer struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

func (a answer) code() string {
	code, _ := a.body["errorCode"].(string)
	return code
}

// call sends a request; a body that is not a string travels as JSON. It may be
// used by several goroutines.
func (a *api) call(method, path string, body any, headers ...string) answer {
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	default:
		data, err := json.Marshal(body)
		if err != nil {
			a.t.Errorf("encode body: %v", err)
			return answer{}
		}
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(context.Background(), method, a.base+path, reader)
	if err != nil {
		a.t.Errorf("make request: %v", err)
		return answer{}
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := a.client.Do(request)
	if err != nil {
		a.t.Errorf("%s %s: %v", method, path, err)
		return answer{}
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		a.t.Errorf("%s %s: read answer: %v", method, path, err)
		return answer{}
	}
	got := answer{status: response.StatusCode, header: response.Header, text: string(data)}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	_ = decoder.Decode(&got.body)
	return got
}

func (a *api) want(status int, got answer) answer {
	a.t.Helper()
	if got.status != status {
		a.t.Fatalf("status %d, want %d: %s", got.status, status, got.text)
	}
	return got
}

func (a *api) wantCode(code string, got answer) answer {
	a.t.Helper()
	if got.code() != code {
		a.t.Fatalf("error code %q, want %q: %d %s", got.code(), code, got.status, got.text)
	}
	return got
}

// lockVolumes locks all volumes rows until the returned function is called.
func (a *api) lockVolumes() (release func()) {
	a.t.Helper()
	ctx := a.t.Context()
	tx, err := a.pool.Begin(ctx)
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "select from volumes for update"); err != nil {
		a.t.Fatal(err)
	}
	return func() {
		a.t.Helper()
		if err := tx.Rollback(ctx); err != nil {
			a.t.Fatal(err)
		}
	}
}

// blocked counts the connections that wait for a lock.
func (a *api) blocked() (n int) {
	a.t.Helper()
	err := a.pool.QueryRow(a.t.Context(), "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'").Scan(&n)
	if err != nil {
		a.t.Fatal(err)
	}
	return n
}

// waitForBlocked waits until n connections wait for a lock, a minute at most.
func (a *api) waitForBlocked(n int) {
	a.t.Helper()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	patience := time.After(5 * time.Minute)
	for {
		blocked := a.blocked()
		if blocked >= n {
			return
		}
		select {
		case <-poll.C:
		case <-patience:
			a.t.Fatalf("%d connections wait for a lock, want %d", blocked, n)
		}
	}
}

// TestContract replays the transcripts that were recorded from a real ledger,
// error texts included, twice on one server.
func TestContract(t *testing.T) {
	a := newAPI(t)
	for _, round := range []string{"first", "second"} {
		t.Run(round, func(t *testing.T) {
			var out bytes.Buffer
			totals, err := contract.Replay(t.Context(), &out, contract.Options{Base: a.base, StrictMessages: true}, "testdata/contract")
			if err != nil {
				t.Fatal(err)
			}
			if totals.Failed > 0 || totals.Passed == 0 {
				t.Errorf("%d steps passed, %d failed\n%s", totals.Passed, totals.Failed, &out)
			}
		})
	}
}
