package order

import (
	"encoding/json"
	"fmt"
	"time"
)

// Document is JSON as it is stored.
type Document = json.RawMessage

// SnapshotSchema is the version of Snapshot as written today. Older ones stay readable: rows keep what was sold for ever.
//
//	1  venue and price were fields of the snapshot itself
//	2  they are objects of their own; a line without price_parts is of before these were kept
//	3  list_price is what the ticket cost before a discount, or would cost who is no guest; written only of such tickets, so that releases
//	   before read all others
const SnapshotSchema = 3

// snapshotWithoutDiscount is the schema of what was sold without a discount.
const snapshotWithoutDiscount = 2

// Snapshot is what was quoted and sold, kept with the line and with each ticket, so that no later change of the catalogue
// touches it.
type Snapshot struct {
	OrganizerName string        `json:"organizer_name"`
	EventName     string        `json:"event_name"`
	Venue         SnapshotVenue `json:"venue"`
	DoorsTime     *time.Time    `json:"doors_time,omitempty"`
	StartTime     time.Time     `json:"start_time"`
	EndTime       time.Time     `json:"end_time"`
	ProductName   string        `json:"product_name"`
	VariantName   string        `json:"variant_name"`
	Price         SnapshotPrice `json:"price"`
	// ListPrice is the price without the discount, of a ticket that has one.
	ListPrice *SnapshotPrice `json:"list_price,omitempty"`
	// Complimentary says that the organiser gave the ticket to a guest.
	Complimentary bool   `json:"complimentary,omitempty"`
	Terms         string `json:"terms,omitempty"`
	// Seat is kept with a ticket only; nil for general admission.
	Seat *Seat `json:"seat,omitempty"`
	// PriceParts and RefundPolicy are kept with the line only: tickets are written in a sale. Nil in a line means not known.
	PriceParts   *PriceParts   `json:"price_parts,omitempty"`
	RefundPolicy *RefundPolicy `json:"refund_policy,omitempty"`
}

// SnapshotVenue is where the event takes place.
type SnapshotVenue struct {
	Name      string   `json:"name"`
	Address   string   `json:"address,omitempty"`
	TimeZone  string   `json:"time_zone"` // IANA name
	Latitude  *float64 `json:"latitude,omitempty"`
	Longitude *float64 `json:"longitude,omitempty"`
}

// SnapshotPrice is what one ticket cost, fee and taxes included.
type SnapshotPrice struct {
	Currency   string `json:"currency"`
	MinorUnits int64  `json:"minor_units"`
}

// PriceParts are the fee and the taxes within the price of a ticket. The rest is the organiser's.
type PriceParts struct {
	ApplicationFeeMinorUnits int64      `json:"application_fee_minor_units,omitempty"`
	Taxes                    []TaxShare `json:"taxes,omitempty"`
}

// snapshotSchema1 is the first schema, flat.
type snapshotSchema1 struct {
	OrganizerName   string     `json:"organizer_name"`
	EventName       string     `json:"event_name"`
	VenueName       string     `json:"venue_name"`
	VenueAddress    string     `json:"venue_address"`
	TimeZone        string     `json:"time_zone"`
	Latitude        *float64   `json:"latitude"`
	Longitude       *float64   `json:"longitude"`
	DoorsTime       *time.Time `json:"doors_time"`
	StartTime       time.Time  `json:"start_time"`
	EndTime         time.Time  `json:"end_time"`
	ProductName     string     `json:"product_name"`
	VariantName     string     `json:"variant_name"`
	Currency        string     `json:"currency"`
	PriceMinorUnits int64      `json:"price_minor_units"`
	Terms           string     `json:"terms"`
}

func (s snapshotSchema1) upgrade() Snapshot {
	return Snapshot{
		OrganizerName: s.OrganizerName, EventName: s.EventName,
		Venue: SnapshotVenue{
			Name: s.VenueName, Address: s.VenueAddress, TimeZone: s.TimeZone, Latitude: s.Latitude, Longitude: s.Longitude,
		},
		DoorsTime: s.DoorsTime, StartTime: s.StartTime, EndTime: s.EndTime, ProductName: s.ProductName, VariantName: s.VariantName,
		Price: SnapshotPrice{Currency: s.Currency, MinorUnits: s.PriceMinorUnits}, Terms: s.Terms,
	}
}

// write returns the snapshot as it is stored, of today's schema.
func (s Snapshot) write() Document { return document(s) }

// ReadSnapshot reads what was sold with the ticket, of whichever schema. A newer schema than this release knows is an error.
func (t Ticket) ReadSnapshot() (Snapshot, error) {
	s, err := readSnapshot(t.SnapshotSchema, t.Snapshot)
	if err != nil {
		return s, fmt.Errorf("read snapshot of ticket %s: %w", t.ID, err)
	}
	return s, nil
}

func readSnapshot(schema int32, d Document) (s Snapshot, err error) {
	switch schema {
	case 1:
		var old snapshotSchema1
		err = json.Unmarshal(d, &old)
		return old.upgrade(), err
	case snapshotWithoutDiscount, SnapshotSchema:
		err = json.Unmarshal(d, &s)
		return s, err
	}
	return s, fmt.Errorf("it is of schema %d, this release reads up to %d", schema, SnapshotSchema)
}

// priceParts are the parts of the price of each ticket of the line; nil when they are not known.
func (l Line) priceParts() *PriceParts {
	s, err := readSnapshot(l.SnapshotSchema, l.Snapshot)
	if err != nil {
		return nil
	}
	return s.PriceParts
}

// ticketSnapshot is what the k-th ticket of the line keeps of its snapshot, with all fields that this release does not know, and its schema.
func (l Line) ticketSnapshot(k int64) (Document, int32) {
	var fields map[string]Document
	if err := json.Unmarshal(l.Snapshot, &fields); err != nil || fields["price_parts"] == nil && fields["refund_policy"] == nil {
		return l.Snapshot, l.SnapshotSchema
	}
	delete(fields, "price_parts")
	delete(fields, "refund_policy")
	schema := l.SnapshotSchema
	if price := l.ticketPrice(k); price != l.UnitPriceMinorUnits {
		sold, err := readSnapshot(l.SnapshotSchema, l.Snapshot)
		if err != nil {
			panic("a snapshot of this release cannot be read: " + err.Error())
		}
		schema, fields["list_price"] = SnapshotSchema, fields["price"]
		fields["price"] = document(SnapshotPrice{Currency: sold.Price.Currency, MinorUnits: price})
	}
	return document(fields), schema
}
