// Package receipt mails buyers their receipts, with the links to their passes.
package receipt

import (
	"bytes"
	"context"
	_ "embed" // the mail's templates
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net"
	"strconv"
	texttemplate "text/template"
	"time"

	"github.com/riverqueue/river"
	"github.com/wneessen/go-mail"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/money"
)

// Mailer mails receipts. All fields are required.
type Mailer struct {
	Config  Config
	Orders  *orderstore.Store
	Passes  passv1connect.PassServiceClient // lists passes
	Breaker *breaker.Breaker                // around the mail server

	q checkoutdb.Queries
}

// Config is where mail goes and whom it is from.
type Config struct {
	// SMTPAddress is the host and port of the mail server; empty sends no mail.
	SMTPAddress string
	// SMTPUser and SMTPPassword log in there; empty logs in as nobody.
	SMTPUser     string
	SMTPPassword config.Secret
	// MailFrom is the sender.
	MailFrom string
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
	if m.Config.SMTPAddress == "" {
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
	message, err := m.message(&o, passes)
	if err != nil {
		return err
	}
	if err := m.Breaker.Do(ctx, func(ctx context.Context) error { return m.deliver(ctx, message) }); err != nil {
		return fmt.Errorf("send receipt: %w", err)
	}
	crash.At(crash.CheckoutReceiptSent)
	now := m.Orders.Clock.Now()
	if err := m.q.MarkReceiptSent(ctx, m.Orders.Pool, o.ID, &now); err != nil {
		return fmt.Errorf("mark receipt sent: %w", err)
	}
	return nil
}

func (m *Mailer) message(o *order.Order, passes *passv1.ListPassesResponse) (*mail.Msg, error) {
	snap, err := o.Tickets[0].ReadSnapshot()
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(snap.Venue.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("load zone of the venue: %w", err)
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
		return nil, fmt.Errorf("write receipt: %w", err)
	}
	msg := mail.NewMsg()
	err = errors.Join(msg.From(m.Config.MailFrom), msg.To(o.BuyerEmail))
	if err != nil {
		return nil, fmt.Errorf("address receipt: %w", err)
	}
	msg.Subject("Your tickets for " + snap.EventName)
	msg.SetMessageIDWithValue("receipt." + o.ID + "@dayof") // a repeat after a crash is the same mail
	msg.SetBodyString(mail.TypeTextPlain, text.String())
	msg.AddAlternativeString(mail.TypeTextHTML, html.String())
	return msg, nil
}

// mailTimeout ends one conversation with the mail server.
const mailTimeout = 20 * time.Second

func (m *Mailer) deliver(ctx context.Context, message *mail.Msg) error {
	host, portText, err := net.SplitHostPort(m.Config.SMTPAddress)
	if err != nil {
		return fmt.Errorf("read DAYOF_SMTP_ADDRESS: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return fmt.Errorf("read DAYOF_SMTP_ADDRESS: %w", err)
	}
	options := []mail.Option{mail.WithPort(port), mail.WithTimeout(mailTimeout), mail.WithTLSPolicy(mail.TLSOpportunistic)}
	if m.Config.SMTPUser != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithTLSPolicy(mail.TLSMandatory),
			mail.WithUsername(m.Config.SMTPUser), mail.WithPassword(m.Config.SMTPPassword.Reveal()))
	}
	client, err := mail.NewClient(host, options...)
	if err != nil {
		return fmt.Errorf("prepare mail: %w", err)
	}
	return client.DialAndSendWithContext(ctx, message)
}
