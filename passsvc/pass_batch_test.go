package passsvc_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/devenv/sandbox/apns"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/passsvc"
)

// factor is how much larger than by default crowds are; 40 gives the sizes of a stadium.
func factor(tb testing.TB) int {
	tb.Helper()
	text := os.Getenv("DAYOF_TEST_SCALE")
	if text == "" {
		return 1
	}
	factor, err := strconv.Atoi(text)
	if err != nil || factor < 1 {
		tb.Fatalf("DAYOF_TEST_SCALE: %q is no factor", text)
	}
	return factor
}

// crowd issues the passes of n tickets, with one device each, in orders of 500.
func (r *replica) crowd(tb testing.TB, n int) []*passv1.Pass {
	tb.Helper()
	var all []*passv1.Pass
	for from := 0; from < n; from += 500 {
		req := issueRequest(fmt.Sprintf("Order%016d", from), from+1, min(500, n-from))
		res, err := r.client.IssuePasses(withKey(tb.Context()), req)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, res.GetPasses()...)
	}
	// As register does it, in one statement: the front door is for other tests.
	_, err := r.pool.Exec(tb.Context(), `insert into registrations (device_id, pass_type, serial, push_token, register_time)
		select 'device' || id, pass_type, serial, lpad(to_hex(id), 64, '0'), now() from passes`)
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// issueRequest is that of an order with count tickets, from number first on.
func issueRequest(order string, first, count int) *passv1.IssuePassesRequest {
	req := &passv1.IssuePassesRequest{OrderId: order}
	for i := range count {
		req.Passes = append(req.Passes, newContent(first+i))
	}
	return req
}

func (r *replica) batch(tb testing.TB, id string) *passv1.PassBatch {
	tb.Helper()
	res, err := r.client.GetPassBatch(tb.Context(), &passv1.GetPassBatchRequest{PassBatchId: id})
	if err != nil {
		tb.Fatal(err)
	}
	return res.GetBatch()
}

// reschedule moves the event of all passes.
func (r *replica) reschedule(ctx context.Context, tb testing.TB) *passv1.PassBatch {
	tb.Helper()
	event := newContent(1).GetEvent()
	event.StartTime, event.EndTime, event.DoorsTime = at(2027, 6, 19, 18, 0), at(2027, 6, 19, 22, 0), nil
	res, err := r.client.BatchUpdatePasses(ctx, &passv1.BatchUpdatePassesRequest{
		EventId: eventID, Event: event, Fields: map[string]string{"gate": "North"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return res.GetBatch()
}

func (r *replica) done(tb testing.TB, id string) *passv1.PassBatch {
	tb.Helper()
	until(tb, "batch is done", func() bool { return r.batch(tb, id).GetState() == passv1.PassBatchState_PASS_BATCH_STATE_DONE })
	return r.batch(tb, id)
}

// TestUnreadablePassStopsNoBatch changes all passes of an event of which one cannot be read: the others are changed, and people are
// told of that one.
func TestUnreadablePassStopsNoBatch(t *testing.T) {
	t.Parallel()
	_, useAPNs := newAPNs(t)
	r := newService(t, useAPNs).start(t)
	passes := r.issue(t, 3)
	if _, err := r.pool.Exec(t.Context(), `update passes set content = jsonb_set(content, '{event}', '5') where serial = $1`, passes[0].GetSerial()); err != nil {
		t.Fatal(err)
	}
	batch := r.done(t, r.reschedule(withKey(t.Context()), t).GetId())
	if batch.GetVisitedPassCount() != 3 || batch.GetChangedPassCount() != 2 {
		t.Errorf("visited %d, changed %d", batch.GetVisitedPassCount(), batch.GetChangedPassCount())
	}
	var alerts int
	err := r.pool.QueryRow(t.Context(), "select count(*) from alerts where kind = 'pass_unreadable' and subject = $1", passes[0].GetSerial()).Scan(&alerts)
	if err != nil || alerts != 1 {
		t.Errorf("%d alerts, %v", alerts, err)
	}
}

func TestBatchUpdatePasses(t *testing.T) {
	t.Parallel()

	t.Run("all passes change once, all devices hear once", func(t *testing.T) {
		t.Parallel()
		server, useAPNs := newAPNs(t)
		r := newService(t, useAPNs, func(c *passsvc.Config) { c.BatchChunk = 100 }).start(t)
		n := 1000 * factor(t)
		passes := r.crowd(t, n)
		began := clock.System{}.Now()
		batch := r.reschedule(withKey(t.Context()), t)
		if batch.GetTotalPassCount() != int64(n) || batch.GetState() != passv1.PassBatchState_PASS_BATCH_STATE_RUNNING {
			t.Errorf("%v", batch)
		}
		end := r.done(t, batch.GetId())
		t.Logf("%d passes changed in %v", n, clock.System{}.Now().Sub(began))
		if end.GetVisitedPassCount() != int64(n) || end.GetChangedPassCount() != int64(n) || end.GetEndTime() == nil {
			t.Errorf("%v", end)
		}
		r.settled(t)
		t.Logf("%d devices notified after %v", n, clock.System{}.Now().Sub(began))
		if pushed := r.batch(t, batch.GetId()).GetPushedCount(); pushed != int64(n) || accepted(server) != n {
			t.Errorf("%d pushes counted, %d accepted", pushed, accepted(server))
		}
		if connections := server.Connections(); connections.Total != 1 {
			t.Errorf("%+v, want one that stays", connections)
		}
		if bad := r.count(t, "select count(*) from passes where revision <> 2 or content->'staff'->>'gate' <> 'North' or content->'event'->>'start_time' <> '2027-06-19T18:00:00Z'"); bad != 0 {
			t.Errorf("%d passes are not as they should be", bad)
		}
		revisions, err := r.client.ListPassRevisions(t.Context(), &passv1.ListPassRevisionsRequest{PassSerial: passes[0].GetSerial()})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, c := range revisions.GetRevisions()[0].GetChanges() {
			got[c.GetPath()] = c.GetOldValue() + " -> " + c.GetNewValue()
		}
		want := map[string]string{
			"event.start_time": "2027-06-18T18:30:00Z -> 2027-06-19T18:00:00Z", "event.end_time": "2027-06-18T22:00:00Z -> 2027-06-19T22:00:00Z",
			"event.doors_time": "2027-06-18T17:00:00Z -> ", "staff.gate": " -> North",
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || revisions.GetRevisions()[0].GetOrigin() != "batch" {
			t.Errorf("%v", revisions)
		}
		again := r.done(t, r.reschedule(withKey(t.Context()), t).GetId())
		if again.GetChangedPassCount() != 0 || again.GetVisitedPassCount() != int64(n) {
			t.Errorf("the same again: %v", again)
		}
	})

	t.Run("a retry is the same batch", func(t *testing.T) {
		t.Parallel()
		r := newService(t)
		r.crowd(t, 3)
		ctx := rpc.WithIdempotencyKey(t.Context(), "reschedule/1")
		if a, b := r.reschedule(ctx, t), r.reschedule(ctx, t); a.GetId() != b.GetId() {
			t.Errorf("%v, %v", a, b)
		}
	})

	t.Run("cancel stops it after its chunk, changed passes stay changed", func(t *testing.T) {
		t.Parallel()
		r := newService(t, func(c *passsvc.Config) { c.BatchChunk = 10 })
		r.crowd(t, 500)
		batch := r.reschedule(withKey(t.Context()), t)
		r.start(t)
		until(t, "progress", func() bool { return r.batch(t, batch.GetId()).GetVisitedPassCount() > 0 })
		res, err := r.client.CancelPassBatch(withKey(t.Context()), &passv1.CancelPassBatchRequest{PassBatchId: batch.GetId()})
		if err != nil {
			t.Fatal(err)
		}
		canceled := res.GetBatch()
		if canceled.GetState() != passv1.PassBatchState_PASS_BATCH_STATE_CANCELED || canceled.GetVisitedPassCount() >= 500 {
			t.Errorf("%v", canceled)
		}
		other := r.done(t, r.note(t, "after"))
		if other.GetVisitedPassCount() != 500 {
			t.Errorf("%v", other)
		}
		if now := r.batch(t, batch.GetId()); now.GetVisitedPassCount() != canceled.GetVisitedPassCount() {
			t.Errorf("it went on: %v", now)
		}
		if n := r.count(t, "select count(*) from passes where content->'staff'->>'gate' = 'North'"); int64(n) != canceled.GetChangedPassCount() {
			t.Errorf("%d changed passes, the batch says %d", n, canceled.GetChangedPassCount())
		}
		if _, err := r.client.CancelPassBatch(withKey(t.Context()), &passv1.CancelPassBatchRequest{PassBatchId: batch.GetId()}); err != nil {
			t.Errorf("cancel again: %v", err)
		}
	})

	t.Run("two batches of one event at once both reach every pass", func(t *testing.T) {
		t.Parallel()
		r := newService(t, func(c *passsvc.Config) { c.BatchChunk = 10 }).start(t)
		other := newReplica(t, r.pool, r.clock, func(c *passsvc.Config) { c.BatchChunk = 10 }).start(t)
		r.crowd(t, 200)
		first, second := r.reschedule(withKey(t.Context()), t), other.note(t, "Bring an umbrella")
		r.done(t, first.GetId())
		r.done(t, second)
		if n := r.count(t, "select count(*) from passes where content->'staff'->>'gate' = 'North' and content->'staff'->>'note' = 'Bring an umbrella' and revision = 3"); n != 200 {
			t.Errorf("%d passes have both", n)
		}
	})

	t.Run("problems", func(t *testing.T) {
		t.Parallel()
		r := newService(t)
		_, err := r.client.BatchUpdatePasses(withKey(t.Context()), &passv1.BatchUpdatePassesRequest{EventId: eventID, Fields: map[string]string{"gate": "B"}})
		if problem.Reason(err) != "EVENT_HAS_NO_PASSES" || problem.Code(err) != connect.CodeFailedPrecondition {
			t.Error(err)
		}
		for name, req := range map[string]*passv1.BatchUpdatePassesRequest{
			"no change":     {EventId: eventID},
			"unknown field": {EventId: eventID, Fields: map[string]string{"color": "red"}},
			"other event":   {EventId: "Event0000000000000002", Event: newContent(1).GetEvent()},
		} {
			if _, err := r.client.BatchUpdatePasses(withKey(t.Context()), req); problem.Reason(err) != problem.ReasonInvalidField {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err = r.client.GetPassBatch(t.Context(), &passv1.GetPassBatchRequest{PassBatchId: "AAAAAAAAAAAAAAAAAAAAA"})
		if problem.Reason(err) != "PASS_BATCH_NOT_FOUND" {
			t.Error(err)
		}
		_, err = r.client.CancelPassBatch(withKey(t.Context()), &passv1.CancelPassBatchRequest{PassBatchId: "AAAAAAAAAAAAAAAAAAAAA"})
		if problem.Reason(err) != "PASS_BATCH_NOT_FOUND" {
			t.Error(err)
		}
	})
}

// note sets the note of all passes and returns the batch's id.
func (r *replica) note(tb testing.TB, note string) string {
	tb.Helper()
	res, err := r.client.BatchUpdatePasses(withKey(tb.Context()), &passv1.BatchUpdatePassesRequest{EventId: eventID, Fields: map[string]string{"note": note}})
	if err != nil {
		tb.Fatal(err)
	}
	return res.GetBatch().GetId()
}

// runningClock starts at the tests' day and goes on as the machine's does.
type runningClock struct{ started time.Time }

func newRunningClock() runningClock { return runningClock{clock.System{}.Now()} }

// Now implements clock.Clock.
func (c runningClock) Now() time.Time { return testNow.Add(clock.System{}.Now().Sub(c.started)) }

// TestPushRate limits what a crowd's pushes do to APNs.
func TestPushRate(t *testing.T) {
	t.Parallel()
	server, useAPNs := newAPNs(t, func(c *apns.Config) { c.Clock = newRunningClock() })
	r := newService(t, useAPNs, func(c *passsvc.Config) { c.PushRate = 50 }).start(t)
	r.crowd(t, 120)
	r.done(t, r.note(t, "x"))
	r.settled(t)
	// Claims of at most 50 leave at once, and each is followed by the time that so many may take: all but the last.
	pushes := server.Pushes()
	if len(pushes) != 120 {
		t.Fatalf("%d pushes", len(pushes))
	}
	if took := pushes[119].Time.Sub(pushes[0].Time); took < 1400*time.Millisecond {
		t.Errorf("120 pushes within %v, at 50 a second", took)
	}
}
