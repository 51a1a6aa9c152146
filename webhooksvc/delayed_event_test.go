package webhooksvc

import (
	"context"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestServiceThatIsMendedLater fails each call as a faulty release would, for longer than people need to hear of it. Then the release is
// replaced: the event is applied, and nobody has to replay it.
func TestServiceThatIsMendedLater(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	var mended atomic.Bool
	w.peers.answerWith(func(peerCall) error {
		if mended.Load() {
			return nil
		}
		return problem.New(connect.CodeInternal, "INTERNAL", "bug")
	})
	for _, id := range []string{"evt_1", "evt_2"} {
		w.deliver(t, accountPath, accountSecret, intentBody(id)).must(t)
	}
	await(t, "more failures than people need", func() bool {
		w.hurry(t)
		return w.count(t, "SELECT count(*) FROM webhook_events WHERE failure_count > $1 AND state = 'received'", failuresMax+3) == 2
	})
	if n := w.delayed(t); n != 1 {
		t.Errorf("%d alerts of two events that fail alike", n)
	}
	mended.Store(true)
	for _, id := range []string{"evt_1", "evt_2"} {
		w.awaitHurried(t, id, stateApplied)
	}
	if n := w.delayed(t); n != 0 {
		t.Errorf("%d alerts of events that ended well", n)
	}
}

// TestEventOutlivesItsDatabase has the inbox refuse every change: people hear that events wait, and the event is applied when the
// inbox takes changes again.
func TestEventOutlivesItsDatabase(t *testing.T) {
	t.Parallel()
	w := newQuietHarness(t, nil)
	w.deliver(t, accountPath, accountSecret, intentBody("evt_1")).must(t)
	w.exec(t, "UPDATE webhook_events SET next_try_time = now() - $1::interval", 2*overdueAfter)
	w.exec(t, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no changes'; END $$")
	w.exec(t, "CREATE TRIGGER refuse BEFORE UPDATE ON webhook_events FOR EACH ROW EXECUTE FUNCTION refuse()")
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Stop(context.WithoutCancel(t.Context())) })
	await(t, "people to be told", func() bool { return w.delayed(t) == 1 })
	if got := w.row(t, "evt_1"); got.State != stateReceived {
		t.Errorf("row %+v", got)
	}
	w.exec(t, "DROP TRIGGER refuse ON webhook_events")
	w.awaitState(t, "evt_1", stateApplied)
	await(t, "the alert to close", func() bool { return w.delayed(t) == 0 })
}

// hurry lets every event be tried now.
func (w *harness) hurry(t *testing.T) {
	t.Helper()
	w.exec(t, "UPDATE webhook_events SET next_try_time = now() WHERE state IN ('received', 'deferred') AND next_try_time > now()")
	w.queue.nudge()
}

// awaitHurried waits until the event is in the state, without the waits between its tries.
func (w *harness) awaitHurried(t *testing.T, eventID, state string) {
	t.Helper()
	await(t, eventID+" to be "+state, func() bool {
		w.hurry(t)
		return w.row(t, eventID).State == state
	})
}

// delayed counts the open alerts about events that fail for long.
func (w *harness) delayed(t *testing.T) int {
	t.Helper()
	return w.count(t, "SELECT count(*) FROM alerts WHERE kind = 'webhook_event_delayed' AND resolved_time IS NULL")
}
