package receipt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/smtp"
	"github.com/dayof/dayof/internal/locale"
	"github.com/dayof/dayof/internal/timezone"
)

// MailTransferArgs names a transfer that began or ended.
type MailTransferArgs struct {
	OrderID    string `json:"order_id"`
	TransferID string `json:"transfer_id"`
}

// Kind implements river.JobArgs.
func (MailTransferArgs) Kind() string { return string(order.WorkMailTransfer) }

// MailTransfer tells those whom the state of a transfer concerns: its recipient of the offer and of its withdrawal, who offers the ticket of
// the answer. What is told is the present state, so that nobody is offered what is over. Who accepts gets the ticket, by MailTicket.
// Idempotent, as MailRefund: once per state and person.
func (m *Mailer) MailTransfer(ctx context.Context, job *river.Job[MailTransferArgs]) error {
	if !m.Mail.Enabled() {
		return nil
	}
	o, err := m.Orders.Read(ctx, orderstore.Key{ID: job.Args.OrderID})
	if err != nil {
		return err
	}
	t := o.Transfer(job.Args.TransferID)
	if t == nil {
		return jobs.Cancel(fmt.Errorf("order %s has no transfer %s", o.ID, job.Args.TransferID))
	}
	if t.State == order.TransferCanceled {
		offered, err := m.q.IsMailSent(ctx, m.Orders.Pool, transferMailID(t.ID, order.TransferPending))
		if err != nil {
			return fmt.Errorf("read what was mailed: %w", err)
		}
		if !offered {
			return nil
		}
	}
	err = m.mailOnce(ctx, &o, transferMailID(t.ID, t.State), func(id string) (smtp.Message, error) { return m.transferMessage(&o, t, id) })
	if smtp.Undeliverable(err) { // an offer that reaches nobody ends by itself, and the ticket is still its holder's
		return jobs.Cancel(err)
	}
	return err
}

func transferMailID(transferID string, state order.TransferState) string {
	return "transfer." + transferID + "." + string(state)
}

func (m *Mailer) transferMessage(o *order.Order, t *order.Transfer, id string) (smtp.Message, error) {
	ticket := o.Ticket(t.TicketID)
	sold, err := ticket.ReadSnapshot()
	if err != nil {
		return smtp.Message{}, err
	}
	zone, err := timezone.Load(sold.Venue.TimeZone)
	if err != nil {
		return smtp.Message{}, fmt.Errorf("load zone of the venue: %w", err)
	}
	sender := o.Holder(ticket)
	to := sender
	if t.State == order.TransferPending || t.State == order.TransferCanceled {
		to = order.Holder{Name: t.RecipientName, Email: t.RecipientEmail, Language: t.RecipientLanguage}
		if to.Language == "" {
			to.Language = sender.Language
		}
	}
	language := locale.Nearest(to.Language)
	w := transferWordsOf(language)
	fill := strings.NewReplacer("{event}", sold.EventName, "{sender}", string(sender.Name), "{recipient}", string(t.RecipientName),
		"{time}", locale.DateTime(t.ExpireTime.In(zone), language))
	subjects := map[order.TransferState][2]string{
		order.TransferPending: {w.OfferSubject, w.Offered}, order.TransferCanceled: {w.WithdrawnSubject, w.Withdrawn},
		order.TransferAccepted: {w.AcceptedSubject, w.Accepted}, order.TransferDeclined: {w.DeclinedSubject, w.Declined},
		order.TransferExpired: {w.ExpiredSubject, w.Expired},
	}
	n := notice{letter: newLetterTo(to, o.ID, func(words) string { return subjects[t.State][0] }, fill)}
	n.Paragraphs = append([]string{fill.Replace(subjects[t.State][1])}, whenAndWhere(o, sold, zone, n.letter)...)
	if to != sender || ticket.Transferred() {
		n.OrderID = "" // it is the buyer's
	}
	if t.State == order.TransferPending {
		n.Links = []link{{Label: fill.Replace(w.Answer), URL: m.shopLink("/transfers/", t.ID, m.Tokens.Transfer(t.ID))}}
	}
	return write(id, "notice", n.letter, n)
}

// shopLink is a link to a page of the shop. The token is in the fragment, which no server is sent and no log has.
func (m *Mailer) shopLink(path, id, token string) string {
	return strings.TrimSuffix(m.ShopURL, "/") + path + id + "#" + token
}

// MailTicketArgs names a ticket that replaces another one and has its pass.
type MailTicketArgs struct {
	OrderID  string `json:"order_id"`
	TicketID string `json:"ticket_id"`
}

// Kind implements river.JobArgs.
func (MailTicketArgs) Kind() string { return string(order.WorkMailTicket) }

// MailTicket sends the holder of a new ticket the links to it and to its pass. Idempotent, as MailRefund. One that is void meanwhile is not
// sent.
func (m *Mailer) MailTicket(ctx context.Context, job *river.Job[MailTicketArgs]) error {
	if !m.Mail.Enabled() {
		return nil
	}
	o, err := m.Orders.Read(ctx, orderstore.Key{ID: job.Args.OrderID})
	if err != nil {
		return err
	}
	t := o.Ticket(job.Args.TicketID)
	if t == nil || t.PassSerial == "" {
		return jobs.Cancel(errors.New("there is no such ticket, or it has no pass"))
	}
	if t.State == order.TicketVoid {
		return nil
	}
	pass, err := m.Passes.GetPass(ctx, &passv1.GetPassRequest{PassSerial: t.PassSerial})
	if err != nil {
		return fmt.Errorf("get pass: %w", err)
	}
	err = m.mailOnce(ctx, &o, "ticket."+t.ID, func(id string) (smtp.Message, error) {
		return m.ticketMessage(&o, t, pass.GetPass().GetDownloadUrl(), id)
	})
	if smtp.Undeliverable(err) {
		return m.raiseUndeliverable(ctx, o.ID, err)
	}
	return err
}

func (m *Mailer) ticketMessage(o *order.Order, t *order.Ticket, passURL, id string) (smtp.Message, error) {
	sold, err := t.ReadSnapshot()
	if err != nil {
		return smtp.Message{}, err
	}
	zone, err := timezone.Load(sold.Venue.TimeZone)
	if err != nil {
		return smtp.Message{}, fmt.Errorf("load zone of the venue: %w", err)
	}
	to := o.Holder(t)
	w := transferWordsOf(locale.Nearest(to.Language))
	fill := fillIn(sold.EventName, "")
	n := notice{letter: newLetterTo(to, o.ID, func(words) string { return w.TicketSubject }, fill)}
	n.Paragraphs = append([]string{fill.Replace(w.Ticket)}, whenAndWhere(o, sold, zone, n.letter)...)
	n.Links = []link{
		{Label: w.OpenTicket, URL: m.shopLink("/tickets/", t.ID, m.Tokens.Ticket(t.ID))},
		{Label: n.Words.AddToWallet, URL: passURL},
	}
	if t.Transferred() {
		n.OrderID = "" // it is the buyer's
	}
	mail, err := write(id, "notice", n.letter, n)
	if err != nil {
		return mail, err
	}
	mail.Attachments, err = m.withPaper([]smtp.Attachment{calendarFile(o, sold, zone, m.Orders.Clock.Now())}, o, []string{t.ID})
	return mail, err
}
