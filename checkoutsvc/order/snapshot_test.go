package order_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// A ticket that was sold under schema 1 is read as one of today's.
func TestSnapshotOfSchema1(t *testing.T) {
	t.Parallel()
	stored, err := os.ReadFile("testdata/snapshot_1.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := order.Ticket{ID: "t1", SnapshotSchema: 1, Snapshot: stored}.ReadSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	doors := time.Date(2026, 6, 1, 17, 0, 0, 0, time.UTC)
	want := order.Snapshot{
		OrganizerName: "Hall of Music", EventName: "Spring Concert",
		Venue: order.SnapshotVenue{
			Name: "Great Hall", Address: "Am Markt 1, Berlin", TimeZone: "Europe/Berlin", Latitude: new(52.52), Longitude: new(13.405),
		},
		DoorsTime: &doors, StartTime: doors.Add(time.Hour), EndTime: doors.Add(4 * time.Hour), ProductName: "Concert", VariantName: "Balcony",
		Price: order.SnapshotPrice{Currency: "EUR", MinorUnits: 4450}, Terms: "No refunds after the start.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	today, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	again, err := order.Ticket{ID: "t1", SnapshotSchema: order.SnapshotSchema, Snapshot: today}.ReadSnapshot()
	if diff := cmp.Diff(want, again); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := (order.Ticket{SnapshotSchema: order.SnapshotSchema + 1, Snapshot: today}).ReadSnapshot(); err == nil {
		t.Error("a schema of a later release was read")
	}
}

// Snapshots of each schema so far are kept as they were stored, and are read for ever. A new schema wants a file of its own, written by
// the release that introduces it.
func TestStoredSnapshotsAreRead(t *testing.T) {
	t.Parallel()
	for schema := int32(1); schema <= order.SnapshotSchema; schema++ {
		stored, err := os.ReadFile(fmt.Sprintf("testdata/snapshot_%d.json", schema))
		if err != nil {
			t.Errorf("schema %d has no stored snapshot: %v", schema, err)
			continue
		}
		got, err := order.Ticket{ID: "t1", SnapshotSchema: schema, Snapshot: stored}.ReadSnapshot()
		if err != nil {
			t.Errorf("schema %d: %v", schema, err)
		}
		if got.EventName != "Spring Concert" || got.Venue.TimeZone != "Europe/Berlin" || got.StartTime.IsZero() || got.EndTime.IsZero() ||
			got.DoorsTime == nil || got.Price != (order.SnapshotPrice{Currency: "EUR", MinorUnits: 4450}) || got.Terms == "" ||
			got.Venue.Latitude == nil || got.ProductName == "" || got.VariantName == "" || got.OrganizerName == "" {
			t.Errorf("schema %d is read as %+v", schema, got)
		}
	}
}

// TestOrderIsNotLogged: what is known of a buyer is in no form that fmt or JSON write, which is how logs write structs.
func TestOrderIsNotLogged(t *testing.T) {
	t.Parallel()
	o := order.Order{ID: "order", BuyerName: "Erika", BuyerEmail: "erika@example.test"}
	encoded, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if logged := fmt.Sprintf("%v %+v %#v %+v %q %s", o, o, o, &o, o.BuyerEmail, encoded); strings.Contains(strings.ToLower(logged), "erika") {
		t.Errorf("the buyer is logged:\n%s", logged)
	}
}
