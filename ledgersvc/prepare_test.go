package ledgersvc_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/devenv/sandbox/ledger"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/ledgersvc"
)

// newService returns a service that was not started.
func newService(t *testing.T, c ledgersvc.Config) *ledgersvc.Service {
	t.Helper()
	return newServiceOn(t, pgtest.New(t, ledgersvc.Migrate), c)
}

func newServiceOn(t *testing.T, pool *pgxpool.Pool, c ledgersvc.Config) *ledgersvc.Service {
	t.Helper()
	s, err := ledgersvc.New(ledgersvc.Deps{Config: c, Pool: pool, Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	page := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if strings.HasPrefix(body, "{") {
				w.Header().Set("Content-Type", "application/json")
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	at := func(path string, there http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path {
				http.NotFound(w, r)
				return
			}
			there(w, r)
		}
	}
	for name, c := range map[string]struct {
		handler http.Handler
		want    string // part of the error; empty: none
	}{
		"a page of another program": {page(http.StatusOK, "<html>welcome</html>"), "serves no Formance ledger"},
		"another API":               {page(http.StatusOK, `{"server":"payments","version":"v2.0.0"}`), "serves no Formance ledger"},
		"version 3":                 {at("/_info", page(http.StatusOK, `{"server":"ledger","version":"v3.1.0"}`)), "has version v3.1.0"},
		"version 3, wrapped":        {at("/_info", page(http.StatusOK, `{"data":{"server":"ledger","version":"v3.1.0"}}`)), "has version v3.1.0"},
		"version 3 at a gateway":    {at("/api/ledger/_info", page(http.StatusOK, `{"server":"ledger","version":"v3.1.0"}`)), "has version v3.1.0"},
		"a gateway that refuses us": {at("/api/ledger/_/info", page(http.StatusUnauthorized, `{"errorCode":"UNAUTHORIZED"}`)), "refuses our credentials"},
		"another program":           {page(http.StatusNotFound, "404 page not found"), "serves no Formance ledger"},
		"an old version":            {page(http.StatusOK, `{"server":"ledger","version":"v1.10.3"}`), "has version v1.10.3"},
		"a future version":          {page(http.StatusOK, `{"server":"ledger","version":"v3.0.0"}`), "has version v3.0.0"},
		"one in trouble":            {page(http.StatusServiceUnavailable, "no"), ""},
		"one that is there":         {realOrSandbox(t), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.handler)
			defer server.Close()
			var conf ledgersvc.Config
			conf.Formance.URL, conf.Formance.Ledger = server.URL, newLedgerName()
			conf.CallTimeout = patience
			err := newService(t, conf).Start(t.Context())
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// A database with copies of one ledger refuses another one: it would book everything again.
func TestStartRefusesAnotherLedger(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	newReplica(t, w.books, w.pool, ledgersvc.Config{}) // a replica is welcome
	for name, other := range map[string]*books{"another name": {url: w.books.url, ledger: w.books.ledger + "x"}, "another server": newBooks(t)} {
		if name == "another server" {
			other.ledger = w.books.ledger
			if realLedger() {
				continue // there is one
			}
		}
		var c ledgersvc.Config
		c.Formance.URL, c.Formance.Ledger = other.url, other.ledger
		service := newServiceOn(t, w.pool, c)
		if err := service.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "keeps copies of ledger") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A ledger that is away at start is found by a call after it is back, whatever it did meanwhile. A bare ledger is not asked
// at the gateway's path, where it would make a ledger of another name.
func TestStartWithoutLedger(t *testing.T) {
	t.Parallel()
	for _, mode := range []fault.Mode{fault.Refuse, fault.ServerError, fault.Hang} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			b := newBooks(t)
			b.fail(t, fault.Fault{Mode: mode})
			w := newHarnessOn(t, b, resigned())
			for range 8 { // more than open a breaker
				_, err := w.client.RecordSale(w.fresh(), sale(1))
				wantProblem(t, err, connect.CodeUnavailable, "LEDGER_UNAVAILABLE")
			}
			if away := w.service.Away(); len(away) != 1 {
				t.Errorf("away are %v", away)
			}
			b.faults.ClearAll()
			eventually(t, func() error {
				_, err := w.client.RecordSale(w.fresh(), sale(1))
				return err
			})
			if away := w.service.Away(); len(away) != 0 {
				t.Errorf("away are still %v", away)
			}
			if log := w.log.String(); strings.Contains(log, "serves no Formance ledger") {
				t.Error("a ledger that does not answer is taken for another program")
			}
			if n := b.gate.countBelow("/api/"); n > 0 {
				t.Errorf("%d requests went to a ledger named api", n)
			}
		})
	}
}

// The first ledger of a server takes longer to make than any other call may take, and is undone when the call is cut. It is
// made while callers who have less time come and go.
func TestCreateTakesItsTime(t *testing.T) {
	t.Parallel()
	const slow = 5 * time.Second
	t.Run("at start", func(t *testing.T) {
		t.Parallel()
		w := newHarnessOn(t, newBooksOf(t, ledger.Config{BucketDelay: slow}), impatient())
		must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), sale(1)))
	})
	t.Run("by calls", func(t *testing.T) {
		t.Parallel()
		b := newBooksOf(t, ledger.Config{BucketDelay: slow})
		b.fail(t, fault.Fault{Mode: fault.Refuse})
		c := impatient()
		c.CallTimeout = time.Second
		w := newHarnessOn(t, b, c)
		b.faults.ClearAll()
		eventually(t, func() error {
			_, err := w.client.RecordSale(w.fresh(), sale(1))
			return err
		})
		if n := b.gate.count(http.MethodPost, "/v2/"+b.ledger); n != 1 {
			t.Errorf("the ledger was created %d times", n)
		}
	})
}

func TestPathPrefix(t *testing.T) {
	t.Parallel()
	there := realOrSandbox(t)
	only := func(prefix string) http.Handler { // serves under one prefix and nowhere else
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rest, ok := strings.CutPrefix(r.URL.Path, prefix)
			if !ok {
				http.NotFound(w, r)
				return
			}
			r.URL.Path = rest
			there.ServeHTTP(w, r)
		})
	}
	for name, c := range map[string]struct{ serves, setting string }{
		"a bare ledger is found":     {"", ""},
		"a gateway is found":         {"/api/ledger", ""},
		"a bare ledger is set":       {"", "/"},
		"another gateway is set":     {"/finance/ledger", "/finance/ledger"},
		"a trailing slash is no bar": {"/finance/ledger", "/finance/ledger/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(only(c.serves))
			defer server.Close()
			w := newHarnessOn(t, &books{url: server.URL, ledger: newLedgerName()},
				ledgersvc.Config{Formance: ledgersvc.FormanceConfig{PathPrefix: c.setting}})
			must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), sale(1)))
		})
	}
}

// Behind a gateway every request carries a token; one that was revoked is replaced at once.
func TestOAuth(t *testing.T) {
	t.Parallel()
	there := realOrSandbox(t)
	var generation, issued atomic.Int64
	generation.Store(1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		current := "token-" + string(rune('0'+generation.Load()))
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/api/auth/oauth/token" {
			if err := r.ParseForm(); err != nil || r.Form.Get("client_id") != "dayof" || r.Form.Get("client_secret") != "secret" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			issued.Add(1)
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": current, "token_type": "bearer", "expires_in": 3600})
			return
		}
		if r.Header.Get("Authorization") != "Bearer "+current {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"errorCode":"UNAUTHORIZED","errorMessage":"no"}`))
			return
		}
		there.ServeHTTP(w, r)
	}))
	defer server.Close()
	c := impatient()
	c.Formance.ClientID, c.Formance.ClientSecret = "dayof", config.NewSecret("secret")
	w := newHarnessOn(t, &books{url: server.URL, ledger: newLedgerName()}, c)
	must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), sale(1)))
	generation.Add(1) // the gateway forgets its tokens
	eventually(t, func() error {
		_, err := w.client.RecordSale(keyed(t.Context(), "sale-2"), sale(2))
		return err
	})
	if n := issued.Load(); n > 8 {
		t.Errorf("%d tokens were asked for", n)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	environment := map[string]string{
		"DAYOF_FORMANCE_URL": "http://127.0.0.1:3068", "DAYOF_FORMANCE_LEDGER": "books", "DAYOF_FORMANCE_PATH_PREFIX": "/",
		"DAYOF_FORMANCE_CLIENT_ID": "id", "DAYOF_FORMANCE_CLIENT_SECRET": "hush", "DAYOF_FORMANCE_ATTEMPT_TIMEOUT": "3s",
		"DAYOF_FORMANCE_WRITES_IN_FLIGHT_MAX": "7", "DAYOF_LEDGER_CALL_TIMEOUT": "4s",
	}
	l := config.New(func(name string) string { return environment[name] })
	c := ledgersvc.LoadConfig(l)
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	f := c.Formance
	if f.URL != "http://127.0.0.1:3068" || f.Ledger != "books" || f.PathPrefix != "/" || f.ClientID != "id" || f.ClientSecret.Reveal() != "hush" ||
		f.AttemptTimeout != 3*time.Second || f.WritesInFlightMax != 7 || c.CallTimeout != 4*time.Second {
		t.Errorf("got %+v", c)
	}
	for _, s := range l.Settings() {
		if s.Doc == "" {
			t.Errorf("%s is not explained", s.Name)
		}
	}
	if _, err := url.Parse(f.URL); err != nil {
		t.Error(err)
	}
}
