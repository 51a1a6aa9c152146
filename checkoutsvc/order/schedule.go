package order

import "time"

// Schedule is when an event takes place, and whether it does. What was sold keeps the times that it was sold with in its snapshot;
// what people are shown has these.
type Schedule struct {
	// Number counts the changes: 1 is the schedule with which the event was put on sale.
	Number     int32      `json:"number"`
	DoorsTime  *time.Time `json:"doors_time"`
	StartTime  time.Time  `json:"start_time"`
	EndTime    time.Time  `json:"end_time"`
	CancelTime *time.Time `json:"cancel_time"` // nil: it takes place
}

// Canceled says whether the event is canceled, for good.
func (s Schedule) Canceled() bool { return s.CancelTime != nil }

// EventCanceled is the fact that the order's event is canceled. Tickets admit nobody from then on: they are suspended until their
// money goes back, which voids them. Stock that is kept goes back, and intents are canceled; money that comes all the same is late
// money, and no late money buys anything of a canceled event.
//
// The event's row says it too: what happens to the order between the cancellation and this fact ends the same.
type EventCanceled struct {
	Time time.Time
}

func (f EventCanceled) observe(d *decision) error {
	o := &d.order
	if !o.Schedule.Canceled() {
		o.Schedule.CancelTime = &f.Time
	}
	if o.Hold.State == HoldActive {
		d.endHoldOfCanceled()
		d.enqueue(WorkCancelIntents, o.ID)
	}
	d.settleTickets()
	d.setPayment()
	return nil
}

// endHoldOfCanceled returns the stock that is kept of a canceled event.
func (d *decision) endHoldOfCanceled() {
	if d.order.Schedule.Canceled() && d.order.Hold.State == HoldActive {
		d.endHold(HoldReleased)
	}
}
