package order

import (
	"time"

	"github.com/dayof/dayof/internal/personal"
)

// Kind says how an order came about.
type Kind string

// The kinds of orders.
const (
	KindSale          Kind = "sale"          // somebody ordered it
	KindComplimentary Kind = "complimentary" // the organiser gives the tickets to a guest; they cost nothing, whatever their price
)

// Guest is somebody whom the organiser gives tickets of one variant.
type Guest struct {
	OrderID     string // of the order to be
	Name, Email personal.Text
	Language    string
	Quantity    int32
}

// Invite returns the order of a guest, which is free and is to observe [NothingToPay]. Stock is taken for it as for any other; sale times and
// limits are those of buyers, and promotion codes too.
//
// Reasons: EVENT_NOT_ON_SALE, EVENT_CANCELED, SALE_NOT_OPEN.
func Invite(e Event, v Offer, g Guest, p Policy, now time.Time) (Order, error) {
	e.BuyerTicketLimit = 0
	list := v
	v.Price, v.ApplicationFee, v.Tax = 0, 0, 0
	v.SaleStartTime, v.SaleEndTime, v.BuyerTicketLimit, v.OrderTicketLimit, v.NeedsCode = nil, nil, 0, g.Quantity, false
	o, err := Quote(e, []Offer{v}, Cart{
		OrderID: g.OrderID, BuyerName: g.Name, BuyerEmail: g.Email, Language: g.Language,
		Lines: []CartLine{{VariantID: v.VariantID, Quantity: g.Quantity}},
	}, p, now)
	if err != nil {
		return o, err
	}
	o.Kind = KindComplimentary
	s := v.snapshot(e)
	s.Complimentary, s.ListPrice = true, &SnapshotPrice{Currency: list.Currency, MinorUnits: list.Price}
	o.Lines[0].Snapshot, o.Lines[0].SnapshotSchema = s.write(), SnapshotSchema
	return o, nil
}
