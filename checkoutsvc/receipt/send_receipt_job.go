// Package receipt mails buyers what comes of their money: the receipt with the links to their passes, refunds, and orders
// that end without tickets. Each is mailed once, in the language of the buyer.
package receipt

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/reviewcase"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	"github.com/dayof/dayof/checkoutsvc/tickettoken"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/smtp"
)

// Mailer mails receipts. All exported fields are required.
type Mailer struct {
	Orders *orderstore.Store
	Passes passv1connect.PassServiceClient // lists passes
	Mail   *smtp.Sender
	Codes  ticketcode.Keys  // of tickets on paper
	Tokens tickettoken.Keys // of links to tickets and transfers
	// ShopURL is where these links lead.
	ShopURL string

	q checkoutdb.Queries
}

// SendReceiptArgs names a completed order whose buyer gets a receipt.
type SendReceiptArgs struct {
	OrderID string `json:"order_id"`
	// MailID tells a mail that staff asked for apart from the first one; empty for that.
	MailID string `json:"mail_id,omitempty"`
}

// Kind implements river.JobArgs.
func (SendReceiptArgs) Kind() string { return string(order.WorkSendReceipt) }

// receiptHeldWait is the pause before a receipt is tried again whose payment is reviewed.
const receiptHeldWait = time.Minute

// SendReceipt mails the receipt with the links to the passes, once per order but for a crash between the mail server's
// yes and our note of it. It changes nothing about the purchase.
func (m *Mailer) SendReceipt(ctx context.Context, job *river.Job[SendReceiptArgs]) error {
	if !m.Mail.Enabled() {
		return nil
	}
	o, err := m.Orders.Read(ctx, orderstore.Key{ID: job.Args.OrderID})
	if err != nil {
		return err
	}
	if o.ReceiptSentTime != nil || o.Fulfilment != order.FulfilmentCompleted {
		return nil
	}
	if o.DeliveryHeld() {
		return jobs.Snooze(receiptHeldWait)
	}
	passes, err := m.Passes.ListPasses(ctx, &passv1.ListPassesRequest{OrderId: o.ID})
	if err != nil {
		return fmt.Errorf("list passes: %w", err)
	}
	passes.Passes = slices.DeleteFunc(passes.GetPasses(), func(p *passv1.Pass) bool { // a receipt that is sent again
		t := o.Ticket(p.GetTicketId())
		return t != nil && (t.Transferred() || o.Replacement(t.ID) != nil)
	})
	mail, err := receiptMessage(&o, passes, job.Args.MailID)
	if err != nil {
		return err
	}
	if mail.Attachments, err = m.withPaper(mail.Attachments, &o, ticketsOfBuyer(&o)); err != nil {
		return err
	}
	err = m.Mail.Send(ctx, mail)
	if smtp.Undeliverable(err) {
		return m.raiseUndeliverable(ctx, o.ID, err)
	}
	if err != nil {
		return fmt.Errorf("send receipt: %w", err)
	}
	crash.At(crash.CheckoutReceiptSent)
	now := m.Orders.Clock.Now()
	if err := m.q.MarkReceiptSent(ctx, m.Orders.Pool, o.ID, &now, o.BuyerCorrections); err != nil {
		return fmt.Errorf("mark receipt sent: %w", err)
	}
	return nil
}

// undeliverableAction is what a person does about a receipt that reaches nobody.
const undeliverableAction = "Ask the buyer for another address and send the receipt again; the tickets are valid."

// raiseUndeliverable leaves a receipt to a person, once per order: trying again cannot help.
func (m *Mailer) raiseUndeliverable(ctx context.Context, orderID string, cause error) error {
	return pgx.BeginFunc(ctx, m.Orders.Pool, func(tx pgx.Tx) error {
		_, err := reviewcase.Raise(ctx, tx, m.Orders.Policy.NewID(), m.Orders.Clock.Now(), orderID, order.ReviewCase{
			Kind: order.CaseMailUndeliverable, Subject: orderID, Facts: map[string]string{"error": cause.Error()}, Action: undeliverableAction,
		})
		return err
	})
}
