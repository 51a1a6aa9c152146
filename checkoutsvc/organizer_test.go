package checkoutsvc_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestOrganizerHasOneName refuses an event whose organiser is known under another name: buyers, passes and statements would show
// both.
func TestOrganizerHasOneName(t *testing.T) {
	w := newHarness(t)
	now := clock.System{}.Now()
	create := func(key, organizer, name string) error {
		_, err := w.replicas[0].catalog.CreateEvent(w.keyed(key), &checkoutv1.CreateEventRequest{
			OrganizerId: organizer, OrganizerName: name, Name: "Nachtkonzert", Venue: &checkoutv1.Venue{Name: "Halle", TimeZone: "Europe/Berlin"},
			StartTime: timestamppb.New(now.Add(time.Hour)), EndTime: timestamppb.New(now.Add(2 * time.Hour)),
		})
		return err
	}
	if err := create("same", organizerID, "Musikhaus"); err != nil {
		t.Errorf("another event of the same organiser: %v", err)
	}
	err := create("other", organizerID, "Musikhaus GmbH")
	if problem.Reason(err) != "INVALID_FIELD" || !strings.Contains(err.Error(), "organizer_name") || !strings.Contains(err.Error(), `"Musikhaus"`) {
		t.Errorf("another name of a known organiser: %v", err)
	}
	if err := create("new", "organizer0000000000two", "Musikhaus GmbH"); err != nil {
		t.Errorf("another organiser: %v", err)
	}
	if n := w.count("select count(distinct organizer_name) from events where organizer_id = $1", organizerID); n != 1 {
		t.Errorf("an organiser has %d names", n)
	}
}
