package alert_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func count(tb testing.TB, pool *pgxpool.Pool, query string) int {
	tb.Helper()
	var n int
	if err := pool.QueryRow(tb.Context(), query).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

func TestAlerts(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, jobs.Migrate)
	var sent []string
	deliver := func() error {
		return alert.Deliver(t.Context(), pool, func(_ context.Context, a alert.Alert) error {
			word := " begins "
			if a.ResolvedTime != nil {
				word = " ends "
			}
			if sent = append(sent, a.Kind+word+a.Subject); len(sent) == 1 {
				return errors.New("the pager is down")
			}
			return nil
		})
	}
	raise := func(subject string) {
		t.Helper()
		facts := map[string]any{"order_id": subject}
		if err := alert.Raise(t.Context(), pool, "ledger_blocked", subject, facts, "http://console/orders/"+subject); err != nil {
			t.Fatal(err)
		}
	}

	raise("o1")
	raise("o1")
	open, err := alert.ListOpen(t.Context(), pool, 10)
	if err != nil || len(open) != 1 || open[0].Facts["order_id"] != "o1" || open[0].Link != "http://console/orders/o1" {
		t.Fatalf("open %+v, %v; want one", open, err)
	}
	errUndone := errors.New("undone")
	err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if err := alert.Raise(t.Context(), tx, "ledger_blocked", "o2", nil, ""); err != nil {
			return err
		}
		return errUndone
	})
	if !errors.Is(err, errUndone) {
		t.Fatal(err)
	}

	if err := deliver(); err == nil {
		t.Error("the first delivery fails without an error")
	}
	if n := count(t, pool, `SELECT count(*) FROM alerts WHERE next_send_time - now() < interval '25 seconds'`); n != 1 {
		t.Error("the second attempt waits for the lease of the first, not for its backoff")
	}
	exec := func(query string) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	exec(`UPDATE alerts SET next_send_time = now()`)
	if err := deliver(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, pool, `SELECT count(*) FROM alerts WHERE sent_time IS NOT NULL`); n != 1 {
		t.Error("the alert is not sent at the second attempt")
	}
	for range 2 { // resolving what is not open is fine
		if err := alert.Resolve(t.Context(), pool, "ledger_blocked", "o1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := deliver(); err != nil {
		t.Fatal(err)
	}
	// A replica that checks again much later finds nothing to send.
	exec(`UPDATE alerts SET next_send_time = now() - interval '1 hour'`)
	raise("o1") // the next incident
	for range 2 {
		if err := deliver(); err != nil {
			t.Fatal(err)
		}
	}
	raise("short") // and it ends before anybody is told
	if err := alert.Resolve(t.Context(), pool, "ledger_blocked", "short"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := deliver(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"ledger_blocked begins o1", "ledger_blocked begins o1", "ledger_blocked ends o1", "ledger_blocked begins o1", "ledger_blocked ends short",
	}
	if !slices.Equal(sent, want) {
		t.Errorf("sender was called for %q, want %q", sent, want)
	}
	if n := count(t, pool, `SELECT count(*) FROM alerts`); n != 3 {
		t.Errorf("%d alerts, want 2: what was rolled back does not exist", n)
	}
}

// TestDeliveryThatHangsStopsNoOther has a receiver that never answers to the first alerts of a batch.
func TestDeliveryThatHangsStopsNoOther(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, jobs.Migrate)
	for i := range 8 {
		subject := fmt.Sprint("good ", i)
		if i < 4 {
			subject = fmt.Sprint("hangs ", i)
		}
		if err := alert.Raise(t.Context(), pool, "ledger_blocked", subject, nil, ""); err != nil {
			t.Fatal(err)
		}
	}
	var delivered atomic.Int32
	allDelivered := make(chan struct{})
	err := alert.Deliver(t.Context(), pool, func(ctx context.Context, a alert.Alert) error {
		if strings.HasPrefix(a.Subject, "good") {
			if delivered.Add(1) == 4 {
				close(allDelivered)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-allDelivered:
			return errors.New("no answer")
		}
	})
	if err == nil {
		t.Error("deliveries that fail without an error")
	}
	if n := delivered.Load(); n != 4 {
		t.Errorf("%d of 4 others were delivered in the same round", n)
	}
	if n := count(t, pool, `SELECT count(*) FROM alerts WHERE sent_time IS NOT NULL`); n != 4 {
		t.Errorf("%d alerts are marked as sent, want 4", n)
	}
}
