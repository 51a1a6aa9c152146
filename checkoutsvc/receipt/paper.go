package receipt

import (
	"errors"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/ticketpdf"
	"github.com/dayof/dayof/internal/chassis/smtp"
)

// withPaper adds the tickets on paper to what is attached to a mail: those that are valid now, if there are any: the first
// TicketsMax, and the mail has the links to all.
func (m *Mailer) withPaper(attached []smtp.Attachment, o *order.Order, ticketIDs []string) ([]smtp.Attachment, error) {
	file, err := ticketpdf.Write(o, ticketIDs, m.Codes)
	if errors.Is(err, ticketpdf.ErrNone) {
		return attached, nil
	}
	if err != nil {
		return nil, err
	}
	id := o.ID
	if len(ticketIDs) == 1 {
		id = ticketIDs[0] // the order is not the business of whom a ticket was transferred to
	}
	return append(attached, smtp.Attachment{Name: ticketpdf.FileName(id), ContentType: "application/pdf", Content: string(file)}), nil
}

// ticketsOfBuyer are the order's tickets but for those that the buyer transferred.
func ticketsOfBuyer(o *order.Order) []string {
	var ids []string
	for i := range o.Tickets {
		if t := &o.Tickets[i]; !t.Transferred() {
			ids = append(ids, t.ID)
		}
	}
	return ids
}
