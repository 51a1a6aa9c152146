package receipt

import (
	"github.com/dayof/dayof/checkoutsvc/order"
)

// seat names a seat in a mail.
func (w words) seat(s order.Seat) string {
	return s.Section + ", " + w.Row + " " + s.Row + ", " + w.Seat + " " + s.Label
}

// seatsOf names the seats of the order's tickets that are not void; of one variant, or of all where it is empty. There are none of general
// admission.
func seatsOf(o *order.Order, variantID string, w words) []string {
	var seats []string
	for _, t := range o.Tickets {
		if t.State == order.TicketVoid || variantID != "" && t.VariantID != variantID {
			continue
		}
		if sold, err := t.ReadSnapshot(); err == nil && sold.Seat != nil {
			seats = append(seats, w.seat(*sold.Seat))
		}
	}
	return seats
}
