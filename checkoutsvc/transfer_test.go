package checkoutsvc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/dayof/dayof/checkoutsvc/tickettoken"
	"github.com/dayof/dayof/devenv/sandbox/mail"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// holders is a client of TicketService at the first replica.
func (w *harness) holders() checkoutv1connect.TicketServiceClient { return w.replicas[0].holders() }

func (r *replica) holders() checkoutv1connect.TicketServiceClient {
	client, opts := rpc.Dial(rpc.DialConfig{BaseURL: r.url, Token: config.NewSecret(operatorToken), Timeout: patience})
	return checkoutv1connect.NewTicketServiceClient(client, r.url, opts...)
}

// boughtBy is bought with the buyer's token.
func (w *harness) boughtBy(key string, quantity int32) (*checkoutv1.Order, string) {
	w.t.Helper()
	started := w.start(key, quantity)
	w.confirm(started.GetPaymentIntentId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid/"+key), paid(started.GetOrder())); err != nil {
		w.t.Fatalf("record payment: %v", err)
	}
	return w.waitFor(started.GetOrder().GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED)), started.GetOrderAccessToken()
}

// as is a call with a key by somebody else than staff.
func (w *harness) as(token, key string) context.Context {
	return rpc.WithBearerToken(w.keyed(key+"-0123456789012345678901"), token)
}

const recipientEmail = "bob@example.test"

func toBob(t *checkoutv1.TicketInstance) *checkoutv1.TransferTicketRequest {
	return &checkoutv1.TransferTicketRequest{
		OrderId: t.GetOrderId(), TicketId: t.GetId(), RecipientName: "Bob Beispiel", RecipientEmail: recipientEmail, Language: "en",
	}
}

// offer offers a ticket to Bob and returns the transfer with the token of its mail's link.
func (w *harness) offer(server *mail.Server, token, key string, t *checkoutv1.TicketInstance, mails int) (id, transferToken string) {
	w.t.Helper()
	res, err := w.holders().TransferTicket(w.as(token, "transfer/"+key), toBob(t))
	if err != nil {
		w.t.Fatalf("transfer ticket: %v", err)
	}
	text := w.mailTo(server, recipientEmail, mails).Text
	_, after, ok := strings.Cut(text, "/transfers/"+res.GetTransfer().GetId()+"#")
	if !ok {
		w.t.Fatalf("no link in the mail:\n%s", text)
	}
	return res.GetTransfer().GetId(), strings.Fields(after)[0]
}

// buyersView is the order with its passes as the buyer's page has it.
func (w *harness) buyersView(token, id string) *checkoutv1.GetOrderResponse {
	w.t.Helper()
	res, err := w.replicas[0].checkout.GetOrder(rpc.WithBearerToken(w.t.Context(), token), &checkoutv1.GetOrderRequest{OrderId: id, WithPasses: true})
	if err != nil {
		w.t.Fatalf("get order: %v", err)
	}
	return res
}

// TestTransfer hands a ticket over, and on, and to its door.
func TestTransfer(t *testing.T) {
	w, server := newMailHarness(t)
	o, token := w.boughtBy("transfer", 2)
	old := o.GetTickets()[0]
	before := w.count("select taken from (select sum(taken) taken from stock where variant_id = $1) s", w.variant.GetId())

	id, transferToken := w.offer(server, token, "first", old, 1)
	if got := w.admission(old); got != checkoutv1.Admission_ADMISSION_ADMIT {
		t.Errorf("an offered ticket: %v", got)
	}
	seen, err := w.holders().GetTransfer(rpc.WithBearerToken(t.Context(), transferToken), &checkoutv1.GetTransferRequest{TransferId: id})
	if err != nil || seen.GetSenderName() != "Erika Beispiel" || seen.GetEvent().GetName() != "Nachtkonzert" || seen.GetTransfer().GetRecipientEmail() != "" {
		t.Errorf("the recipient sees %v, %v", seen, err)
	}

	var same sync.WaitGroup
	answers := make([]*checkoutv1.AcceptTransferResponse, 8)
	for i := range answers { // the same key and others, at once
		same.Go(func() {
			res, err := w.holders().AcceptTransfer(w.as(transferToken, fmt.Sprint("accept", i/2)), &checkoutv1.AcceptTransferRequest{TransferId: id})
			if err != nil {
				t.Errorf("accept: %v", err)
			}
			answers[i] = res
		})
	}
	same.Wait()
	accepted := answers[0]
	for _, a := range answers {
		if a.GetHeldTicket().GetTicket().GetId() != accepted.GetHeldTicket().GetTicket().GetId() || a.GetTicketAccessToken() != accepted.GetTicketAccessToken() {
			t.Errorf("two acceptances: %v and %v", accepted, a)
		}
	}
	bobs := accepted.GetHeldTicket().GetTicket()
	if bobs.GetState() != checkoutv1.TicketState_TICKET_STATE_VALID || bobs.GetCode() == "" || accepted.GetHeldTicket().GetHolderName() != "Bob Beispiel" ||
		!strings.Contains(accepted.GetHeldTicket().GetDownloadUrl(), bobs.GetPassSerial()) {
		t.Errorf("the recipient gets %v", accepted)
	}
	if n := w.count("select count(*) from tickets where order_id = $1", o.GetId()); n != 3 {
		t.Errorf("%d tickets, want 3", n)
	}
	if got := w.admission(bobs); got != checkoutv1.Admission_ADMISSION_ADMIT {
		t.Errorf("the new ticket: %v", got)
	}
	dead, err := w.replicas[0].door.Admit(w.keyed("dead"), &checkoutv1.AdmitRequest{Subject: &checkoutv1.AdmitRequest_Code{Code: old.GetCode()}, Gate: "north"})
	if err != nil || dead.GetAdmission() != checkoutv1.Admission_ADMISSION_VOID || !strings.Contains(dead.GetMessage(), "transferred") {
		t.Errorf("the old code: %v, %v", dead, err)
	}
	checked, err := w.replicas[0].door.CheckTicket(t.Context(), &checkoutv1.CheckTicketRequest{Code: old.GetCode()})
	if err != nil || checked.GetTicket().GetVoidReason() != checkoutv1.TicketVoidReason_TICKET_VOID_REASON_TRANSFERRED {
		t.Errorf("the old code: %v, %v", checked, err)
	}
	w.until("void on the phone", func() bool { return w.passes.isVoid(old.GetId()) })
	if held := w.passes.holder(bobs.GetId()); held.GetHolderName() != "Bob Beispiel" || held.GetLanguage() != "en" || !held.GetHolderOnly() {
		t.Errorf("the new pass shows %v", held)
	}
	if after := w.count("select taken from (select sum(taken) taken from stock where variant_id = $1) s", w.variant.GetId()); after != before {
		t.Errorf("%d tickets are taken, %d were before", after, before)
	}

	// The buyer is told, and gets nothing of it any more.
	view := w.buyersView(token, o.GetId())
	third := view.GetOrder().GetTickets()[2]
	if !third.GetTransferred() || third.GetHolderName() != "Bob Beispiel" || third.GetCode() != "" || third.GetPassSerial() != "" || third.GetReplacesTicketId() != old.GetId() {
		t.Errorf("the buyer sees of the new ticket %v", third)
	}
	if tr := view.GetOrder().GetTransfers(); len(tr) != 1 || tr[0].GetRecipientName() != "Bob Beispiel" || tr[0].GetRecipientEmail() != "" || tr[0].GetNewTicketId() != "" {
		t.Errorf("the buyer sees the transfers %v", tr)
	}
	if _, err := w.holders().GetTicket(rpc.WithBearerToken(t.Context(), token), &checkoutv1.GetTicketRequest{TicketId: bobs.GetId()}); problem.Reason(err) != "TICKET_NOT_FOUND" {
		t.Errorf("the buyer opens the ticket: %v", err)
	}
	bob := accepted.GetTicketAccessToken()
	for name, reach := range map[string]func() error{
		"order": func() error {
			_, err := w.replicas[0].checkout.GetOrder(rpc.WithBearerToken(t.Context(), bob), &checkoutv1.GetOrderRequest{OrderId: o.GetId()})
			return err
		},
		"other ticket": func() error {
			_, err := w.holders().GetTicket(rpc.WithBearerToken(t.Context(), bob), &checkoutv1.GetTicketRequest{TicketId: o.GetTickets()[1].GetId()})
			return err
		},
		"old ticket": func() error {
			_, err := w.holders().ReissueTicket(w.as(bob, "foreign"), &checkoutv1.ReissueTicketRequest{TicketId: old.GetId()})
			return err
		},
	} {
		if err := reach(); !strings.HasSuffix(problem.Reason(err), "_NOT_FOUND") {
			t.Errorf("the recipient reaches the %s: %v", name, err)
		}
	}
	got := w.mailTo(server, recipientEmail, 2)
	if !strings.Contains(got.Text, bobs.GetPassSerial()) || !strings.Contains(got.Text, "#"+bob) || strings.Contains(got.Text, o.GetId()) {
		t.Errorf("the recipient is mailed\n%s", got.Text)
	}
	if told := w.mailTo(server, "erika@example.test", 2); !strings.Contains(told.Text, "Bob Beispiel hat dein Ticket für Nachtkonzert angenommen") {
		t.Errorf("the buyer is mailed\n%s", told.Text)
	}

	// The recipient hands it on; the buyer does not hear to whom.
	on := toBob(bobs)
	on.RecipientName, on.RecipientEmail = "Carol", "carol@example.test"
	if _, err := w.holders().TransferTicket(w.as(bob, "on"), on); err != nil {
		t.Fatalf("transfer on: %v", err)
	}
	if tr := w.buyersView(token, o.GetId()).GetOrder().GetTransfers(); len(tr) != 1 {
		t.Errorf("the buyer sees the transfers %v", tr)
	}
	if reason := w.refund("old", &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{old.GetId()}}); reason != "TICKET_VOID" {
		t.Errorf("a refund of the old ticket: %q", reason)
	}
	if reason := w.refund("new", &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{bobs.GetId()}}); reason != "" {
		t.Errorf("a refund of the new ticket: %q", reason)
	}
	refunded := w.waitFor(o.GetId(), "refunded", func(o *checkoutv1.Order) bool {
		return o.GetTickets()[2].GetState() == checkoutv1.TicketState_TICKET_STATE_VOID
	})
	if tr := refunded.GetTransfers()[1]; tr.GetState() != checkoutv1.TransferState_TRANSFER_STATE_CANCELED || refunded.GetRefundedMinorUnits() != 8900 {
		t.Errorf("refunded: %v", refunded)
	}
	if after := w.count("select taken from (select sum(taken) taken from stock where variant_id = $1) s", w.variant.GetId()); after != before-1 {
		t.Errorf("%d tickets are taken, %d were before the refund of one", after, before)
	}
}

// TestTransferRaces has an acceptance meet another end of the same ticket or transfer, at the same moment on two replicas.
func TestTransferRaces(t *testing.T) {
	w := newHarness(t)
	second := w.addReplica().holders()
	for name, race := range map[string]struct {
		other func(ctx context.Context, o *checkoutv1.Order, token, transferID, transferToken string) error
		won   func(o *checkoutv1.Order) bool // what other wants has happened
	}{
		"cancel": {func(_ context.Context, _ *checkoutv1.Order, token, id, _ string) error {
			_, err := second.CancelTransfer(w.as(token, "cancel"), &checkoutv1.CancelTransferRequest{TransferId: id})
			return err
		}, func(o *checkoutv1.Order) bool {
			return o.GetTransfers()[0].GetState() == checkoutv1.TransferState_TRANSFER_STATE_CANCELED
		}},
		"decline": {func(_ context.Context, _ *checkoutv1.Order, _, id, transferToken string) error {
			_, err := second.DeclineTransfer(w.as(transferToken, "decline"), &checkoutv1.DeclineTransferRequest{TransferId: id})
			return err
		}, func(o *checkoutv1.Order) bool {
			return o.GetTransfers()[0].GetState() == checkoutv1.TransferState_TRANSFER_STATE_DECLINED
		}},
		"reissue": {func(_ context.Context, o *checkoutv1.Order, token, _, _ string) error {
			_, err := second.ReissueTicket(w.as(token, "reissue"), &checkoutv1.ReissueTicketRequest{TicketId: o.GetTickets()[0].GetId()})
			return err
		}, func(o *checkoutv1.Order) bool {
			return o.GetTickets()[0].GetVoidReason() == checkoutv1.TicketVoidReason_TICKET_VOID_REASON_REISSUED
		}},
		"refund": {func(ctx context.Context, o *checkoutv1.Order, _, _, _ string) error {
			_, err := w.replicas[1].orders.RefundOrder(rpc.WithIdempotencyKey(ctx, "refund"+o.GetId()), &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{o.GetTickets()[0].GetId()}})
			return err
		}, func(o *checkoutv1.Order) bool { return len(o.GetRefunds()) == 1 }},
		"scan": {func(ctx context.Context, o *checkoutv1.Order, _, _, _ string) error {
			res, err := w.replicas[1].door.Admit(rpc.WithIdempotencyKey(ctx, "scan"+o.GetId()), &checkoutv1.AdmitRequest{Subject: &checkoutv1.AdmitRequest_Code{Code: o.GetTickets()[0].GetCode()}})
			if err == nil && res.GetAdmission() != checkoutv1.Admission_ADMISSION_ADMIT {
				return fmt.Errorf("the door says %v", res.GetAdmission())
			}
			return err
		}, func(o *checkoutv1.Order) bool {
			return o.GetTickets()[0].GetState() == checkoutv1.TicketState_TICKET_STATE_USED
		}},
	} {
		for round := range 4 {
			key := fmt.Sprint(name, round)
			o, token := w.boughtBy(key, 1)
			res, err := w.holders().TransferTicket(w.as(token, "offer/"+key), toBob(o.GetTickets()[0]))
			if err != nil {
				t.Fatal(err)
			}
			id := res.GetTransfer().GetId()
			transferToken := w.transferToken(id)
			var both sync.WaitGroup
			var acceptErr, otherErr error
			both.Go(func() {
				_, acceptErr = w.holders().AcceptTransfer(w.as(transferToken, "accept"), &checkoutv1.AcceptTransferRequest{TransferId: id})
			})
			both.Go(func() { otherErr = race.other(t.Context(), o, token, id, transferToken) })
			both.Wait()
			if (acceptErr == nil) == (otherErr == nil) {
				t.Errorf("%s: accepted %v, and the other %v: one must win", key, acceptErr, otherErr)
			}
			now := w.order(o.GetId())
			accepted := now.GetTransfers()[0].GetState() == checkoutv1.TransferState_TRANSFER_STATE_ACCEPTED
			if accepted != (acceptErr == nil) || race.won(now) != (otherErr == nil) {
				t.Errorf("%s: accepted %v, other %v, and the order is %v", key, acceptErr, otherErr, now)
			}
		}
	}
}

// transferToken is the token that the mail of a transfer has.
func (w *harness) transferToken(id string) string {
	w.t.Helper()
	keys, err := tickettoken.NewKeys(w.config.OrderTokenKeys, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return keys.Transfer(id)
}

// TestMovedEventReachesHolders moves an event of which a ticket was transferred.
func TestMovedEventReachesHolders(t *testing.T) {
	w, server := newMailHarness(t)
	o, token := w.boughtBy("moved", 1)
	id, transferToken := w.offer(server, token, "moved", o.GetTickets()[0], 1)
	accepted, err := w.holders().AcceptTransfer(w.as(transferToken, "accept"), &checkoutv1.AcceptTransferRequest{TransferId: id})
	if err != nil {
		t.Fatal(err)
	}
	w.mailTo(server, recipientEmail, 2)
	w.moved(w.event.GetId(), aWeekLater)
	if got := w.mailTo(server, recipientEmail, 3); !strings.Contains(got.Subject, "has a new date") || strings.Contains(got.Text, o.GetId()) {
		t.Errorf("the holder is mailed %s\n%s", got.Subject, got.Text)
	}
	w.mailTo(server, "erika@example.test", 3)
	bobs := accepted.GetHeldTicket().GetTicket().GetId()
	if shown := w.passes.shown(bobs); !shown.GetStartTime().AsTime().Equal(aWeekLater) {
		t.Errorf("the holder's pass shows %v", shown)
	}
	if n := w.count("select count(*) from tickets where id = $1 and schedule_number = 2", bobs); n != 1 {
		t.Error("the new ticket is not of the new schedule")
	}
}
