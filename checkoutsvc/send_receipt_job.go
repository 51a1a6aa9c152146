package checkoutsvc

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

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/money"
)

// sendReceiptArgs names a completed order whose buyer gets a receipt.
type sendReceiptArgs struct {
	OrderID string `json:"order_id"`
}

// Kind implements river.JobArgs.
func (sendReceiptArgs) Kind() string { return "send_receipt" }

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

// receiptHeldWait is the pause before a receipt is looked at again whose payment is reviewed.
const receiptHeldWait = time.Minute

// sendReceipt mails the receipt with the links to the passes, once per order but for a crash between the mail server's
// yes and our note of it. It changes nothing about the purchase.
func (s *Service) sendReceipt(ctx context.Context, job *river.Job[sendReceiptArgs]) error {
	if s.Config.SMTPAddress == "" {
		return nil
	}
	o, err := readOrder(ctx, s.Pool, orderKey{ID: job.Args.OrderID})
	if err != nil {
		return err
	}
	if o.ReceiptSentTime != nil || o.Fulfilment != fulfilmentCompleted {
		return nil
	}
	if o.deliveryHeld() {
		return jobs.Snooze(receiptHeldWait)
	}
	passes, err := s.Passes.ListPasses(ctx, &passv1.ListPassesRequest{OrderId: o.ID})
	if err != nil {
		return fmt.Errorf("list passes: %w", err)
	}
	message, err := s.receiptMessage(o, passes)
	if err != nil {
		return err
	}
	if err := s.mail.Do(ctx, func(ctx context.Context) error { return s.deliver(ctx, message) }); err != nil {
		return fmt.Errorf("send receipt: %w", err)
	}
	crash.At(crash.CheckoutReceiptSent)
	now := s.Clock.Now()
	if err := s.q.MarkReceiptSent(ctx, s.Pool, o.ID, &now); err != nil {
		return fmt.Errorf("mark receipt sent: %w", err)
	}
	return nil
}

func (s *Service) receiptMessage(o *order, passes *passv1.ListPassesResponse) (*mail.Msg, error) {
	snap, err := readSnapshot(o.Tickets[0])
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(snap.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("load zone of the venue: %w", err)
	}
	r := receipt{
		BuyerName: o.BuyerName, OrderID: o.ID, EventName: snap.EventName, VenueName: snap.VenueName, VenueAddress: snap.VenueAddress,
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
	m := mail.NewMsg()
	err = errors.Join(m.From(s.Config.MailFrom), m.To(o.BuyerEmail))
	if err != nil {
		return nil, fmt.Errorf("address receipt: %w", err)
	}
	m.Subject("Your tickets for " + snap.EventName)
	m.SetMessageIDWithValue("receipt." + o.ID + "@dayof") // a repeat after a crash is the same mail
	m.SetBodyString(mail.TypeTextPlain, text.String())
	m.AddAlternativeString(mail.TypeTextHTML, html.String())
	return m, nil
}

// mailTimeout ends one conversation with the mail server.
const mailTimeout = 20 * time.Second

func (s *Service) deliver(ctx context.Context, message *mail.Msg) error {
	host, portText, err := net.SplitHostPort(s.Config.SMTPAddress)
	if err != nil {
		return fmt.Errorf("read DAYOF_SMTP_ADDRESS: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return fmt.Errorf("read DAYOF_SMTP_ADDRESS: %w", err)
	}
	options := []mail.Option{mail.WithPort(port), mail.WithTimeout(mailTimeout), mail.WithTLSPolicy(mail.TLSOpportunistic)}
	if s.Config.SMTPUser != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithTLSPolicy(mail.TLSMandatory),
			mail.WithUsername(s.Config.SMTPUser), mail.WithPassword(s.Config.SMTPPassword.Reveal()))
	}
	client, err := mail.NewClient(host, options...)
	if err != nil {
		return fmt.Errorf("prepare mail: %w", err)
	}
	return client.DialAndSendWithContext(ctx, message)
}
