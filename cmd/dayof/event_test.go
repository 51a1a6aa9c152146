package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/dayof/dayof/devenv/client"
)

func driveEvents(t *testing.T, u running) {
	t.Helper()
	event := func(args ...string) client.Event {
		t.Helper()
		return decode[client.Event](t, must(t, exitDone, append(args, "-json", "-dev", u.devFile)...))
	}
	listed := func(args ...string) []string {
		t.Helper()
		var ids []string
		for _, e := range decode[[]client.Event](t, must(t, exitDone, append([]string{"event", "list", "-json", "-dev", u.devFile}, args...)...)) {
			ids = append(ids, e.ID)
		}
		return ids
	}
	e := event("event", "create", "-name", "My event", "-start", "2030-06-01T20:00:00+02:00", "-price", "2500", "-capacity", "7", "-draft", "-buyer-limit", "4")
	if e.Publication != "draft" || e.StartTime != "2030-06-01T18:00:00Z" || e.EndTime != "2030-06-01T21:00:00Z" || e.OrganizerID != client.DemoOrganizer ||
		e.OrganizerName == "" || len(e.Variants) != 1 || e.Variants[0].PriceMinorUnits != 2500 || e.Variants[0].Available != 7 || e.BuyerTicketLimit != 4 {
		t.Errorf("event create: %+v", e)
	}
	if slices.Contains(listed(), e.ID) || !slices.Contains(listed("-state", "draft"), e.ID) {
		t.Error("the draft is in the list of published events, or not in that of drafts")
	}
	must(t, exitFailed, "sell", "-event", e.ID, "-dev", u.devFile)
	if p := event("event", "publish", e.ID); p.Publication != "published" {
		t.Errorf("event publish: %+v", p)
	}
	must(t, exitDone, "sell", "-event", e.ID, "-dev", u.devFile)
	if a := event("event", "archive", e.ID); a.Publication != "archived" || a.Variants[0].Available != 6 {
		t.Errorf("event archive: %+v", a)
	}
	if shown := event("event", "show", e.ID); shown.Publication != "archived" {
		t.Errorf("event show: %+v", shown)
	}
	if text := must(t, exitDone, "event", "list", "-organizer", client.DemoOrganizer, "-state", "archived", "-dev", u.devFile); !strings.Contains(text, "My event") {
		t.Errorf("event list: %s", text)
	}
	p := decode[client.Promotion](t, must(t, exitDone, "promotion", "create", e.ID, "-code", "Spring", "-percent", "12.5", "-orders", "9", "-end", "2030-05-01T00:00:00+02:00",
		"-json", "-dev", u.devFile))
	if p.Code != "Spring" || p.BasisPoints != 1250 || p.OrderLimit != 9 || p.EndTime != "2030-04-30T22:00:00Z" {
		t.Errorf("promotion create: %+v", p)
	}
	if text := must(t, exitDone, "promotion", "list", e.ID, "-dev", u.devFile); !strings.Contains(text, "Spring  12.5 % off, used by 0 orders") {
		t.Errorf("promotion list: %s", text)
	}
	if p = decode[client.Promotion](t, must(t, exitDone, "promotion", "archive", p.ID, "-json", "-dev", u.devFile)); p.ArchiveTime == "" {
		t.Errorf("promotion archive: %+v", p)
	}
	must(t, exitUsage, "promotion", "create", e.ID, "-code", "Nothing", "-dev", u.devFile)
	must(t, exitUsage, "promotion", "create", e.ID, "-code", "Noon", "-percent", "5", "-end", "noon", "-dev", u.devFile)
	must(t, exitUsage, "event", "create", "-name", "No start", "-dev", u.devFile)
	must(t, exitUsage, "event", "create", "-name", "No zone", "-start", "2030-06-01 20:00", "-dev", u.devFile)
	must(t, exitUsage, "event", "list", "-state", "gone", "-dev", u.devFile)
	must(t, exitFailed, "event", "show", "nothing00000000000000", "-dev", u.devFile)
}
