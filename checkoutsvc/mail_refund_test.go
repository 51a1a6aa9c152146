package checkoutsvc_test

import (
	"context"
	"html"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc"
	"github.com/dayof/dayof/devenv/sandbox/mail"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// subjectsTo are the subjects of all mails to an address, sorted.
func subjectsTo(server *mail.Server, address string) []string {
	var subjects []string
	for _, m := range server.Messages() {
		if slices.Contains(m.To, address) {
			subjects = append(subjects, m.Subject)
		}
	}
	slices.Sort(subjects)
	return subjects
}

func wantInMail(t *testing.T, m mail.Message, texts ...string) {
	t.Helper()
	for _, body := range []string{m.Text, html.UnescapeString(m.HTML)} {
		for _, text := range texts {
			if !strings.Contains(strings.ReplaceAll(body, "\u00a0", " "), text) {
				t.Errorf("the mail %q lacks %q:\n%s", m.Subject, text, body)
			}
		}
	}
}

// TestRefundIsMailedOnce tells the buyer of each refund, whoever asked for it and however often it is reported.
func TestRefundIsMailedOnce(t *testing.T) {
	w, server := newMailHarness(t)
	const address = "erika@example.test"
	o := w.bought("mailed", 2)
	w.mailTo(server, address, 1)
	ticket := o.GetTickets()[0].GetId()
	if _, err := w.replicas[0].orders.RefundOrder(w.keyed("refund"), &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{ticket}}); err != nil {
		t.Fatal(err)
	}
	m := w.mailTo(server, address, 2)
	if m.Subject != "Erstattung für Nachtkonzert" {
		t.Errorf("the subject is %q", m.Subject)
	}
	wantInMail(t, m, "Hallo Erika Beispiel", "89,00 EUR", "nicht mehr gültig", ticket, o.GetId())

	// The same refund by webhooks, in each state, and its job once more.
	refund := w.order(o.GetId()).GetRefunds()[0]
	for _, state := range []checkoutv1.RefundState{checkoutv1.RefundState_REFUND_STATE_PENDING, checkoutv1.RefundState_REFUND_STATE_SUCCEEDED} {
		for _, key := range []string{"once", "twice"} {
			_, err := w.replicas[0].payments.RecordRefund(w.keyed(key+state.String()), &checkoutv1.RecordRefundRequest{
				StripeRefundId: refund.GetStripeRefundId(), PaymentIntentId: refund.GetPaymentIntentId(), OrderId: o.GetId(), RefundId: refund.GetId(),
				State: state, Amount: refund.GetAmount(), RefundTime: w.event.GetStartTime(),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	w.exec(`update river_job set state = 'available', finalized_at = null, scheduled_at = now() where kind = 'mail_refund'`)
	// A second refund, of what is left, made by another way: its mail is the one after the first's.
	if _, err := w.replicas[0].orders.RefundOrder(w.keyed("rest"), &checkoutv1.RefundOrderRequest{OrderId: o.GetId()}); err != nil {
		t.Fatal(err)
	}
	w.mailTo(server, address, 3)
	w.until("idle", func() bool {
		return w.count(`select count(*) from river_job where kind like 'mail%' and state not in ('completed', 'cancelled', 'discarded')`) == 0
	})
	if got := subjectsTo(server, address); len(got) != 3 {
		t.Errorf("the buyer got %q", got)
	}
}

// TestGivenUpOrderIsMailedOnce tells the buyer of an order that ends without tickets, and of its refund.
func TestGivenUpOrderIsMailedOnce(t *testing.T) {
	w, server := newMailHarness(t, impatient, func(c *checkoutsvc.Config) {
		c.BlockedAfter, c.GiveUpAfter = 30*time.Millisecond, 200*time.Millisecond
	})
	const address = "erika@example.test"
	s := w.start("doomed", 2)
	w.confirm(s.GetPaymentIntentId())
	w.ledger.fail(func(context.Context, string) error {
		if !w.givenUp() {
			return errLedgerAway
		}
		return nil
	})
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("evt"), paid(s.GetOrder())); err != nil {
		t.Fatal(err)
	}
	o := w.waitFor(s.GetOrder().GetId(), "refunded", func(o *checkoutv1.Order) bool {
		return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED
	})
	w.mailTo(server, address, 2)
	w.idle("mail_given_up")
	w.idle("mail_refund")
	want := []string{"Deine Bestellung für Nachtkonzert kam nicht zustande", "Erstattung für Nachtkonzert"}
	if got := subjectsTo(server, address); !slices.Equal(got, want) {
		t.Errorf("the buyer got %q, want %q", got, want)
	}
	for _, m := range server.Messages() {
		wantInMail(t, m, "178,00 EUR", o.GetId())
	}
	if w.ledger.has("capture:"+s.GetPaymentIntentId()) == ledgerv1.EntryKind_ENTRY_KIND_SALE {
		t.Error("a sale is booked")
	}
}
