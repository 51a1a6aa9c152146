package schedule

import (
	"strings"

	"github.com/dayof/dayof/devenv/sandbox/mail"
	"github.com/dayof/dayof/e2e/e2etest"
	"github.com/dayof/dayof/internal/timezone"
)

// checkMails wants the last calendar file of each order, and all of later sales, to have the new time, and each order of before to be told
// once.
func (w *moving) checkMails(later []string) {
	w.t.Helper()
	zone, err := timezone.Load("Europe/Berlin")
	if err != nil {
		w.t.Fatal(err)
	}
	start := "DTSTART;TZID=Europe/Berlin:" + w.start.In(zone).Format("20060102T150405")
	var messages []mail.Message
	w.getJSON(w.m.File.Sandbox.MailLogURL, &messages)
	last, notices := map[string]string{}, map[string]int{} // by order
	for _, m := range messages {
		for _, p := range m.Parts {
			if !strings.HasPrefix(p.ContentType, "text/calendar") {
				continue
			}
			_, rest, _ := strings.Cut(p.Content, "UID:")
			orderID, _, _ := strings.Cut(rest, "@")
			last[orderID] = p.Content
			if strings.HasSuffix(m.Subject, "has a new date") {
				notices[orderID]++
			}
		}
	}
	rows, err := e2etest.Connect(w.t, w.m, "checkout").Query(w.t.Context(), `select id from orders where event_id = $1 and fulfilment = 'completed'`, w.variant.GetEventId())
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	orders := 0
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			w.t.Fatal(err)
		}
		orders++
		if !strings.Contains(last[id], start) {
			w.t.Errorf("the last calendar file of order %s does not have the new time: %q", id, last[id])
		}
		if notices[id] > 1 {
			w.t.Errorf("the buyer of order %s was told %d times", id, notices[id])
		}
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("%d orders, %d buyers told, %d later sales", orders, len(notices), len(later))
	if len(notices) < soldMax/2 {
		w.t.Errorf("%d buyers were told", len(notices))
	}
}
