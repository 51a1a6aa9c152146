package passsvc_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
)

// show has all passes of the event show a start and a schedule, and returns the batch as it ended.
func (r *replica) show(tb testing.TB, start *timestamppb.Timestamp, number int64, canceled bool) *passv1.PassBatch {
	tb.Helper()
	event := newContent(1).GetEvent()
	event.DoorsTime, event.StartTime, event.EndTime, event.ScheduleNumber, event.Canceled = nil, start, at(2027, 12, 31, 0, 0), number, canceled
	res, err := r.client.BatchUpdatePasses(withKey(tb.Context()), &passv1.BatchUpdatePassesRequest{EventId: eventID, Event: event})
	if err != nil {
		tb.Fatal(err)
	}
	return r.done(tb, res.GetBatch().GetId())
}

// TestScheduleNumbers has schedules of an event arrive late and twice: a pass shows the newest, and its device hears of each once.
func TestScheduleNumbers(t *testing.T) {
	t.Parallel()
	r := newService(t).start(t)
	first := newContent(1)
	first.Event.ScheduleNumber = 1
	res, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{first}})
	if err != nil {
		t.Fatal(err)
	}
	pass := res.GetPasses()[0]
	want := func(what string, revision int64, texts ...string) {
		t.Helper()
		got, err := r.client.GetPass(t.Context(), &passv1.GetPassRequest{PassSerial: pass.GetSerial()})
		if err != nil || got.GetPass().GetRevision() != revision {
			t.Errorf("%s: revision %d, %v; want %d", what, got.GetPass().GetRevision(), err, revision)
		}
		shown := readPass(t, r.fetch(t, pass).body)["pass.json"]
		for _, text := range texts {
			if !strings.Contains(shown, text) {
				t.Errorf("%s: the pass lacks %q: %s", what, text, shown)
			}
		}
	}
	const second, third = `"eventStartDate":"2027-07-02T20:00:00+02:00"`, `"eventStartDate":"2027-07-03T20:00:00+02:00"`
	r.show(t, at(2027, 7, 2, 18, 0), 2, false)
	want("moved", 2, second)
	if again := r.show(t, at(2027, 7, 2, 18, 0), 2, false); again.GetChangedPassCount() != 0 {
		t.Errorf("the same schedule changed %d passes again", again.GetChangedPassCount())
	}
	r.show(t, at(2027, 7, 3, 18, 0), 3, false)
	if late := r.show(t, at(2027, 7, 2, 18, 0), 2, false); late.GetChangedPassCount() != 0 {
		t.Errorf("an older schedule changed %d passes", late.GetChangedPassCount())
	}
	want("after a late batch", 3, third)

	// A later change of the ticket that was built before the event moved.
	late := newContent(1)
	late.TicketChangeNumber, late.HolderName, late.Event.ScheduleNumber = 2, "Grace Hopper", 1
	if _, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{late}}); err != nil {
		t.Fatal(err)
	}
	want("after a late call", 4, third, "Grace Hopper")

	r.show(t, at(2027, 7, 3, 18, 0), 4, true)
	want("canceled", 5, `"voided":true`, "The event is canceled. This ticket does not admit.")
	if shown := readPass(t, r.fetch(t, pass).body)["pass.json"]; strings.Contains(shown, `"barcodes"`) {
		t.Error("the pass of a canceled event can be scanned")
	}
	// Staff who know no schedule change the venue's name: what is canceled stays so.
	r.show(t, at(2027, 7, 4, 18, 0), 0, false)
	want("after a change by staff", 6, `"voided":true`, "2027-07-04")
	if r.show(t, at(2027, 7, 2, 18, 0), 2, false).GetChangedPassCount() != 0 {
		t.Error("a change by staff lost the number of the schedule")
	}
	got, err := r.client.GetPass(t.Context(), &passv1.GetPassRequest{PassSerial: pass.GetSerial()})
	if err != nil || !got.GetPass().GetVoided() {
		t.Errorf("the pass of a canceled event is %v, %v", got, err)
	}
}
