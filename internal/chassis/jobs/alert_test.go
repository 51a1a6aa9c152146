package jobs_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

func TestAlerts(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, jobs.Migrate)
	var sent received
	r := newRegistry(t, pool, func(config *jobs.Config) {
		config.SendAlert = func(_ context.Context, alert jobs.Alert) error {
			if sent.add(alert.Kind+" "+alert.Subject) == 1 {
				return errors.New("the pager is down")
			}
			return nil
		}
	})
	raise := func(subject string) {
		t.Helper()
		facts := map[string]any{"order_id": subject}
		if err := jobs.RaiseAlert(t.Context(), pool, "ledger_blocked", subject, facts, "http://console/orders/"+subject); err != nil {
			t.Fatal(err)
		}
	}

	raise("o1")
	raise("o1")
	open, err := r.OpenAlerts(t.Context(), 10)
	if err != nil || len(open) != 1 || open[0].Facts["order_id"] != "o1" || open[0].Link != "http://console/orders/o1" {
		t.Fatalf("open %+v, %v; want one", open, err)
	}
	errUndone := errors.New("undone")
	err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if err := jobs.RaiseAlert(t.Context(), tx, "ledger_blocked", "o2", nil, ""); err != nil {
			return err
		}
		return errUndone
	})
	if !errors.Is(err, errUndone) {
		t.Fatal(err)
	}

	start(t, r)
	eventually(t, "the alert is sent at the second try", func() bool {
		return count(t, pool, `SELECT count(*) FROM alerts WHERE sent_time IS NOT NULL AND send_attempts = 2`) == 1
	})
	if n := count(t, pool, `SELECT count(*) FROM alerts WHERE sent_time - opened_time < interval '25 seconds'`); n != 1 {
		t.Error("the second try waited for the lease of the first, not for its backoff")
	}
	for range 2 { // resolving what is not open is fine
		if err := jobs.ResolveAlert(t.Context(), pool, "ledger_blocked", "o1"); err != nil {
			t.Fatal(err)
		}
	}
	// A replica that looks again much later finds nothing to send.
	if _, err := pool.Exec(t.Context(), `UPDATE alerts SET next_send_time = now() - interval '1 hour'`); err != nil {
		t.Fatal(err)
	}
	raise("o1") // the next incident
	eventually(t, "the second incident is sent", func() bool {
		return count(t, pool, `SELECT count(*) FROM alerts WHERE sent_time IS NOT NULL`) == 2
	})
	want := []string{"ledger_blocked o1", "ledger_blocked o1", "ledger_blocked o1"}
	if got := sent.all(); len(got) != len(want) || got[2] != want[2] {
		t.Errorf("sender was called for %q, want %q", got, want)
	}
	if n := count(t, pool, `SELECT count(*) FROM alerts`); n != 2 {
		t.Errorf("%d alerts, want 2: what was rolled back does not exist", n)
	}
}
