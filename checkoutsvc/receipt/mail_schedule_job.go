package receipt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/smtp"
	"github.com/dayof/dayof/internal/locale"
	"github.com/dayof/dayof/internal/timezone"
)

// MailScheduleArgs names an order whose event was moved or canceled.
type MailScheduleArgs struct {
	OrderID string `json:"order_id"`
	// ScheduleNumber is the number of the schedule that the order's tickets took.
	ScheduleNumber string `json:"schedule_number"`
}

// Kind implements river.JobArgs.
func (MailScheduleArgs) Kind() string { return string(order.WorkMailSchedule) }

// MailSchedule tells the buyer, and whom tickets were transferred to, when the event takes place now, or that it does not, with a calendar file that replaces the one of the
// receipt. Idempotent, as MailRefund: once per person and schedule. Who was not told yet when the event changes again is told the newest
// only.
func (m *Mailer) MailSchedule(ctx context.Context, job *river.Job[MailScheduleArgs]) error {
	if !m.Mail.Enabled() {
		return nil
	}
	o, err := m.Orders.Read(ctx, orderstore.Key{ID: job.Args.OrderID})
	if err != nil {
		return err
	}
	number, err := strconv.ParseInt(job.Args.ScheduleNumber, 10, 32)
	if err != nil {
		return jobs.Cancel(fmt.Errorf("read number of schedule: %w", err))
	}
	newer := slices.ContainsFunc(o.Tickets, func(t order.Ticket) bool { return t.ScheduleNumber > int32(number) }) // its job tells it
	live := slices.ContainsFunc(o.Tickets, func(t order.Ticket) bool { return t.State != order.TicketVoid })
	if newer || !live {
		return nil
	}
	id := "schedule." + o.ID + "." + strconv.Itoa(int(o.Schedule.Number))
	buyer := order.Holder{Name: o.BuyerName, Email: o.BuyerEmail, Language: o.Language}
	errs := []error{m.tellSchedule(ctx, &o, id, buyer, o.ID)}
	for i := range o.Tickets {
		if t := &o.Tickets[i]; t.Transferred() && t.State != order.TicketVoid {
			errs = append(errs, m.tellSchedule(ctx, &o, id+"."+t.ID, o.Holder(t), ""))
		}
	}
	return errors.Join(errs...)
}

// tellSchedule mails the schedule to one person, whose address may reach nobody.
func (m *Mailer) tellSchedule(ctx context.Context, o *order.Order, id string, to order.Holder, orderID string) error {
	err := m.mailOnce(ctx, o, id, func(id string) (smtp.Message, error) { return m.scheduleMessage(o, to, orderID, id) })
	if smtp.Undeliverable(err) {
		return m.raiseUndeliverable(ctx, o.ID, err)
	}
	return err
}

func (m *Mailer) scheduleMessage(o *order.Order, to order.Holder, orderID, id string) (smtp.Message, error) {
	sold, err := o.Tickets[0].ReadSnapshot()
	if err != nil {
		return smtp.Message{}, err
	}
	zone, err := timezone.Load(sold.Venue.TimeZone)
	if err != nil {
		return smtp.Message{}, fmt.Errorf("load zone of the venue: %w", err)
	}
	fill := fillIn(sold.EventName, "")
	n := notice{letter: newLetterTo(to, orderID, func(w words) string {
		if o.Schedule.Canceled() {
			return w.CanceledSubject
		}
		return w.MovedSubject
	}, fill)}
	lead, tickets := n.Words.Moved, n.Words.MovedTickets
	if o.Schedule.Canceled() {
		lead, tickets = n.Words.Canceled, n.Words.CanceledTickets
		if o.Free() {
			tickets = n.Words.CanceledFreeTickets
		}
	}
	n.Paragraphs = slices.Concat([]string{fill.Replace(lead)}, whenAndWhere(o, sold, zone, n.letter), []string{tickets})
	mail, err := write(id, "notice", n.letter, n)
	mail.Attachments = []smtp.Attachment{calendarFile(o, sold, zone, m.Orders.Clock.Now())}
	return mail, err
}

// whenAndWhere says when the event takes place now, and where.
func whenAndWhere(o *order.Order, sold order.Snapshot, zone *time.Location, l letter) []string {
	where := l.Words.Where + ": " + sold.Venue.Name
	if sold.Venue.Address != "" {
		where += ", " + sold.Venue.Address
	}
	return []string{l.Words.When + ": " + locale.DateTime(o.Schedule.StartTime.In(zone), l.Language), where}
}
