package order

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/internal/personal"
)

// Cart is what a buyer wants to buy of an event.
type Cart struct {
	// OrderID is the id of the order to be; it is the caller's, to claim its key with.
	OrderID               string
	BuyerName, BuyerEmail personal.Text
	Language              string
	Lines                 []CartLine
	// ExpectedTotal is what the buyer was shown; nil accepts any.
	ExpectedTotal *Amount
	// Promotion is the code that the buyer names; nil for none.
	Promotion *Promotion
}

// CartLine is a number of tickets of one variant.
type CartLine struct {
	VariantID string
	Quantity  int32
	// SeatIDs are the chosen seats, as many as Quantity; none for the best that are available, and for general admission.
	SeatIDs []string
}

// Event is what an order keeps of the event that it is for.
type Event struct {
	ID, OrganizerID, OrganizerName, Name string
	Venue                                SnapshotVenue
	Schedule
	Publication      Publication
	BuyerTicketLimit int32         // 0: none
	RefundPolicy     *RefundPolicy // nil: the platform's, and not by buyers
	WaitingRoom      bool          // buyers wait for their turn
}

// Offer is a variant with the version that is on sale. Amounts are in minor units; fee and tax are parts of the price.
type Offer struct {
	VariantID                  string
	Version                    int32
	ProductName, Name          string
	Currency                   string
	Price, ApplicationFee, Tax int64
	TaxCountry, TaxKind, Terms string
	SaleStartTime, SaleEndTime *time.Time // nil: always
	State                      VariantState
	OrderTicketLimit           int32
	BuyerTicketLimit           int32 // 0: none
	OrganizerCannotSell        bool
	Seated                     bool // each ticket is a seat
	NeedsCode                  bool // sold with a promotion code that unlocks it only
}

// Quote prices a cart with the versions of now and returns the order of it, with an active hold and the first intent to ask
// Stripe for; a free order has none, and is to observe [NothingToPay]. It checks all that does not depend on stock. The time at which the hold ends is the database's to say.
//
// A refusal names all lines that are wrong, and has the reason of the first.
//
// What the buyer has already is checked by [Order.CheckBuyer].
//
// Reasons: EVENT_NOT_ON_SALE, EVENT_CANCELED, VARIANT_NOT_FOUND, INVALID_FIELD, SALE_NOT_OPEN, ORGANIZER_CANNOT_SELL, ORDER_TICKET_LIMIT,
// CURRENCY_MISMATCH, TOTAL_CHANGED, PROMOTION_CODE_NOT_ACTIVE, PROMOTION_CODE_REQUIRED, PROMOTION_CODE_NOT_APPLICABLE.
func Quote(e Event, offers []Offer, cart Cart, p Policy, now time.Time) (Order, error) {
	o := Order{
		ID: cart.OrderID, OrganizerID: e.OrganizerID, EventID: e.ID, BuyerName: cart.BuyerName, BuyerEmail: cart.BuyerEmail,
		Language: cart.Language, Payment: PaymentAwaiting, Fulfilment: FulfilmentNone, Hold: Hold{State: HoldActive}, CreateTime: now,
		Schedule: e.Schedule, Kind: KindSale,
	}
	if o.Schedule.Canceled() {
		return o, &Refusal{Reason: ReasonEventCanceled, Detail: "the event is canceled, nothing of it is sold any more"}
	}
	if o.eventOver(now) {
		return o, &Refusal{Reason: ReasonSaleNotOpen, Detail: "the event is over"}
	}
	if e.Publication != EventPublished {
		return o, &Refusal{Reason: ReasonEventNotOnSale, Detail: "the event is " + e.Publication.words() + ": nothing of it is sold"}
	}
	if err := checkLines(offers, cart.Lines, now); err != nil {
		return o, err
	}
	if err := checkPromotion(offers, cart, now); err != nil {
		return o, err
	}
	taxes := map[[2]string]int64{} // by country and kind
	for i, line := range cart.Lines {
		v, quantity := offers[offerOf(offers, line)], int64(line.Quantity)
		o.Currency = v.Currency
		o.Lines = append(o.Lines, Line{
			Position: int32(i + 1), VariantID: v.VariantID, VariantVersion: v.Version, ProductName: v.ProductName, VariantName: v.Name,
			Quantity: line.Quantity, UnitPriceMinorUnits: v.Price, SnapshotSchema: snapshotWithoutDiscount, Snapshot: v.snapshot(e).write(),
			Seats: seatsOf(line), Seated: v.Seated,
		})
		o.TotalMinorUnits += v.Price * quantity
		o.ApplicationFeeMinorUnits += v.ApplicationFee * quantity
		if v.Tax > 0 {
			taxes[[2]string{v.TaxCountry, v.TaxKind}] += v.Tax * quantity
		}
	}
	if cart.Promotion != nil {
		if err := o.promote(cart.Promotion, taxes); err != nil {
			return o, err
		}
		maps.DeleteFunc(taxes, func(_ [2]string, tax int64) bool { return tax == 0 })
	}
	for _, place := range slices.SortedFunc(maps.Keys(taxes), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		o.Taxes = append(o.Taxes, TaxShare{Country: place[0], Kind: place[1], MinorUnits: taxes[place]})
	}
	o.BuyerLimits = buyerLimits(e, offers)
	if err := checkTotal(&o, cart.ExpectedTotal); err != nil {
		return o, err
	}
	if o.Free() {
		o.Payment = PaymentNotRequired
		return o, nil
	}
	o.Intents = []PaymentIntent{{
		ID: p.NewID(), Number: 1, Currency: o.Currency, AmountMinorUnits: o.TotalMinorUnits,
		Status: IntentRequiresPaymentMethod, StatusTime: StatusTimeUnknown, CreateTime: now, Attempt: 1,
	}}
	return o, nil
}

// offerOf is where the variant of a line is among the offers; negative when it is not.
func offerOf(offers []Offer, line CartLine) int {
	return slices.IndexFunc(offers, func(v Offer) bool { return v.VariantID == line.VariantID })
}

// checkLines checks the lines of a cart.
func checkLines(offers []Offer, lines []CartLine, now time.Time) error {
	var refused *Refusal
	for i := range lines {
		r := checkLine(offers, lines, i, now)
		if r == nil {
			continue
		}
		field := RefusedField{Path: fmt.Sprintf("lines[%d].%s", i, r.Field), Detail: r.Detail}
		if refused == nil {
			refused = &Refusal{Reason: r.Reason, Detail: field.Path + ": " + field.Detail}
		} else {
			refused.Detail += "; " + field.Path + ": " + field.Detail
		}
		refused.Fields = append(refused.Fields, field)
	}
	if refused == nil {
		return nil
	}
	return refused
}

// checkLine checks the i-th line of a cart. Field of the refusal is that of the line.
func checkLine(offers []Offer, lines []CartLine, i int, now time.Time) *Refusal {
	at := offerOf(offers, lines[i])
	if at < 0 {
		return &Refusal{Field: "variant_id", Reason: ReasonVariantNotFound, Detail: "the event has no such variant"}
	}
	v := offers[at]
	switch {
	case slices.ContainsFunc(lines[:i], func(l CartLine) bool { return l.VariantID == v.VariantID }):
		return &Refusal{Field: "variant_id", Reason: ReasonInvalidField, Detail: "the variant is in another line already, add to its quantity"}
	case v.SaleStartTime != nil && now.Before(*v.SaleStartTime), v.closed(now):
		return &Refusal{Field: "variant_id", Reason: ReasonSaleNotOpen, Detail: "this variant is not on sale now, see its sale times"}
	case v.OrganizerCannotSell && v.Price > 0:
		return &Refusal{Field: "variant_id", Reason: ReasonOrganizerCannotSell, Detail: "the organiser cannot take money now, try again later with a new key"}
	case lines[i].Quantity > v.OrderTicketLimit:
		return &Refusal{
			Field: "quantity", Reason: ReasonOrderTicketLimit, Detail: fmt.Sprintf("one order may have at most %d tickets of this variant", v.OrderTicketLimit),
		}
	}
	if r := checkSeats(v, lines, i); r != nil {
		return r
	}
	if first := slices.IndexFunc(lines[:i], func(l CartLine) bool { return offerOf(offers, l) >= 0 }); first >= 0 && offers[offerOf(offers, lines[first])].Currency != v.Currency {
		return &Refusal{Field: "variant_id", Reason: ReasonCurrencyMismatch, Detail: "all lines of an order are of one currency, make an order per currency"}
	}
	return nil
}

func checkTotal(o *Order, expected *Amount) error {
	switch {
	case expected == nil:
		return nil
	case expected.Currency != o.Currency:
		return &Refusal{Reason: ReasonCurrencyMismatch, Detail: "expected_total.currency: the order is in " + o.Currency}
	case expected.MinorUnits != o.TotalMinorUnits:
		return &Refusal{
			Reason: ReasonTotalChanged,
			Detail: fmt.Sprintf("the total is %s now, show it to the buyer and try again with a new key",
				money.Money{Currency: o.Currency, MinorUnits: o.TotalMinorUnits}),
		}
	}
	return nil
}

// snapshot takes down what a variant version promises now.
func (v Offer) snapshot(e Event) Snapshot {
	parts := &PriceParts{ApplicationFeeMinorUnits: v.ApplicationFee}
	if v.Tax > 0 {
		parts.Taxes = []TaxShare{{Country: v.TaxCountry, Kind: v.TaxKind, MinorUnits: v.Tax}}
	}
	return Snapshot{
		OrganizerName: e.OrganizerName, EventName: e.Name, Venue: e.Venue, DoorsTime: e.DoorsTime, StartTime: e.StartTime, EndTime: e.EndTime,
		ProductName: v.ProductName, VariantName: v.Name, Price: SnapshotPrice{Currency: v.Currency, MinorUnits: v.Price}, Terms: v.Terms,
		PriceParts: parts, RefundPolicy: e.RefundPolicy,
	}
}
