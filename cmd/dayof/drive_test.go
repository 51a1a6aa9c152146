package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/server"
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

// driveDoor scans a ticket, scans it again, and takes the entry back.
func driveDoor(t *testing.T, u running, sale client.Sale) {
	t.Helper()
	code := sale.Tickets[1].Code
	first := decode[admitted](t, must(t, exitDone, "admit", code, "-gate", "north", "-json", "-dev", u.devFile))
	again := decode[admitted](t, must(t, exitDone, "admit", "-json", code, "-dev", u.devFile))
	if first.Admission != "admit" || first.AdmitTime == nil || first.Gate != "north" || first.TicketID != sale.Tickets[1].ID ||
		again.Admission != "already_used" || again.AdmitTime != nil || again.FirstGate != "north" || !again.FirstAdmitTime.Equal(*first.AdmitTime) {
		t.Errorf("admit: first %+v, again %+v", first, again)
	}
	undone := decode[admitted](t, must(t, exitDone, "admit", code, "-undo", "-json", "-dev", u.devFile))
	if undone.Admission != "admit" || undone.Gate != "north" || undone.FirstAdmitTime != nil {
		t.Errorf("admit -undo: %+v", undone)
	}
	must(t, exitFailed, "admit", code, "-undo", "-dev", u.devFile)
	if forged := decode[admitted](t, must(t, exitDone, "admit", code+"A", "-json", "-dev", u.devFile)); forged.Admission != "unknown_code" {
		t.Errorf("a forged code: %+v", forged)
	}
}

func driveEvent(t *testing.T, u running) {
	t.Helper()
	event := decode[client.Sale](t, must(t, exitDone, "sell", "-json", "-dev", u.devFile))
	shown := decode[map[string]any](t, must(t, exitDone, "order", "show", event.OrderID, "-json", "-dev", u.devFile))
	id, _ := shown["event_id"].(string)
	type change struct {
		EventID     string `json:"event_id"`
		Passes      int64  `json:"passes"`
		Orders      int64  `json:"orders"`
		Amount      int64  `json:"amount_minor_units"`
		OperationID string `json:"operation_id"`
	}
	const start = "2031-05-01T20:00:00+02:00"
	seen := decode[change](t, must(t, exitDone, "event", "move", id, "-start", start, "-preview", "-json", "-dev", u.devFile))
	if seen.EventID != id || seen.Passes < 1 || seen.Orders < 1 || seen.Amount < 1 || seen.OperationID != "" {
		t.Errorf("event move -preview: %+v", seen)
	}
	moved := decode[change](t, must(t, exitDone, "event", "move", "-start", start, id, "-json", "-dev", u.devFile))
	state := map[string]any{}
	for deadline := (clock.System{}).Now().Add(time.Minute); state["state"] != "completed" && (clock.System{}).Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		state = decode[map[string]any](t, must(t, exitDone, "operation", "show", moved.OperationID, "-json", "-dev", u.devFile))
	}
	if state["state"] != "completed" || state["event_id"] != id {
		t.Errorf("operation show: %v", state)
	}
	must(t, exitFailed, "event", "move", id, "-start", start, "-dev", u.devFile) // it takes place then already
	must(t, exitUsage, "event", "move", id, "-start", "tomorrow", "-dev", u.devFile)
	must(t, exitUsage, "event", "move", id, "-dev", u.devFile)
	if text := must(t, exitDone, "event", "cancel", id, "-preview", "-dev", u.devFile); !strings.Contains(text, "would change: ") {
		t.Errorf("event cancel -preview: %s", text)
	}
	must(t, exitFailed, "operation", "show", "nothing00000000000000", "-dev", u.devFile)
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
	if said := mustFail(t, "jobs", "retry", jobs[0].ID, "-dev", u.devFile); !strings.Contains(said, "will not be done again") {
		t.Errorf("a completed job is retried: %s", said)
	}
	for list, empty := range map[string]string{
		"jobs -state discarded": "no jobs", "dlq": "no dead letters", "webhooks -state rejected": "no webhook events",
		"orders -buyer nobody": "no orders", "fault list": "no faults", "cases -order nothing00000000000000": "no cases",
	} {
		if text := must(t, exitDone, append(strings.Fields(list), "-dev", u.devFile)...); !strings.HasPrefix(text, empty) {
			t.Errorf("%s: an empty list says %q", list, text)
		}
		if text := must(t, exitDone, append(strings.Fields(list), "-json", "-dev", u.devFile)...); text != "[]\n" && text != "{}\n" {
			t.Errorf("%s -json: an empty list is %q", list, text)
		}
	}
	if letters := decode[[]deadLetter](t, must(t, exitDone, "dlq", "-json", "-dev", u.devFile)); len(letters) != 0 {
		t.Errorf("dead letters: %+v", letters)
	}
	must(t, exitFailed, "dlq", "show", "checkout/1", "-dev", u.devFile)
	must(t, exitFailed, "dlq", "retry", "checkout/1", "-dev", u.devFile)
}

// driveOrders lists orders and acts on one.
func driveOrders(t *testing.T, u running, sale client.Sale) {
	t.Helper()
	for _, filter := range []string{"", "-state completed", "-buyer ADA@example", "-state completed -buyer beispiel"} {
		args := append(strings.Fields("orders -json "+filter), "-dev", u.devFile)
		if listed := decode[[]listedOrder](t, must(t, exitDone, args...)); !slices.ContainsFunc(listed, func(o listedOrder) bool { return o.ID == sale.OrderID }) {
			t.Errorf("orders %s does not list %s: %+v", filter, sale.OrderID, listed)
		}
	}
	if text := must(t, exitDone, "orders", "-dev", u.devFile); !strings.Contains(text, sale.OrderID) || !strings.Contains(text, "EUR") {
		t.Errorf("orders: %s", text)
	}
	must(t, exitUsage, "orders", "-state", "lost", "-dev", u.devFile)
	if text := must(t, exitDone, "alerts", "-dev", u.devFile); !strings.HasPrefix(text, "no alerts") {
		t.Errorf("alerts: %s", text)
	}
	if text := must(t, exitDone, "order", "retry", sale.OrderID, "-dev", u.devFile); !strings.Contains(text, "nothing is retried") {
		t.Errorf("a complete order is retried: %s", text)
	}
	must(t, exitDone, "order", "resend", sale.OrderID, "-dev", u.devFile)
	must(t, exitFailed, "order", "resend", "nothing00000000000000", "-dev", u.devFile)
	must(t, exitUsage, "cases", "resolve", "nothing00000000000000", "-dev", u.devFile)
	must(t, exitFailed, "cases", "resolve", "nothing00000000000000", "-note", "looked", "-dev", u.devFile)
}

// driveBlockedOrder has commands say what an order waits for while the ledger is away.
func driveBlockedOrder(t *testing.T, u running) {
	t.Helper()
	must(t, exitDone, "fault", "set", "ledger", "mode=refuse", "rate=1", "-dev", u.devFile)
	said := mustFail(t, "sell", "-dev", u.devFile) // it waits for 30 s
	if !strings.Contains(said, "it waits for") || !strings.Contains(said, "ledger") || !strings.Contains(said, "dayof order show ") {
		t.Errorf("sell: %s", said)
	}
	waiting := decode[[]listedOrder](t, must(t, exitDone, "orders", "-state", "in_progress", "-json", "-dev", u.devFile))
	waiting = append(waiting, decode[[]listedOrder](t, must(t, exitDone, "orders", "-state", "ledger_blocked", "-json", "-dev", u.devFile))...)
	if len(waiting) != 1 || waiting[0].WaitsFor == "" {
		t.Fatalf("orders that wait: %+v", waiting)
	}
	shown := decode[client.Order](t, must(t, exitDone, "order", "show", waiting[0].ID, "-json", "-dev", u.devFile))
	if !strings.Contains(shown.WaitsFor, "ledger") || !strings.Contains(shown.WaitsFor, "failed: ") {
		t.Errorf("order show says that it waits for %q", shown.WaitsFor)
	}
	must(t, exitDone, "fault", "clear", "-dev", u.devFile)
	must(t, exitDone, "order", "retry", waiting[0].ID, "-dev", u.devFile)
}

// mustFail runs a command line that fails, and returns what it says about it.
func mustFail(t *testing.T, args ...string) string {
	t.Helper()
	h, stdout, stderr := testHost(nil)
	if got := run(t.Context(), args, h); got != exitFailed {
		t.Fatalf("dayof %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, exitFailed, stdout, stderr)
	}
	if strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("not one line: %s", stderr)
	}
	return stderr.String()
}

// assertLastLines wants the commands that up ends its words with to work as they are printed.
func assertLastLines(t *testing.T, u running) {
	t.Helper()
	text := u.stdout.String()
	if first, _, _ := strings.Cut(text, "\n"); !strings.HasPrefix(first, "starting Postgres") {
		t.Errorf("up begins with %q", first)
	}
	_, commands, found := strings.Cut(text, "ready; in another terminal try:\n")
	if !found || strings.Count(commands, "\n") < 3 {
		t.Fatalf("up ends with %q", text)
	}
	for line := range strings.Lines(commands) {
		words := strings.Fields(strings.ReplaceAll(line, "'", ""))
		if words[0] != "dayof" || words[len(words)-1] != u.devFile {
			t.Fatalf("%q does not name the program and %s", line, u.devFile)
		}
		must(t, exitDone, words[1:]...)
	}
}

// assertDoctor has doctor examine the system that runs, and not what the shell's environment would make of one.
func assertDoctor(t *testing.T, u running) {
	t.Helper()
	text := must(t, exitDone, "doctor", "-dev", u.devFile)
	for _, service := range server.Services() {
		if !strings.Contains(text, service+strings.Repeat(" ", 8-len(service))+" health: http") {
			t.Errorf("doctor does not ask %s how it is:\n%s", service, text)
		}
	}
	if strings.Contains(text, "DAYOF_") {
		t.Errorf("doctor judges a running system by the environment:\n%s", text)
	}
}
