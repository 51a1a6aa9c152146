package passsvc_test

import (
	"slices"
	"testing"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestServiceRulesReportAllViolations breaks several rules that the schema does not have, in one request each.
func TestServiceRulesReportAllViolations(t *testing.T) {
	t.Parallel()
	r := newService(t)
	want := func(err error, paths ...string) {
		t.Helper()
		var got []string
		for _, f := range problem.Fields(err) {
			got = append(got, f.Path)
		}
		if problem.Reason(err) != problem.ReasonInvalidField || !slices.Equal(got, paths) {
			t.Errorf("%v, want %q", err, paths)
		}
	}
	spoil := func(e *passv1.PassEvent) {
		latitude := 52.5
		e.TimeZone, e.Latitude, e.Longitude = "Mars/Olympus", &latitude, nil
		e.StartTime, e.EndTime = e.GetEndTime(), e.GetStartTime()
	}
	first, second := newContent(1), newContent(1)
	spoil(first.GetEvent())
	second.Event.TimeZone = "localtime"
	_, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{first, second}})
	want(err, "passes[0].event.time_zone", "passes[0].event.latitude", "passes[0].event.end_time", "passes[1].ticket_id", "passes[1].event.time_zone")

	event := newContent(1).GetEvent()
	spoil(event)
	_, err = r.client.BatchUpdatePasses(withKey(t.Context()), &passv1.BatchUpdatePassesRequest{
		EventId: "AnotherEventThanThat1", Event: event, Fields: map[string]string{"door": "3", "hat": "red", "gate": "B"},
	})
	want(err, `fields["door"]`, `fields["hat"]`, "event.id", "event.time_zone", "event.latitude", "event.end_time")

	p := r.issue(t, 1)[0]
	_, err = r.client.UpdatePass(withKey(t.Context()), &passv1.UpdatePassRequest{PassSerial: p.GetSerial(), Fields: map[string]string{"door": "3", "hat": "red"}})
	want(err, `fields["door"]`, `fields["hat"]`)
}
