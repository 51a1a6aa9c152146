package receipt

import (
	"context"
	"fmt"
	"slices"

	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/internal/chassis/smtp"
	"github.com/dayof/dayof/internal/locale"
	"github.com/dayof/dayof/internal/money"
)

// MailRefundArgs names a refund that is on its way to the buyer.
type MailRefundArgs struct {
	RefundID string `json:"refund_id"`
}

// Kind implements river.JobArgs.
func (MailRefundArgs) Kind() string { return string(order.WorkMailRefund) }

// MailRefund tells the buyer of a refund: how much, when it arrives, and which tickets are void by it. Idempotent: a refund
// is told once but for a crash between the mail server's yes and our note of it. One that failed meanwhile is not told.
func (m *Mailer) MailRefund(ctx context.Context, job *river.Job[MailRefundArgs]) error {
	if !m.Mail.Enabled() {
		return nil
	}
	o, r, _, err := m.Orders.ReadRefund(ctx, job.Args.RefundID)
	if err != nil {
		return err
	}
	if !r.State.Moved() {
		return nil
	}
	return m.mailOnce(ctx, &o, "refund."+r.ID, func(id string) (smtp.Message, error) { return refundMessage(&o, r, id) })
}

// MailGivenUpArgs names an order that is paid, or free, and cannot be fulfilled.
type MailGivenUpArgs struct {
	OrderID string `json:"order_id"`
}

// Kind implements river.JobArgs.
func (MailGivenUpArgs) Kind() string { return string(order.WorkMailGivenUp) }

// MailGivenUp tells the buyer of an order that there will be no tickets and that the money, if there is any, comes back. Idempotent, as
// MailRefund.
func (m *Mailer) MailGivenUp(ctx context.Context, job *river.Job[MailGivenUpArgs]) error {
	if !m.Mail.Enabled() {
		return nil
	}
	o, err := m.Orders.Read(ctx, orderstore.Key{ID: job.Args.OrderID})
	if err != nil {
		return err
	}
	if o.Fulfilment != order.FulfilmentUnfulfillable {
		return nil
	}
	return m.mailOnce(ctx, &o, "given_up."+o.ID, func(id string) (smtp.Message, error) { return givenUpMessage(&o, id) })
}

// mailOnce sends a mail unless it was sent before.
func (m *Mailer) mailOnce(ctx context.Context, o *order.Order, id string, message func(id string) (smtp.Message, error)) error {
	sent, err := m.q.IsMailSent(ctx, m.Orders.Pool, id)
	if err != nil {
		return fmt.Errorf("read what was mailed: %w", err)
	}
	if sent {
		return nil
	}
	mail, err := message(id)
	if err != nil {
		return err
	}
	if err := m.Mail.Send(ctx, mail); err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	if err := m.q.MarkMailSent(ctx, m.Orders.Pool, id, o.ID, m.Orders.Clock.Now()); err != nil {
		return fmt.Errorf("mark mail sent: %w", err)
	}
	return nil
}

func refundMessage(o *order.Order, r *order.Refund, id string) (smtp.Message, error) {
	n, fill, err := newNotice(o, func(w words) string { return w.RefundSubject }, money.Money{Currency: r.Currency, MinorUnits: r.AmountMinorUnits})
	if err != nil {
		return smtp.Message{}, err
	}
	lead := n.Words.Refunded
	if r.Reason == order.RefundDuplicatePayment {
		lead = n.Words.RefundedDuplicate
	}
	n.Paragraphs = []string{fill(lead), n.Words.RefundArrival}
	for _, t := range o.Tickets {
		if t.State != order.TicketVoid || !slices.Contains(r.TicketIDs, t.ID) {
			continue
		}
		s, err := t.ReadSnapshot()
		if err != nil {
			return smtp.Message{}, err
		}
		name := s.ProductName + ", " + s.VariantName
		if s.Seat != nil {
			name += ", " + n.Words.seat(*s.Seat)
		}
		n.Tickets = append(n.Tickets, name+" ("+t.ID+")")
	}
	return write(id, "notice", n.letter, n)
}

func givenUpMessage(o *order.Order, id string) (smtp.Message, error) {
	n, fill, err := newNotice(o, func(w words) string { return w.UnfulfillableSubject }, money.Money{Currency: o.Currency, MinorUnits: o.Captured()})
	if err != nil {
		return smtp.Message{}, err
	}
	n.Paragraphs = []string{fill(n.Words.Unfulfillable), fill(n.Words.UnfulfillableMoney), n.Words.RefundArrival}
	if o.Free() {
		n.Paragraphs = []string{fill(n.Words.UnfulfillableFree)}
	}
	return write(id, "notice", n.letter, n)
}

// newNotice begins a notice about an amount, and returns what fills in its sentences.
func newNotice(o *order.Order, subject func(words) string, amount money.Money) (notice, func(string) string, error) {
	// A line has the event also where no ticket was made.
	sold, err := order.Ticket{Snapshot: o.Lines[0].Snapshot, SnapshotSchema: o.Lines[0].SnapshotSchema}.ReadSnapshot()
	if err != nil {
		return notice{}, nil, err
	}
	fill := fillIn(sold.EventName, locale.Money(amount, locale.Nearest(o.Language)))
	return notice{letter: newLetter(o, subject, fill)}, fill.Replace, nil
}
