package webhooksvc

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// TestDatabaseAway asks Stripe to deliver again, and stores when the database is back.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	pool, err := pgdb.Open(t.Context(), server.URL("postgres"), pgdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if err := Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	w := newQuietHarness(t, func(_ *Config, d *Deps) { d.Pool = pool })
	w.pool = pool
	w.deliver(t, accountPath, accountSecret, intentBody("evt_before")).must(t)
	if err := server.Crash(); err != nil {
		t.Fatal(err)
	}
	got := w.deliver(t, accountPath, accountSecret, intentBody("evt_during"))
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("answer %d %v", got.status, got.header)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "deliveries to be stored again", func() bool {
		return w.deliver(t, accountPath, accountSecret, intentBody("evt_during")).status == http.StatusOK
	})
	if rows := w.count(t, "SELECT count(*) FROM webhook_events"); rows != 2 {
		t.Errorf("%d rows", rows)
	}
}

// TestConcurrentDuplicates delivers each of some events at the same instant, many times over: the groups of the inbox
// hold the same event twice, and meet each other.
func TestConcurrentDuplicates(t *testing.T) {
	t.Parallel()
	w := newQuietHarness(t, nil)
	const events, times = 10, 16
	var posts sync.WaitGroup
	for range times {
		for i := range events {
			posts.Go(func() {
				if got := w.deliver(t, accountPath, accountSecret, intentBody(fmt.Sprintf("evt_%d", i))); got.status != 200 {
					t.Errorf("answer %d", got.status)
				}
			})
		}
	}
	posts.Wait()
	if rows := w.count(t, "SELECT count(*) FROM webhook_events WHERE delivery_count = $1", times); rows != events {
		t.Errorf("%d rows were delivered %d times, want %d", rows, times, events)
	}
}

// statements counts what is sent to Postgres.
type statements struct {
	mu   sync.Mutex
	sent []string
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, data.SQL)
	return ctx
}

func (s *statements) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent)
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestOneStatement holds an acknowledgement to one statement outside of a transaction, which is one flush, commit
// included.
func TestOneStatement(t *testing.T) {
	t.Parallel()
	_, url := pgtest.NewNamed(t, "webhooksvc", Migrate)
	tracer := &statements{}
	pool, err := pgdb.Open(t.Context(), url, pgdb.Options{Tracers: []pgx.QueryTracer{tracer}, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w := newQuietHarness(t, func(_ *Config, d *Deps) { d.Pool = pool })
	w.deliver(t, accountPath, accountSecret, intentBody("evt_1")).must(t)
	w.deliver(t, accountPath, accountSecret, intentBody("evt_1")).must(t)
	tracer.mu.Lock()
	defer tracer.mu.Unlock()
	if len(tracer.sent) != 2 || tracer.sent[0] != insertSQL || tracer.sent[1] != insertSQL {
		t.Errorf("two deliveries sent %d statements: %q", len(tracer.sent), tracer.sent)
	}
}

// TestGroupsShareAStatement holds the database still while deliveries arrive: those that find both writers busy share one
// statement, and with it one commit.
func TestGroupsShareAStatement(t *testing.T) {
	t.Parallel()
	_, url := pgtest.NewNamed(t, "webhooksvc", Migrate)
	tracer := &statements{}
	pool, err := pgdb.Open(t.Context(), url, pgdb.Options{Tracers: []pgx.QueryTracer{tracer}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w := newQuietHarness(t, func(_ *Config, d *Deps) { d.Pool = pool })
	blocker, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Close(t.Context())
	if _, err := blocker.Exec(t.Context(), "BEGIN; LOCK TABLE webhook_events IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	waiting := w.inbox.Pending
	var senders sync.WaitGroup
	send := func(id string) {
		senders.Go(func() {
			d := delivery{endpoint: endpointAccount, source: sourceDelivery, event: event{id: id, typ: "moon.landed"}, body: []byte("{}"), receiveTime: storyTime}
			if got, err := w.inbox.store(t.Context(), d); err != nil || !got.isNew {
				t.Errorf("%s: %+v, %v", id, got, err)
			}
		})
	}
	for n := range inboxWritersMax { // one statement each
		send(fmt.Sprintf("evt_first_%d", n))
		await(t, "a writer to take it", func() bool { return waiting() == 0 && tracer.count() == n+1 })
	}
	for n := range inboxGroupMax {
		send(fmt.Sprintf("evt_%d", n))
	}
	await(t, "the others to wait", func() bool { return waiting() == inboxGroupMax })
	if _, err := blocker.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	senders.Wait()
	if got := tracer.count(); got != inboxWritersMax+1 {
		t.Errorf("%d deliveries took %d statements, want %d", inboxWritersMax+inboxGroupMax, got, inboxWritersMax+1)
	}
}

// TestEventCostsTwoStatements counts what an event costs from its delivery to its end: one statement that stores it, and one that ends
// it. Nothing is read.
func TestEventCostsTwoStatements(t *testing.T) {
	t.Parallel()
	_, url := pgtest.NewNamed(t, "webhooksvc", Migrate)
	tracer := &statements{}
	pool, err := pgdb.Open(t.Context(), url, pgdb.Options{Tracers: []pgx.QueryTracer{tracer}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w := newHarness(t, func(_ *Config, d *Deps) { d.Pool = pool })
	w.pool = pool
	w.deliver(t, accountPath, accountSecret, intentBody("evt_1")).must(t)
	w.awaitState(t, "evt_1", stateApplied)
	tracer.mu.Lock()
	sent := slices.Clone(tracer.sent)
	tracer.mu.Unlock()
	var about []string
	for _, statement := range sent {
		if strings.Contains(statement, "webhook_events") && !strings.Contains(statement, "skip locked") && !strings.Contains(strings.ToLower(statement), "select") ||
			statement == insertSQL {
			about = append(about, statement)
		}
	}
	if len(about) != 2 || about[0] != insertSQL || !strings.Contains(about[1], "EndWebhookEvent") {
		t.Errorf("an event took %d statements: %q", len(about), about)
	}
	// The second version of the row is the last: nothing claimed it between.
	if updated := w.count(t, "SELECT count(*) FROM webhook_events WHERE ctid = '(0,2)'"); updated != 1 {
		t.Error("the event's row was written more than twice")
	}
}

// TestBodyCompression wants lz4 wherever the server has it: Postgres's own method took more than half of what storing an
// event cost.
func TestBodyCompression(t *testing.T) {
	t.Parallel()
	w := newQuietHarness(t, nil)
	method := "l"
	if w.count(t, "SELECT count(*) FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY(enumvals)") == 0 {
		method = "" // of the server
	}
	var got string
	err := w.pool.QueryRow(t.Context(), "SELECT attcompression::text FROM pg_attribute WHERE attrelid = 'webhook_events'::regclass AND attname = 'body'").Scan(&got)
	if err != nil || got != method {
		t.Errorf("bodies are compressed by %q, %v; want %q", got, err, method)
	}
}
