package deadletter_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/deadletter"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestInsert is about letters and their alerts; package jobs tests how jobs become letters and letters jobs.
func TestInsert(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, jobs.Migrate)
	dead := func(jobID int64, kind string) deadletter.Letter {
		at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
		return deadletter.Letter{
			JobID: jobID, Kind: kind, Queue: "default", Args: json.RawMessage(`{"order_id": "o1"}`), Reason: deadletter.ReasonExhausted,
			Error: "last", Errors: json.RawMessage(`[{"error": "first"}, {"error": "last"}]`), Attempts: 2, MaxAttempts: 3, CreatedTime: at, DeadTime: at,
		}
	}
	ended := []deadletter.Letter{dead(7, "mail"), dead(8, deadletter.PeriodicPrefix+"report"), dead(9, deadletter.PeriodicPrefix+"report")}
	for range 2 {
		if err := deadletter.Insert(t.Context(), pool, ended, "http://console/dlq/"); err != nil {
			t.Fatal(err)
		}
	}
	letters, err := deadletter.List(t.Context(), pool, deadletter.Filter{})
	if err != nil || len(letters) != 3 {
		t.Fatalf("%d letters, %v; want 3", len(letters), err)
	}
	if l := letters[0]; l.JobID != 7 || l.Kind != "mail" || string(l.Args) != `{"order_id": "o1"}` || l.Error != "last" || l.Attempts != 2 || l.MaxAttempts != 3 {
		t.Errorf("letter %+v", l)
	}
	open, err := alert.ListOpen(t.Context(), pool, 10)
	if err != nil || len(open) != 2 {
		t.Fatalf("%d alerts, %v; want one of the letter and one of the periodic kind", len(open), err)
	}
	if a := open[0]; a.Kind != deadletter.AlertKind || a.Subject != "1" || a.Link != "http://console/dlq/1" || a.Facts["job_kind"] != "mail" {
		t.Errorf("alert %+v", a)
	}
	if open[1].Subject != "periodic/report" {
		t.Errorf("alert %+v", open[1])
	}

	errUndone := errors.New("undone")
	err = deadletter.Retry(t.Context(), pool, letters[0].ID, func(context.Context, pgx.Tx, deadletter.Letter) (int64, error) { return 0, errUndone })
	if !errors.Is(err, errUndone) {
		t.Errorf("a failed retry: %v", err)
	}
	if err := deadletter.Dismiss(t.Context(), pool, letters[0].ID, "known"); err != nil {
		t.Fatal(err)
	}
	if err := deadletter.Dismiss(t.Context(), pool, letters[0].ID, "known"); !errors.Is(err, deadletter.ErrClosed) {
		t.Errorf("second dismissal: %v", err)
	}
	if err := deadletter.Dismiss(t.Context(), pool, 999, ""); !errors.Is(err, deadletter.ErrNotFound) {
		t.Errorf("no such letter: %v", err)
	}
	if open, err = alert.ListOpen(t.Context(), pool, 10); err != nil || len(open) != 1 {
		t.Errorf("%d open alerts, %v; want 1", len(open), err)
	}
}
