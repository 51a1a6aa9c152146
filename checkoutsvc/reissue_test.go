package checkoutsvc_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// TestReplacementGetsItsPass has passsvc be away while a ticket is issued again: the call is answered in time, the old code is dead at once,
// and the new ticket becomes valid when passsvc is back.
func TestReplacementGetsItsPass(t *testing.T) {
	w := newHarness(t, func(c *checkoutsvc.Config) { c.CallerWait = 50 * time.Millisecond })
	o, token := w.boughtBy("away", 1)
	old := o.GetTickets()[0]
	w.passes.setBefore(func(context.Context) error { return connect.NewError(connect.CodeUnavailable, nil) })
	res, err := w.holders().ReissueTicket(w.as(token, "reissue"), &checkoutv1.ReissueTicketRequest{TicketId: old.GetId()})
	if err != nil || res.GetHeldTicket().GetTicket().GetState() != checkoutv1.TicketState_TICKET_STATE_RESERVED || res.GetHeldTicket().GetTicket().GetCode() != "" {
		t.Fatalf("reissue while passsvc is away: %v, %v", res, err)
	}
	if got := w.admission(old); got != checkoutv1.Admission_ADMISSION_VOID {
		t.Errorf("the old code: %v", got)
	}
	if got := w.admission(w.order(o.GetId()).GetTickets()[1]); got != checkoutv1.Admission_ADMISSION_NOT_VALID_YET {
		t.Errorf("the new ticket without a pass: %v", got)
	}
	w.passes.setBefore(nil)
	done := w.waitFor(o.GetId(), "issued again", func(o *checkoutv1.Order) bool {
		return o.GetTickets()[1].GetState() == checkoutv1.TicketState_TICKET_STATE_VALID
	})
	again, err := w.holders().ReissueTicket(w.as(token, "reissue"), &checkoutv1.ReissueTicketRequest{TicketId: old.GetId()})
	if err != nil || again.GetHeldTicket().GetTicket().GetCode() != done.GetTickets()[1].GetCode() || again.GetTicketAccessToken() != res.GetTicketAccessToken() {
		t.Errorf("the same call again: %v, %v", again, err)
	}
	_, err = w.holders().ReissueTicket(w.as(token, "another"), &checkoutv1.ReissueTicketRequest{TicketId: old.GetId()})
	wantProblem(t, err, connect.CodeFailedPrecondition, "TICKET_VOID")
	_, err = w.holders().ReissueTicket(w.as(token, "reissue"), &checkoutv1.ReissueTicketRequest{TicketId: done.GetTickets()[1].GetId()})
	wantProblem(t, err, connect.CodeAlreadyExists, "IDEMPOTENCY_KEY_REUSED")
}

// TestTransferExpires lets an offer run out.
func TestTransferExpires(t *testing.T) {
	w, server := newMailHarness(t, func(c *checkoutsvc.Config) { c.TransferDuration = time.Nanosecond })
	o, token := w.boughtBy("expires", 1)
	res, err := w.holders().TransferTicket(w.as(token, "transfer"), toBob(o.GetTickets()[0]))
	if err != nil {
		t.Fatal(err)
	}
	id := res.GetTransfer().GetId()
	w.waitFor(o.GetId(), "without an offer", func(o *checkoutv1.Order) bool {
		return o.GetTransfers()[0].GetState() == checkoutv1.TransferState_TRANSFER_STATE_EXPIRED
	})
	_, err = w.holders().AcceptTransfer(w.as(w.transferToken(id), "accept"), &checkoutv1.AcceptTransferRequest{TransferId: id})
	wantProblem(t, err, connect.CodeFailedPrecondition, "TRANSFER_ENDED")
	if told := w.mailTo(server, "erika@example.test", 2); !strings.Contains(told.Text, "nicht rechtzeitig") {
		t.Errorf("the buyer is mailed\n%s", told.Text)
	}
	if got := w.admission(o.GetTickets()[0]); got != checkoutv1.Admission_ADMISSION_ADMIT {
		t.Errorf("the ticket: %v", got)
	}
}

// TestSetTicketHolder names who comes: pass, door and list of attendees show it.
func TestSetTicketHolder(t *testing.T) {
	w := newHarness(t)
	o, token := w.boughtBy("holder", 2)
	ticket := o.GetTickets()[0]
	for i, name := range []string{"Carol", "Dave"} {
		res, err := w.holders().SetTicketHolder(w.as(token, name), &checkoutv1.SetTicketHolderRequest{TicketId: ticket.GetId(), HolderName: name})
		if err != nil || res.GetHeldTicket().GetHolderName() != name {
			t.Fatalf("name a holder: %v, %v", res, err)
		}
		w.until("shown", func() bool { return w.passes.holder(ticket.GetId()).GetHolderName() == name })
		if got := w.passes.holder(ticket.GetId()).GetHolderNumber(); got != int64(i+1) {
			t.Errorf("change %d of the name has number %d", i+1, got)
		}
	}
	list, err := w.replicas[0].door.ListAttendees(t.Context(), &checkoutv1.ListAttendeesRequest{EventId: w.event.GetId(), Holder: "dave"})
	if err != nil || len(list.GetAttendees()) != 1 || list.GetAttendees()[0].GetHolderName() != "Dave" || list.GetAttendees()[0].GetHolderEmail() != "erika@example.test" {
		t.Errorf("attendees of that name: %v, %v", list, err)
	}
	_, err = w.holders().ReissueTicket(w.keyed("staff"), &checkoutv1.ReissueTicketRequest{TicketId: o.GetTickets()[1].GetId()})
	if err != nil {
		t.Fatal(err)
	}
	if list, err = w.replicas[0].door.ListAttendees(t.Context(), &checkoutv1.ListAttendeesRequest{EventId: w.event.GetId()}); err != nil || len(list.GetAttendees()) != 2 {
		t.Errorf("attendees with a replaced ticket: %v, %v", list, err)
	}
	counters, err := w.replicas[0].door.GetDoorCounters(t.Context(), &checkoutv1.GetDoorCountersRequest{EventId: w.event.GetId()})
	if err != nil || counters.GetValidCount() != 2 || counters.GetVoidCount() != 0 {
		t.Errorf("counters with a replaced ticket: %v, %v", counters, err)
	}
	admitted, err := w.replicas[0].door.Admit(w.keyed("enter"), &checkoutv1.AdmitRequest{Subject: &checkoutv1.AdmitRequest_Code{Code: ticket.GetCode()}})
	if err != nil || admitted.GetHolderName() != "Dave" {
		t.Errorf("at the door: %v, %v", admitted, err)
	}
	_, err = w.holders().SetTicketHolder(w.as(token, "late"), &checkoutv1.SetTicketHolderRequest{TicketId: ticket.GetId(), HolderName: "Eve"})
	wantProblem(t, err, connect.CodeFailedPrecondition, "TICKET_NOT_VALID")
}

// TestEventDecidesOnTransfers changes what an event allows.
func TestEventDecidesOnTransfers(t *testing.T) {
	w := newHarness(t)
	o, token := w.boughtBy("policy", 1)
	ticket := o.GetTickets()[0]
	if e := w.event; !e.GetTransfersAllowed() || e.GetTransferLimit() != 5 || e.GetTransferEndTime() != nil {
		t.Errorf("a new event allows %v", e)
	}
	update := func(key string, f *checkoutv1.EventFields, paths ...string) {
		t.Helper()
		_, err := w.replicas[0].catalog.UpdateEvent(w.keyed(key), &checkoutv1.UpdateEventRequest{EventId: w.event.GetId(), Event: f, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}})
		if err != nil {
			t.Fatalf("update event: %v", err)
		}
	}
	past := timestamppb.New(clock.System{}.Now().Add(-time.Hour))
	update("no transfers", &checkoutv1.EventFields{}, "transfers_allowed")
	_, err := w.holders().TransferTicket(w.as(token, "1"), toBob(ticket))
	wantProblem(t, err, connect.CodeFailedPrecondition, "TRANSFER_NOT_ALLOWED")
	update("transfers until", &checkoutv1.EventFields{TransfersAllowed: true, TransferEndTime: past, HolderChangeEndTime: past}, "transfers_allowed", "transfer_end_time", "holder_change_end_time")
	_, err = w.holders().TransferTicket(w.as(token, "2"), toBob(ticket))
	wantProblem(t, err, connect.CodeFailedPrecondition, "TRANSFER_NOT_ALLOWED")
	_, err = w.holders().SetTicketHolder(w.as(token, "3"), &checkoutv1.SetTicketHolderRequest{TicketId: ticket.GetId(), HolderName: "Carol"})
	wantProblem(t, err, connect.CodeFailedPrecondition, "HOLDER_FIXED")
	update("transfers again", &checkoutv1.EventFields{TransferLimit: 1}, "transfer_end_time", "transfer_limit")
	if _, err = w.holders().TransferTicket(w.as(token, "4"), toBob(ticket)); err != nil {
		t.Errorf("transfer: %v", err)
	}
}
