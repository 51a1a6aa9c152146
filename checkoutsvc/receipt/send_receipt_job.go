// Package receipt mails buyers their receipts, with the links to their passes.
package receipt

import (
	"bytes"
	"context"
	_ "embed" // the mail's templates
	"errors"
	"fmt"
	htmltemplate "html/template"
	texttemplate "text/template"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/reviewcase"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/smtp"
	"github.com/dayof/dayof/internal/money"
)

// Mailer mails receipts. All exported fields are required.
type Mailer struct {
	Orders *orderstore.Store
	Passes passv1connect.PassServiceClient // lists passes
	Mail   *smtp.Sender

	q checkoutdb.Queries
}

// SendReceiptArgs names a completed order whose buyer gets a receipt.
type SendReceiptArgs struct {
	OrderID string `json:"order_id"`
}

// Kind implements river.JobArgs.
func (SendReceiptArgs) Kind() string { return string(order.WorkSendReceipt) }

//go:embed receipt.txt.tmpl
var receiptText string

//go:embed receipt.html.tmpl
var receiptHTML string

var (
	receiptTextTemplate = texttemplate.Must(texttemplate.New("receipt.txt").Parse(receiptText))
	receiptHTMLTemplate = htmltemplate.Must(htmltemplate.New("receipt.html").Parse(receiptHTML))
)

// receipt is what the mail's templates show.
type receipt struct {
	BuyerName, OrderID   string
	EventName, VenueName string
	VenueAddress, When   string
	Lines                []receiptLine
	Total                string
	OrderLink            string   // to all tickets at once; empty when there is one
	Links                []string // to each ticket
}

type receiptLine struct {
	Quantity         int32
	Product, Variant string
	Price            string
}

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
	mail, err := message(&o, passes)
	if err != nil {
		return err
	}
	err = m.Mail.Send(ctx, mail)
	if undeliverable, ok := errors.AsType[*smtp.UndeliverableError](err); ok {
		return m.raiseUndeliverable(ctx, o.ID, undeliverable)
	}
	if err != nil {
		return fmt.Errorf("send receipt: %w", err)
	}
	crash.At(crash.CheckoutReceiptSent)
	now := m.Orders.Clock.Now()
	if err := m.q.MarkReceiptSent(ctx, m.Orders.Pool, o.ID, &now); err != nil {
		return fmt.Errorf("mark receipt sent: %w", err)
	}
	return nil
}

// undeliverableAction is what a person does about a receipt that reaches nobody.
const undeliverableAction = "Ask the buyer for another address and send the receipt again; the tickets are valid."

// raiseUndeliverable leaves a receipt to a person, once per order: trying again cannot help.
func (m *Mailer) raiseUndeliverable(ctx context.Context, orderID string, cause *smtp.UndeliverableError) error {
	return pgx.BeginFunc(ctx, m.Orders.Pool, func(tx pgx.Tx) error {
		_, err := reviewcase.Raise(ctx, tx, m.Orders.Policy.NewID(), m.Orders.Clock.Now(), orderID, order.ReviewCase{
			Kind: order.CaseMailUndeliverable, Subject: orderID, Facts: map[string]string{"error": cause.Error()}, Action: undeliverableAction,
		})
		return err
	})
}

// message writes the mail. Its id is of the order, so that a repeat after a crash is the same mail.
func message(o *order.Order, passes *passv1.ListPassesResponse) (smtp.Message, error) {
	snap, err := o.Tickets[0].ReadSnapshot()
	if err != nil {
		return smtp.Message{}, err
	}
	zone, err := time.LoadLocation(snap.Venue.TimeZone)
	if err != nil {
		return smtp.Message{}, fmt.Errorf("load zone of the venue: %w", err)
	}
	r := receipt{
		BuyerName: o.BuyerName, OrderID: o.ID, EventName: snap.EventName, VenueName: snap.Venue.Name, VenueAddress: snap.Venue.Address,
		When:  snap.StartTime.In(zone).Format("Monday, 2 January 2006, 15:04 MST"),
		Total: money.Money{Currency: o.Currency, MinorUnits: o.TotalMinorUnits}.Format(),
	}
	for _, l := range o.Lines {
		r.Lines = append(r.Lines, receiptLine{
			Quantity: l.Quantity, Product: l.ProductName, Variant: l.VariantName,
			Price: money.Money{Currency: o.Currency, MinorUnits: l.UnitPriceMinorUnits}.Format(),
		})
	}
	if len(passes.GetPasses()) > 1 {
		r.OrderLink = passes.GetOrderDownloadUrl()
	}
	for _, p := range passes.GetPasses() {
		r.Links = append(r.Links, p.GetDownloadUrl())
	}
	var text, html bytes.Buffer
	if err := errors.Join(receiptTextTemplate.Execute(&text, r), receiptHTMLTemplate.Execute(&html, r)); err != nil {
		return smtp.Message{}, fmt.Errorf("write receipt: %w", err)
	}
	return smtp.Message{
		To: []string{o.BuyerEmail}, Subject: "Your tickets for " + snap.EventName, ID: "receipt." + o.ID + "@dayof",
		Text: text.String(), HTML: html.String(),
	}, nil
}
