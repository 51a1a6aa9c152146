package schedule

import (
	"strings"

	"github.com/dayof/dayof/devenv/sandbox/mail"
	"github.com/dayof/dayof/e2e/e2etest"
	"github.com/dayof/dayof/internal/timezone"
)

// mailWindow is how many of these mails checkoutsvc sends at once. Those may be sent again after it died, with the same Message-ID.
const mailWindow = 4

// checkMails wants the last calendar file of each order, and all of later sales, to have the new time, and each order of before to be told
// once, but for those in the crash window.
func (w *moving) checkMails(later []string) {
	w.t.Helper()
	zone, err := timezone.Load("Europe/Berlin")
	if err != nil {
		w.t.Fatal(err)
	}
	start := "DTSTART;TZID=Europe/Berlin:" + w.start.In(zone).Format("20060102T150405")
	var messages []mail.Message
	w.getJSON(w.m.File.Sandbox.MailLogURL, &messages)
	last, notices := map[string]string{}, map[string]map[string]int{} // by order; notices by Message-ID too
	for _, m := range messages {
		for _, p := range m.Parts {
			if !strings.HasPrefix(p.ContentType, "text/calendar") {
				continue
			}
			_, rest, _ := strings.Cut(p.Content, "UID:")
			orderID, _, _ := strings.Cut(rest, "@")
			last[orderID] = p.Content
			if strings.HasSuffix(m.Subject, "has a new date") {
				if notices[orderID] == nil {
					notices[orderID] = map[string]int{}
				}
				notices[orderID][strings.Join(m.Header["Message-Id"], ",")]++
			}
		}
	}
	rows, err := e2etest.Connect(w.t, w.m, "checkout").Query(w.t.Context(), `select id from orders where event_id = $1 and fulfilment = 'completed'`, w.variant.GetEventId())
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	orders, again := 0, 0
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			w.t.Fatal(err)
		}
		orders++
		if !strings.Contains(last[id], start) {
			w.t.Errorf("the last calendar file of order %s does not have the new time: %q", id, last[id])
		}
		if len(notices[id]) > 1 {
			w.t.Errorf("the buyer of order %s was told by different mails: %v", id, notices[id])
		}
		for messageID, times := range notices[id] {
			if messageID == "" {
				w.t.Errorf("a mail about order %s has no Message-ID", id)
			}
			again += times - 1
		}
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("%d orders, %d buyers told, %d mails sent twice, %d later sales", orders, len(notices), again, len(later))
	if again > mailWindow {
		w.t.Errorf("%d mails were sent twice; %d may have been on their way when checkoutsvc died", again, mailWindow)
	}
	if len(notices) < soldMax/2 {
		w.t.Errorf("%d buyers were told", len(notices))
	}
}
