package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dayof/dayof/devenv/client"
)

func driveOrder(t *testing.T, u running, sale client.Sale) {
	t.Helper()
	order := decode[map[string]any](t, must(t, exitDone, "order", "show", sale.OrderID, "-json", "-dev", u.devFile))
	for _, name := range []string{"order_id", "payment_state", "fulfilment_state", "tickets", "payment", "passes", "postings", "timeline"} {
		if order[name] == nil {
			t.Errorf("order show has no %s", name)
		}
	}
	refunded := decode[client.Order](t, must(t, exitDone, "order", "refund", "-ticket", sale.Tickets[0].ID, "-json", sale.OrderID, "-dev", u.devFile))
	if refunded.PaymentState != "partially_refunded" || !slices.ContainsFunc(refunded.Tickets, func(x client.Ticket) bool {
		return x.ID == sale.Tickets[0].ID && x.State == "void"
	}) {
		t.Errorf("after the refund of a ticket the order is %s with %+v", refunded.PaymentState, refunded.Tickets)
	}
	less := decode[client.Order](t, must(t, exitDone, "order", "refund", sale.OrderID, "-amount", "100", "-json", "-dev", u.devFile))
	if less.Payment.RefundedMinorUnits != refunded.Payment.RefundedMinorUnits+100 {
		t.Errorf("refunded %d after %d and 100 more", less.Payment.RefundedMinorUnits, refunded.Payment.RefundedMinorUnits)
	}
	must(t, exitFailed, "order", "refund", sale.OrderID, "-amount", "10000000", "-dev", u.devFile)
	must(t, exitFailed, "order", "show", "nothing00000000000000", "-dev", u.devFile)
	must(t, exitFailed, "order", "show", "?", "-dev", u.devFile)
}

func drivePass(t *testing.T, u running, sale client.Sale) {
	t.Helper()
	type change struct {
		Changed  bool  `json:"changed"`
		Revision int64 `json:"revision"`
	}
	serial := sale.Tickets[1].PassSerial
	first := decode[change](t, must(t, exitDone, "pass", "set", serial, "gate=B", "seat=12", "-json", "-dev", u.devFile))
	again := decode[change](t, must(t, exitDone, "pass", "-json", "set", serial, "gate=B", "-dev", u.devFile))
	if !first.Changed || first.Revision != 2 || again.Changed || again.Revision != 2 {
		t.Errorf("pass set: first %+v, again %+v", first, again)
	}
	must(t, exitFailed, "pass", "set", serial, "price=0", "-dev", u.devFile)
}

func driveFaults(t *testing.T, u running) {
	t.Helper()
	set := must(t, exitDone, "fault", "set", "ledger", "mode=slow", "rate=0.5", "latency=20", "-json", "-dev", u.devFile)
	if !strings.Contains(set, `"latency_ms":20`) {
		t.Errorf("fault set: %s", set)
	}
	must(t, exitUsage, "fault", "set", "post", "mode=slow", "-dev", u.devFile)
	must(t, exitDone, "sell", "-dev", u.devFile)
	must(t, exitDone, "fault", "clear", "-dev", u.devFile)
	if left := strings.TrimSpace(must(t, exitDone, "fault", "list", "-json", "-dev", u.devFile)); left != "{}" {
		t.Errorf("faults after clear: %s", left)
	}
}

func driveReplay(t *testing.T, u running) {
	t.Helper()
	const data = "../../devenv/scenario/testdata"
	text := must(t, exitDone, "replay", "-shuffle", "7", "-events", data, "-double", "-stories", data+"/stories.json", "-dev", u.devFile)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	var all []json.RawMessage
	if err := json.Unmarshal([]byte(read(t, data, "stories.json")), &all); err != nil {
		t.Fatal(err)
	}
	if last, want := lines[len(lines)-1], fmt.Sprintf("%d passed, 0 failed", len(all)); last != want {
		t.Errorf("replay ends with %q, want %q", last, want)
	}
	wrong := filepath.Join(t.TempDir(), "stories.json")
	story := strings.Replace(read(t, data, "stories.json"), `"order": "canceled"`, `"order": "paid"`, 1)
	if err := os.WriteFile(wrong, []byte(story), 0o600); err != nil {
		t.Fatal(err)
	}
	text = must(t, exitFailed, "replay", "-events", data, "-stories", wrong, "-at-once", "-dev", u.devFile)
	if want := fmt.Sprintf("%d passed, 1 failed\n", len(all)-1); !strings.HasSuffix(text, want) {
		t.Errorf("a scenario that expects something else: %s", text)
	}
}

func driveLists(t *testing.T, u running) {
	t.Helper()
	events := decode[[]webhookEvent](t, must(t, exitDone, "webhooks", "list", "-json", "-state", "applied", "-dev", u.devFile))
	if len(events) == 0 {
		t.Fatal("no webhook events are listed")
	}
	shown := decode[webhookEvent](t, must(t, exitDone, "webhooks", "show", events[0].EventID, "-json", "-dev", u.devFile))
	if shown.Body == "" {
		t.Error("webhooks show has no body")
	}
	if again := must(t, exitDone, "webhooks", "retry", events[0].EventID, "-json", "-dev", u.devFile); strings.TrimSpace(again) != `{"event_count":1}` {
		t.Errorf("webhooks retry: %s", again)
	}
	jobs := decode[[]job](t, must(t, exitDone, "jobs", "-json", "-dev", u.devFile, "-state", "completed"))
	if len(jobs) == 0 {
		t.Fatal("no jobs are listed")
	}
	must(t, exitDone, "jobs", "show", jobs[0].ID, "-dev", u.devFile)
	must(t, exitDone, "jobs", "retry", jobs[0].ID, "-dev", u.devFile)
	if letters := decode[[]deadLetter](t, must(t, exitDone, "dlq", "-json", "-dev", u.devFile)); len(letters) != 0 {
		t.Errorf("dead letters: %+v", letters)
	}
	must(t, exitFailed, "dlq", "show", "checkout/1", "-dev", u.devFile)
	must(t, exitFailed, "dlq", "retry", "checkout/1", "-dev", u.devFile)
}
