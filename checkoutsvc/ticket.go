package checkoutsvc

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
)

// The states of a ticket. The database keeps the machine: reserved to valid to used, reserved or valid to suspended and
// back, all to void, which is final.
const (
	ticketReserved  = "reserved"
	ticketValid     = "valid"
	ticketUsed      = "used"
	ticketSuspended = "suspended"
	ticketVoid      = "void"
)

// snapshotSchema is the version of snapshot as written today; older ones stay readable.
const snapshotSchema = 1

// snapshot is what was quoted and sold, kept with the line and with each ticket, so that no later change of the
// catalogue touches it.
type snapshot struct {
	OrganizerName   string     `json:"organizer_name"`
	EventName       string     `json:"event_name"`
	VenueName       string     `json:"venue_name"`
	VenueAddress    string     `json:"venue_address,omitempty"`
	TimeZone        string     `json:"time_zone"`
	Latitude        *float64   `json:"latitude,omitempty"`
	Longitude       *float64   `json:"longitude,omitempty"`
	DoorsTime       *time.Time `json:"doors_time,omitempty"`
	StartTime       time.Time  `json:"start_time"`
	EndTime         time.Time  `json:"end_time"`
	ProductName     string     `json:"product_name"`
	VariantName     string     `json:"variant_name"`
	Currency        string     `json:"currency"`
	PriceMinorUnits int64      `json:"price_minor_units"`
	Terms           string     `json:"terms,omitempty"`
}

// newSnapshot takes down what a variant version promises now.
func newSnapshot(e checkoutdb.Event, v checkoutdb.ListVariantsRow) json.RawMessage {
	b, err := json.Marshal(snapshot{
		OrganizerName: e.OrganizerName, EventName: e.Name, VenueName: e.VenueName, VenueAddress: e.VenueAddress,
		TimeZone: e.TimeZone, Latitude: e.Latitude, Longitude: e.Longitude, DoorsTime: e.DoorsTime,
		StartTime: e.StartTime, EndTime: e.EndTime, ProductName: v.ProductName, VariantName: v.Name,
		Currency: v.Currency, PriceMinorUnits: v.PriceMinorUnits, Terms: v.Terms,
	})
	if err != nil {
		panic("a snapshot cannot be written: " + err.Error())
	}
	return b
}

func readSnapshot(t checkoutdb.Ticket) (snapshot, error) {
	if t.SnapshotSchema != snapshotSchema {
		return snapshot{}, fmt.Errorf("ticket %s has a snapshot of schema %d, this release reads %d", t.ID, t.SnapshotSchema, snapshotSchema)
	}
	var s snapshot
	if err := json.Unmarshal(t.Snapshot, &s); err != nil {
		return snapshot{}, fmt.Errorf("read snapshot of ticket %s: %w", t.ID, err)
	}
	return s, nil
}

// newTickets makes the order's ticket instances, one per admission, in the order of its lines.
func (s *Service) newTickets(o *order, now time.Time) []checkoutdb.Ticket {
	tickets := make([]checkoutdb.Ticket, 0, o.ticketCount())
	for _, l := range o.Lines {
		for range l.Quantity {
			tickets = append(tickets, checkoutdb.Ticket{
				ID: newID(), OrderID: o.ID, Position: int32(len(tickets) + 1), EventID: o.EventID,
				VariantID: l.VariantID, VariantVersion: l.VariantVersion, State: ticketReserved,
				Snapshot: l.Snapshot, SnapshotSchema: snapshotSchema,
				CodeKeyVersion: s.codes.current(), ChangeNumber: 1, CreateTime: now,
			})
		}
	}
	return tickets
}

// ticketState derives a ticket's state from the order's facts. What a person did (used) and what is final (void) stay.
func (o *order) ticketState(t checkoutdb.Ticket) string {
	switch {
	case t.State == ticketVoid, o.Fulfilment == fulfilmentUnfulfillable, o.disputeLost(), o.ticketRefunded(t.ID):
		return ticketVoid
	case t.State == ticketUsed:
		return ticketUsed
	case o.disputeOpen(), o.deliveryHeld():
		return ticketSuspended
	case o.Fulfilment == fulfilmentCompleted:
		return ticketValid
	default:
		return t.State
	}
}

// ticketRefunded says whether the money of a ticket went back or is on its way: the ticket is named by a refund, or all
// of the order's money is refunded. A refund that Stripe made counts also when it failed later: the ticket was void by then,
// void is final, and the failure may be told first.
func (o *order) ticketRefunded(id string) bool {
	for _, r := range o.Refunds {
		if r.StripeRefundID == nil && (r.State == refundFailed || r.State == refundCanceled) {
			continue // Stripe never made it
		}
		whole := o.captured() > 0 && r.PaymentIntent == *o.PayingIntent && r.AmountMinorUnits >= o.captured()
		if whole && r.StripeRefundID != nil || slices.Contains(r.TicketIds, id) {
			return true
		}
	}
	return o.captured() > 0 && o.refunded() >= o.captured()
}

// passContent is what a ticket's pass shows, built from frozen rows only, so that a repeat is the same bytes.
func (s *Service) passContent(o *order, t checkoutdb.Ticket) (*passv1.PassContent, error) {
	snap, err := readSnapshot(t)
	if err != nil {
		return nil, err
	}
	c := &passv1.PassContent{
		TicketId: t.ID, TicketChangeNumber: 1, Code: s.codes.sign(t.ID, t.EventID, t.CodeKeyVersion),
		OrganizerId: o.OrganizerID, OrganizerName: snap.OrganizerName,
		Event: &passv1.PassEvent{
			Id: t.EventID, Name: snap.EventName, VenueName: snap.VenueName, VenueAddress: snap.VenueAddress,
			TimeZone: snap.TimeZone, Latitude: snap.Latitude, Longitude: snap.Longitude,
			StartTime: timestamppb.New(snap.StartTime), EndTime: timestamppb.New(snap.EndTime),
		},
		ProductName: snap.ProductName, VariantName: snap.VariantName, HolderName: o.BuyerName,
		Price: &moneyv1.Money{Currency: snap.Currency, MinorUnits: snap.PriceMinorUnits},
		Terms: snap.Terms, Language: o.Language,
	}
	if snap.DoorsTime != nil {
		c.Event.DoorsTime = timestamppb.New(*snap.DoorsTime)
	}
	return c, nil
}

// stockOrder returns lines in the order in which stock rows are locked.
func stockOrder(lines []checkoutdb.OrderLine) []checkoutdb.OrderLine {
	sorted := slices.Clone(lines)
	slices.SortFunc(sorted, func(a, b checkoutdb.OrderLine) int {
		if a.VariantID < b.VariantID {
			return -1
		}
		return 1
	})
	return sorted
}
