package checkoutsvc_test

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

const (
	admitted    = checkoutv1.Admission_ADMISSION_ADMIT
	alreadyUsed = checkoutv1.Admission_ADMISSION_ALREADY_USED
)

// rounds is how often a race is run: few in CI, as many as DAYOF_TEST_ADMISSIONS says elsewhere.
func rounds(t *testing.T, few int) int {
	t.Helper()
	text := os.Getenv("DAYOF_TEST_ADMISSIONS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("DAYOF_TEST_ADMISSIONS: %v", err)
	}
	return n
}

// admit scans a code at a gate of the ticket's event.
func (w *harness) admit(replica int, key string, req *checkoutv1.AdmitRequest) *checkoutv1.AdmitResponse {
	w.t.Helper()
	res, err := w.replicas[replica].door.Admit(w.keyed("admit/"+key), req)
	if err != nil {
		w.t.Fatalf("admit %s: %v", key, err)
	}
	return res
}

func scan(t *checkoutv1.TicketInstance, gate string) *checkoutv1.AdmitRequest {
	return &checkoutv1.AdmitRequest{Subject: &checkoutv1.AdmitRequest_Code{Code: t.GetCode()}, EventId: t.GetEventId(), Gate: gate}
}

func out(t *checkoutv1.TicketInstance, gate string) *checkoutv1.AdmitRequest {
	req := scan(t, gate)
	req.Direction = checkoutv1.Direction_DIRECTION_OUT
	return req
}

// tickets buys n tickets of an event that has them.
func (w *harness) tickets(n int) []*checkoutv1.TicketInstance {
	w.t.Helper()
	s := w.sell(8900, int64(n)+1)
	var tickets []*checkoutv1.TicketInstance
	for len(tickets) < n {
		o := w.boughtOf(s, fmt.Sprintf("tickets/%s/%d", s.event.GetId(), len(tickets)), int32(min(10, n-len(tickets))))
		tickets = append(tickets, o.GetTickets()...)
	}
	return tickets
}

// state is the state of a ticket in the database.
func (w *harness) state(ticketID string) (state string) {
	w.t.Helper()
	if err := w.pool.QueryRow(w.t.Context(), "select state from tickets where id = $1", ticketID).Scan(&state); err != nil {
		w.t.Fatal(err)
	}
	return state
}

// TestTwoGatesAtOnce scans one code at two gates at the same instant, on two replicas: one admits, and the other says when and where.
func TestTwoGatesAtOnce(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	tickets := w.tickets(rounds(t, 60))
	for round, ticket := range tickets {
		var answers [2]*checkoutv1.AdmitResponse
		var both sync.WaitGroup
		for gate := range answers {
			both.Go(func() {
				res, err := w.replicas[gate].door.Admit(w.keyed(fmt.Sprintf("round/%d/%d", round, gate)), scan(ticket, fmt.Sprint("gate ", gate)))
				if err != nil {
					t.Error(err)
				}
				answers[gate] = res
			})
		}
		both.Wait()
		if t.Failed() {
			return
		}
		first, second := 0, 1
		if answers[1].GetAdmission() == admitted {
			first, second = 1, 0
		}
		in, refused := answers[first], answers[second]
		if in.GetAdmission() != admitted || refused.GetAdmission() != alreadyUsed {
			t.Fatalf("round %d: %v and %v", round, in.GetAdmission(), refused.GetAdmission())
		}
		if !proto.Equal(refused.GetFirstAdmitTime(), in.GetAdmitTime()) || refused.GetFirstGate() != fmt.Sprint("gate ", first) ||
			refused.GetAdmitTime() != nil || in.GetEntryNumber() != 1 || w.state(ticket.GetId()) != "used" {
			t.Fatalf("round %d: admitted %v, refused %v", round, in, refused)
		}
	}
	if stays := w.count("select count(*) from admissions where undo_time is null"); stays != len(tickets) {
		t.Errorf("%d stays of %d tickets", stays, len(tickets))
	}
	t.Logf("%d rounds", len(tickets))
}

// TestAdmitIsIdempotent has a scanner repeat its call, eight times at once, and use the key for another ticket.
func TestAdmitIsIdempotent(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	tickets := w.tickets(2)
	answers := make([]*checkoutv1.AdmitResponse, 8)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			res, err := w.replicas[i%2].door.Admit(w.keyed("same"), scan(tickets[0], "north"))
			if err != nil {
				t.Error(err)
			}
			answers[i] = res
		})
	}
	all.Wait()
	for _, a := range answers {
		if a.GetAdmission() != admitted || !proto.Equal(a, answers[0]) {
			t.Errorf("a repeat answers %v, the first %v", a, answers[0])
		}
	}
	_, err := w.replicas[0].door.Admit(w.keyed("same"), scan(tickets[1], "north"))
	wantProblem(t, err, connect.CodeAlreadyExists, "IDEMPOTENCY_KEY_REUSED")
	if n := w.count("select count(*) from door_scans"); n != 1 {
		t.Errorf("%d scans are recorded, want 1", n)
	}
}

// TestReentry lets holders of one event come back, and of another not.
func TestReentry(t *testing.T) {
	w := newHarness(t)
	ticket := w.tickets(1)[0]
	if got := w.admit(0, "out first", out(ticket, "north")); got.GetAdmission() != checkoutv1.Admission_ADMISSION_NOT_INSIDE {
		t.Errorf("leaving without entering: %v", got)
	}
	w.admit(0, "in", scan(ticket, "north"))
	if got := w.admit(0, "out", out(ticket, "south")); got.GetAdmission() != checkoutv1.Admission_ADMISSION_EXIT || got.GetFirstGate() != "north" {
		t.Errorf("leaving: %v", got)
	}
	if got := w.admit(0, "back", scan(ticket, "north")); got.GetAdmission() != alreadyUsed {
		t.Errorf("coming back without the policy: %v", got)
	}
	_, err := w.replicas[0].door.SetDoorPolicy(w.keyed("policy"), &checkoutv1.SetDoorPolicyRequest{
		EventId: ticket.GetEventId(), Policy: &checkoutv1.DoorPolicy{Reentry: checkoutv1.Reentry_REENTRY_AFTER_EXIT},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.admit(0, "back again", scan(ticket, "south")); got.GetAdmission() != admitted || got.GetEntryNumber() != 2 || got.GetFirstGate() != "north" {
		t.Errorf("coming back: %v", got)
	}
	if got := w.admit(0, "a friend", scan(ticket, "north")); got.GetAdmission() != alreadyUsed {
		t.Errorf("a second holder while the first is inside: %v", got)
	}
	if n := w.count("select count(*) from admissions where exit_time is null"); n != 1 {
		t.Errorf("%d open stays, want 1", n)
	}
}

// TestUndoAdmission takes scans back: the ticket admits again, unless its money is disputed or went back meanwhile.
func TestUndoAdmission(t *testing.T) {
	w := newHarness(t)
	undo := func(key string, ticket *checkoutv1.TicketInstance) (*checkoutv1.UndoAdmissionResponse, error) {
		return w.replicas[0].door.UndoAdmission(w.keyed("undo/"+key), &checkoutv1.UndoAdmissionRequest{
			Subject: &checkoutv1.UndoAdmissionRequest_Code{Code: ticket.GetCode()}, EventId: ticket.GetEventId(),
		})
	}
	ticket := w.tickets(1)[0]
	_, err := undo("too early", ticket)
	wantProblem(t, err, connect.CodeFailedPrecondition, "TICKET_NOT_ADMITTED")
	w.admit(0, "first", scan(ticket, "north"))
	res, err := undo("first", ticket)
	if err != nil || res.GetTicket().GetState() != checkoutv1.TicketState_TICKET_STATE_VALID || res.GetStay().GetEntryGate() != "north" {
		t.Fatalf("undo: %v, %v", res, err)
	}
	if again, err := undo("first", ticket); err != nil || !proto.Equal(again, res) {
		t.Errorf("a repeated undo answers %v, %v", again, err)
	}
	if got := w.admit(0, "second", scan(ticket, "south")); got.GetAdmission() != admitted || got.GetEntryNumber() != 1 || got.GetFirstGate() != "south" {
		t.Errorf("after the undo: %v", got)
	}

	disputed := w.bought("disputed", 2)
	for i, ticket := range disputed.GetTickets() {
		w.admit(0, fmt.Sprint("disputed", i), scan(ticket, "north"))
	}
	w.dispute(disputed, checkoutv1.DisputeStatus_DISPUTE_STATUS_NEEDS_RESPONSE)
	if state := w.state(disputed.GetTickets()[1].GetId()); state != "used" {
		t.Errorf("a used ticket is %s during a dispute", state)
	}
	if res, err := undo("disputed", disputed.GetTickets()[0]); err != nil || res.GetTicket().GetState() != checkoutv1.TicketState_TICKET_STATE_SUSPENDED {
		t.Errorf("undo during a dispute: %v, %v", res, err)
	}
	w.dispute(disputed, checkoutv1.DisputeStatus_DISPUTE_STATUS_WON)
	if state := w.state(disputed.GetTickets()[0].GetId()); state != "valid" {
		t.Errorf("after the dispute the ticket whose admission was undone is %s", state)
	}
}

// dispute has a dispute of an order's payment observed.
func (w *harness) dispute(o *checkoutv1.Order, status checkoutv1.DisputeStatus) {
	w.t.Helper()
	_, err := w.replicas[0].payments.RecordDispute(w.keyed(status.String()+o.GetId()), &checkoutv1.RecordDisputeRequest{
		DisputeId: "du_" + o.GetId(), PaymentIntentId: o.GetPaymentIntents()[0].GetId(), Status: status, Amount: o.GetTotal(),
		ObservedTime: timestamppb.New(clock.System{}.Now()),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestRefundOfUsedTicket refunds a ticket whose holder is inside: it is void, the stay stays, and its holder may leave and not come back.
func TestRefundOfUsedTicket(t *testing.T) {
	w := newHarness(t)
	o := w.bought("used", 2)
	ticket := o.GetTickets()[0]
	w.admit(0, "in", scan(ticket, "north"))
	if reason := w.refund("used", &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{ticket.GetId()}}); reason != "" {
		t.Fatalf("refund: %s", reason)
	}
	w.waitFor(o.GetId(), "refunded in part", func(o *checkoutv1.Order) bool {
		return o.GetTickets()[0].GetState() == checkoutv1.TicketState_TICKET_STATE_VOID
	})
	if got := w.admit(0, "out", out(ticket, "north")); got.GetAdmission() != checkoutv1.Admission_ADMISSION_EXIT {
		t.Errorf("leaving with a void ticket: %v", got)
	}
	if got := w.admit(0, "back", scan(ticket, "north")); got.GetAdmission() != checkoutv1.Admission_ADMISSION_VOID || got.GetFirstGate() != "north" {
		t.Errorf("coming back with a void ticket: %v", got)
	}
	res, err := w.replicas[0].door.UndoAdmission(w.keyed("undo"), &checkoutv1.UndoAdmissionRequest{
		Subject: &checkoutv1.UndoAdmissionRequest_TicketId{TicketId: ticket.GetId()}, EventId: ticket.GetEventId(),
	})
	if err != nil || res.GetTicket().GetState() != checkoutv1.TicketState_TICKET_STATE_VOID {
		t.Errorf("undo of a void ticket: %v, %v", res, err)
	}
	if state := w.state(ticket.GetId()); state != "void" {
		t.Errorf("a refunded ticket became %s", state)
	}
}

// TestAdmitWhileADisputeOpens scans a code at the instant at which a dispute opens: either the holder is in and the ticket used, or the
// ticket is suspended and nobody is in.
func TestAdmitWhileADisputeOpens(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	in := 0
	for round := range 12 {
		o := w.bought(fmt.Sprint("round", round), 1)
		ticket := o.GetTickets()[0]
		var res *checkoutv1.AdmitResponse
		var both sync.WaitGroup
		both.Go(func() { w.dispute(o, checkoutv1.DisputeStatus_DISPUTE_STATUS_NEEDS_RESPONSE) })
		both.Go(func() {
			var err error
			if res, err = w.replicas[1].door.Admit(w.keyed("dispute/"+o.GetId()), scan(ticket, "north")); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		want := map[checkoutv1.Admission]string{admitted: "used", checkoutv1.Admission_ADMISSION_SUSPENDED: "suspended"}[res.GetAdmission()]
		if state := w.state(ticket.GetId()); state != want {
			t.Errorf("the door says %v, and the ticket is %s", res.GetAdmission(), state)
		}
		if res.GetAdmission() == admitted {
			in++
		}
	}
	if stays := w.count("select count(*) from admissions"); stays != in {
		t.Errorf("%d stays of %d admitted", stays, in)
	}
	t.Logf("%d of 12 were faster than the dispute", in)
}

// TestPassesShowUseByPolicy admits tickets of an event whose passes show it, and of one whose passes do not.
func TestPassesShowUseByPolicy(t *testing.T) {
	w := newHarness(t)
	quiet, shown := w.tickets(1)[0], w.bought("shown", 1).GetTickets()[0]
	_, err := w.replicas[0].door.SetDoorPolicy(w.keyed("policy"), &checkoutv1.SetDoorPolicyRequest{
		EventId: shown.GetEventId(), Policy: &checkoutv1.DoorPolicy{Reentry: checkoutv1.Reentry_REENTRY_NONE, PassShowsUsed: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.admit(0, "quiet", scan(quiet, "north"))
	w.admit(0, "shown", scan(shown, "north"))
	w.until("the pass shows that it was used", func() bool { return w.passes.isUsed(shown.GetId()) })
	_, err = w.replicas[0].door.UndoAdmission(w.keyed("undo"), &checkoutv1.UndoAdmissionRequest{
		Subject: &checkoutv1.UndoAdmissionRequest_TicketId{TicketId: shown.GetId()},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.until("the pass is as it was", func() bool { return !w.passes.isUsed(shown.GetId()) })
	if w.passes.isUsed(quiet.GetId()) || w.count("select count(*) from river_job where kind = 'suspend_pass' and args->>'ticket_id' = $1", quiet.GetId()) > 0 {
		t.Error("a pass follows its ticket's use against the policy")
	}
}
