package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dayof/dayof/devenv/client"
)

// driveSeats sets seats from a file, sells one and looks at them.
func driveSeats(t *testing.T, u running) {
	t.Helper()
	e := decode[client.Event](t, must(t, exitDone, "event", "create", "-name", "Seated", "-start", "2030-06-01T20:00:00+02:00", "-price", "2500", "-capacity", "0",
		"-json", "-dev", u.devFile))
	file := filepath.Join(t.TempDir(), "seats.csv")
	if err := os.WriteFile(file, []byte("section,row,label,quality_rank\nHall,A,1,2\nHall,A,2,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	set := decode[[]client.Seat](t, must(t, exitDone, "event", "seats", e.ID, "-file", file, "-variant", e.Variants[0].ID, "-json", "-dev", u.devFile))
	if len(set) != 2 || set[0].State != "free" || set[0].ID == "" {
		t.Errorf("event seats -file: %+v", set)
	}
	sale := decode[client.Sale](t, must(t, exitDone, "sell", "-event", e.ID, "-json", "-dev", u.devFile))
	if len(sale.Tickets) != 1 || sale.Tickets[0].Seat != "Hall, A, 2" {
		t.Errorf("sell: %+v", sale.Tickets)
	}
	if text := must(t, exitDone, "event", "seats", e.ID, "-section", "Hall", "-dev", u.devFile); !strings.Contains(text, "Hall  row A  seat 2  rank 1  sold  "+sale.OrderID) {
		t.Errorf("event seats: %s", text)
	}
	must(t, exitFailed, "event", "seats", "nothing00000000000000", "-dev", u.devFile)
	if err := os.WriteFile(file, []byte("colour\nred\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, exitUsage, "event", "seats", e.ID, "-file", file, "-dev", u.devFile)
}
