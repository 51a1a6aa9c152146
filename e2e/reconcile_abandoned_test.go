package e2e

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// TestReconcileAfterCancelledJob cancels the job of a continuous run, as an operator may: the run fails, people are told, and the
// next run compares the same span and ends the alert.
func TestReconcileAfterCancelledJob(t *testing.T) {
	t.Parallel()
	m := newCluster(t, 1, map[string]string{"DAYOF_LEDGER_RECONCILE_INTERVAL": "1s", "DAYOF_LEDGER_RECONCILE_SETTLE": "1s"})
	system := client.NewClient(m.File)
	if err := m.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.Refuse, Rate: 1, Match: "GET"}); err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 2*time.Minute)
	conn, err := pgx.Connect(ctx, m.File.DatabaseURLs["ledger"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(within(t, time.Minute)) })
	var runID string
	for runID == "" {
		rows, err := conn.Query(ctx, `update river_job set state = 'cancelled', finalized_at = now()
			where kind = 'reconcile' and state = 'retryable' and args ->> 'run_id' in (select id from reconcile_runs where kind = $1)
			returning args ->> 'run_id'`, ledgerv1.RunKind_RUN_KIND_CONTINUOUS)
		if err != nil {
			t.Fatal(err)
		}
		cancelled, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if len(cancelled) > 0 {
			runID = cancelled[0]
		}
		pause(ctx)
	}
	run := awaitRunEnd(t, system, runID)
	if run.GetState() != ledgerv1.RunState_RUN_STATE_FAILED || run.GetError() == "" {
		t.Errorf("the run without a job is %v", run)
	}
	open := func() (n int) {
		err := conn.QueryRow(ctx, `select count(*) from alerts where kind = 'reconcile_run_failed' and subject = 'continuous' and resolved_time is null`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if open() != 1 {
		t.Error("nobody was told that the run failed")
	}
	m.Sandbox.Faults.Clear(fault.Ledger)
	for open() != 0 {
		pause(ctx)
	}
}

// awaitRunEnd waits until a run has ended.
func awaitRunEnd(t *testing.T, system *client.Client, runID string) *ledgerv1.Run {
	t.Helper()
	ctx := within(t, time.Minute)
	for {
		res, err := system.Books.GetReconciliationRun(ctx, &ledgerv1.GetReconciliationRunRequest{RunId: runID})
		if err != nil {
			t.Fatalf("run %s has not ended: %v", runID, err)
		}
		if res.GetRun().GetState() != ledgerv1.RunState_RUN_STATE_RUNNING {
			return res.GetRun()
		}
		pause(ctx)
	}
}
