package order_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
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

// TestOrderIsNotLogged: what is known of a buyer is in no form that fmt or slog write, and in what is stored.
func TestOrderIsNotLogged(t *testing.T) {
	t.Parallel()
	o := order.Order{ID: "order", BuyerName: "Erika", BuyerEmail: "erika@example.test"}
	var logged bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(handler).Info("order", slog.Any("order", o), slog.Any("pointer", &o), slog.Any("name", o.BuyerName))
	}
	fmt.Fprintf(&logged, "%v %+v %#v %+v %q", o, o, o, &o, o.BuyerEmail)
	if strings.Contains(strings.ToLower(logged.String()), "erika") {
		t.Errorf("the buyer is logged:\n%s", logged.String())
	}
	if stored, err := json.Marshal(o); err != nil || !strings.Contains(string(stored), "erika@example.test") {
		t.Errorf("stored is %s, %v", stored, err)
	}
}
