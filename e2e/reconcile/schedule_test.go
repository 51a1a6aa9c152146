package reconcile

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/e2e/e2etest"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// TestReconcileExcusesWorkInFlight compares while a sale waits for the ledger: nothing is reported, and the run notes that it
// will check again; when the sale is booked, all agree.
func TestReconcileExcusesWorkInFlight(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, e2etest.OnDemand)
	system := client.NewClient(m.File)
	e2etest.SellIn(t, system, "EUR", 4450)
	cart := e2etest.Start(t, system, e2etest.NewVariant(t, system, 4450, 10), 1)
	if err := m.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.Refuse, Rate: 1, Match: "POST"}); err != nil {
		t.Fatal(err)
	}
	if err := system.Pay(e2etest.Within(t, time.Minute), cart, client.ViaWebhook); err != nil {
		t.Fatal(err)
	}
	e2etest.WaitForHit(t, m)
	if run := assertAgree(t, system); run.GetInFlightCount() == 0 {
		t.Errorf("nothing is in flight: %v", run)
	}
	m.Sandbox.Faults.Clear(fault.Ledger)
	if _, err := system.AwaitFee(e2etest.Within(t, time.Minute), cart.OrderID); err != nil {
		t.Fatal(err)
	}
	if run := assertAgree(t, system); run.GetInFlightCount() != 0 {
		t.Errorf("still in flight: %v", run)
	}
}

// TestReconcileBySchedule moves the clock over minutes and midnight, with two replicas: every span is compared once, the
// mistake of a day is reported by mail with a file, and nothing that has not settled is compared.
func TestReconcileBySchedule(t *testing.T) {
	t.Parallel()
	noon := clock.System{}.Now().Truncate(24 * time.Hour).Add(12 * time.Hour)
	clk := clock.NewFake(noon)
	c := e2etest.Config()
	c.Program, c.Clock = "", clk // a process has a clock of its own
	c.Settings = map[string]string{
		"DAYOF_LEDGER_RECONCILE_REPORT_TO": "books@example.org, chief@example.org", "DAYOF_LEDGER_RECONCILE_RECHECK_DELAY": "300ms",
	}
	m, err := e2etest.Begin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	system := client.NewClient(m.File)
	p := newPlant(t, m)
	awaitRuns(t, system, ledgerv1.RunKind_RUN_KIND_DAILY, 1) // of the day before: whoever starts catches up
	awaitRuns(t, system, ledgerv1.RunKind_RUN_KIND_CONTINUOUS, 1)
	good, bad := e2etest.SellIn(t, system, "EUR", 4450), e2etest.SellIn(t, system, "EUR", 4450)
	t.Log("good is", good.OrderID)
	mistake := p.orderWithoutPosting(bad)

	p.awaitTicks()
	clk.Advance(10 * time.Minute) // two further ticks, of which the second counts; nothing has settled
	if last := awaitRuns(t, system, ledgerv1.RunKind_RUN_KIND_CONTINUOUS, 2); last.GetOrderLineCount() != 0 || last.GetDifferenceCount() != 0 {
		t.Errorf("what had not settled was compared: %v", last)
	}
	p.awaitTicks()
	clk.Advance(15 * time.Minute) // further than one interval: the run begins where the last one ended
	if last := awaitRuns(t, system, ledgerv1.RunKind_RUN_KIND_CONTINUOUS, 3); last.GetOrderLineCount() != 2 || last.GetOpenedCount() != 1 {
		t.Errorf("the continuous run reports %v", last)
	}
	p.awaitTicks()
	clk.Set(noon.Add(12*time.Hour + 20*time.Minute))
	daily := awaitRuns(t, system, ledgerv1.RunKind_RUN_KIND_DAILY, 2)
	if daily.GetOrderLineCount() != 2 || daily.GetDifferenceCount() != 1 || daily.GetOpenedCount() != 0 || daily.GetUntilTime().AsTime() != noon.Add(12*time.Hour) {
		t.Errorf("the daily run reports %v", daily)
	}
	awaitReport(t, system, "Books of "+noon.AddDate(0, 0, -1).Format(time.DateOnly)+": all agree", "No difference is open", "difference_id,kind,subject")
	awaitReport(t, system, "Books of "+noon.Format(time.DateOnly)+": 1 open differences", "order_without_posting "+mistake.subject,
		",order_without_posting,"+mistake.subject+",open,"+bad.OrderID)
	assertOnce(t, p)
}

// awaitTicks waits until no tick's job is under way: a tick that comes meanwhile would be passed over.
func (p plant) awaitTicks() {
	p.t.Helper()
	ctx := e2etest.Within(p.t, time.Minute)
	for {
		var left int
		err := p.copies.QueryRow(ctx, `select count(*) from river_job where kind like 'periodic/%' and state not in ('completed', 'cancelled', 'discarded')`).Scan(&left)
		if err != nil {
			p.t.Fatal(err)
		}
		if left == 0 {
			return
		}
		e2etest.Pause(ctx)
	}
}

// awaitRuns waits until there are that many runs of a kind, all of them done, and returns the last one.
func awaitRuns(t *testing.T, system *client.Client, kind ledgerv1.RunKind, count int) *ledgerv1.Run {
	t.Helper()
	ctx := e2etest.Within(t, 3*time.Minute)
	for {
		res, err := system.Books.ListReconciliationRuns(ctx, &ledgerv1.ListReconciliationRunsRequest{Kind: kind})
		if err != nil {
			t.Fatal(err)
		}
		done := 0
		for _, run := range res.GetRuns() {
			if run.GetState() == ledgerv1.RunState_RUN_STATE_DONE {
				done++
			}
		}
		if done == count && len(res.GetRuns()) == count {
			return res.GetRuns()[0]
		}
		if ctx.Err() != nil || done > count {
			t.Fatalf("want %d runs: %v", count, res.GetRuns())
		}
		e2etest.Pause(ctx)
	}
}

// awaitReport waits for a mail with that subject, and checks for texts in its body and in its file.
func awaitReport(t *testing.T, system *client.Client, subject, text, file string) {
	t.Helper()
	type attachment struct{ Filename, Content string }
	type message struct {
		To            []string `json:"to"`
		Subject, Text string
		Parts         []attachment
	}
	ctx := e2etest.Within(t, time.Minute)
	for {
		res, err := system.HTTP.Get(system.File.Sandbox.MailLogURL)
		if err != nil {
			t.Fatal(err)
		}
		var all []message
		err = json.NewDecoder(res.Body).Decode(&all)
		if closeErr := res.Body.Close(); err != nil || closeErr != nil {
			t.Fatal(err, closeErr)
		}
		for _, mail := range all {
			if mail.Subject != subject {
				continue
			}
			if len(mail.To) != 2 || !strings.Contains(mail.Text, text) {
				t.Errorf("the report to %v says:\n%s", mail.To, mail.Text)
			}
			if !slices.ContainsFunc(mail.Parts, func(part attachment) bool {
				return strings.HasSuffix(part.Filename, ".csv") && strings.Contains(part.Content, file)
			}) {
				t.Errorf("no file has %s: %v", file, mail.Parts)
			}
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("no mail %q came: %+v", subject, all)
		}
		e2etest.Pause(ctx)
	}
}

// assertOnce fails the test if two replicas made a run of one span.
func assertOnce(t *testing.T, p plant) {
	t.Helper()
	var twice int
	err := p.copies.QueryRow(e2etest.Within(t, time.Minute), `select count(*) from (select from reconcile_runs group by kind, from_time having count(*) > 1) as twice`).Scan(&twice)
	if err != nil {
		t.Fatal(err)
	}
	if twice != 0 {
		t.Errorf("%d spans were compared twice", twice)
	}
	var left int
	if err := p.copies.QueryRow(e2etest.Within(t, time.Minute), `select count(*) from reconcile_records`).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Errorf("%d notes are left of runs that ended", left)
	}
}
