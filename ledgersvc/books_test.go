package ledgersvc_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/devenv/sandbox/ledger"
)

// books is a Formance ledger behind a gate that makes it fail on purpose and watches what is sent: the sandbox's, or
// the real one at DAYOF_FORMANCE_URL.
type books struct {
	url    string // of the gate
	ledger string // name of the ledger
	faults *fault.Faults
	gate   *gate
}

// gate checks every write on its way: one idempotency key, one body. It stands before the faults, so that it observes what
// the ledger may not.
type gate struct {
	t    testing.TB
	next http.Handler
	// conflicts says that the test asks for different things under one reference.
	conflicts bool

	mu       sync.Mutex
	bodies   map[string][]byte // by idempotency key
	requests []string          // "METHOD path"
	inFlight atomic.Int64
	most     atomic.Int64 // writes in flight at once
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.note(r.Method+" "+r.URL.Path, r.Header.Get("Idempotency-Key"), body)
	if r.Method == http.MethodPost {
		now := g.inFlight.Add(1)
		defer g.inFlight.Add(-1)
		for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
		}
	}
	g.next.ServeHTTP(w, r)
}

// note remembers a request and checks what its keys were sent with before. The elements of a bulk are writes like others.
func (g *gate) note(request, key string, body []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests = append(g.requests, request)
	if !strings.HasSuffix(request, "/_bulk") {
		g.noteWrite(key, body)
		return
	}
	var elements []struct {
		Ik   string          `json:"ik"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &elements); err != nil {
		g.t.Error(err)
	}
	for _, e := range elements {
		if e.Ik == "" {
			g.t.Errorf("an element of a bulk has no key: %s", e.Data)
		}
		g.noteWrite(e.Ik, e.Data)
	}
}

func (g *gate) noteWrite(key string, body []byte) {
	if key == "" {
		return
	}
	if !bytes.Contains(body, []byte(`"reference":"`+key+`"`)) {
		g.t.Errorf("key %s is not the reference of %s", key, body)
	}
	if bytes.Contains(body, []byte(`"kind":"receipt"`)) {
		key += " as a receipt" // a capture is one of two
	}
	if before, known := g.bodies[key]; known && !bytes.Equal(before, body) && !g.conflicts {
		g.t.Errorf("key %s was sent with two bodies:\n%s\n%s", key, before, body)
	}
	g.bodies[key] = bytes.Clone(body)
}

// count returns how many requests there were with that method and end of the path.
func (g *gate) count(method, end string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, r := range g.requests {
		if strings.HasPrefix(r, method+" ") && strings.HasSuffix(r, end) {
			n++
		}
	}
	return n
}

// countBelow returns how many requests there were whose path begins so.
func (g *gate) countBelow(path string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, r := range g.requests {
		if _, asked, _ := strings.Cut(r, " "); strings.HasPrefix(asked, path) {
			n++
		}
	}
	return n
}

func newBooks(tb testing.TB) *books {
	tb.Helper()
	return newBooksOf(tb, ledger.Config{})
}

// newBooksOf is newBooks with settings of the sandbox ledger, which a real one has not.
func newBooksOf(tb testing.TB, c ledger.Config) *books {
	tb.Helper()
	b := &books{faults: fault.New(1), ledger: newLedgerName()}
	b.gate = &gate{t: tb, next: b.faults.Wrap(fault.Ledger, realOrSandboxOf(tb, c)), bodies: make(map[string][]byte)}
	server := httptest.NewServer(b.gate)
	tb.Cleanup(server.Close)
	tb.Cleanup(b.faults.ClearAll) // runs first: lets go of what hangs
	b.url = server.URL
	return b
}

// newLedgerName returns a name that no ledger has: a real server keeps those of earlier runs.
func newLedgerName() string { return "t" + strings.ToLower(rand.Text()[:16]) }

func realOrSandbox(tb testing.TB) http.Handler {
	tb.Helper()
	return realOrSandboxOf(tb, ledger.Config{})
}

func realOrSandboxOf(tb testing.TB, c ledger.Config) http.Handler {
	tb.Helper()
	if realLedger() {
		target, err := url.Parse(os.Getenv("DAYOF_FORMANCE_URL"))
		if err != nil {
			tb.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(target)
		proxy.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
		return proxy
	}
	pool := pgtest.New(tb, ledger.Migrate)
	log := &logBook{}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Log(log.warnings())
		}
	})
	c.Logger = slog.New(slog.NewJSONHandler(log, nil))
	return ledger.New(pool, c)
}

// realLedger says that the tests run against a real server.
func realLedger() bool { return os.Getenv("DAYOF_FORMANCE_URL") != "" }

// ledgerUnderTest names the ledger that the tests run against.
func ledgerUnderTest() string {
	if realLedger() {
		return "the server at " + os.Getenv("DAYOF_FORMANCE_URL")
	}
	return "sandbox, as of Formance " + ledger.Version
}

func (b *books) fail(tb testing.TB, f fault.Fault) {
	tb.Helper()
	if f.Rate == 0 {
		f.Rate = 1
	}
	if err := b.faults.Set(fault.Ledger, f); err != nil {
		tb.Fatal(err)
	}
}
