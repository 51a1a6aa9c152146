package order_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// quoteWith quotes a cart with so many tickets of each offer, and a promotion code.
func quoteWith(p order.Policy, promotion *order.Promotion, offers []order.Offer, quantities ...int32) (order.Order, error) {
	cart := order.Cart{OrderID: "o1", BuyerName: "Ada", BuyerEmail: "ada@example.com", Language: "en", Promotion: promotion}
	for i := range offers {
		offers[i].VariantID, offers[i].Version = fmt.Sprintf("v%d", i), 1
		if quantities[i] > 0 {
			cart.Lines = append(cart.Lines, order.CartLine{VariantID: offers[i].VariantID, Quantity: quantities[i]})
		}
	}
	return order.Quote(order.Event{ID: "e1", OrganizerID: "g1", Schedule: order.Schedule{Number: 1, EndTime: t0.AddDate(1, 0, 0)}, Publication: order.EventPublished}, offers, cart, p, t0)
}

// prices are what the tickets of a sold order cost, by position.
func (l *life) prices() (prices []int64) {
	l.t.Helper()
	for _, ticket := range l.order.Tickets {
		s, err := ticket.ReadSnapshot()
		if err != nil {
			l.t.Fatal(err)
		}
		prices = append(prices, s.Price.MinorUnits)
	}
	return prices
}

// soldWith sells an order that was quoted with a code, or that is free by it.
func soldWith(t *testing.T, o order.Order, p order.Policy) *life {
	t.Helper()
	l := newLife(t)
	l.order, l.policy = o, p
	if o.Free() {
		l.observe(order.NothingToPay{})
		l.observe(l.completed())
		return l
	}
	l.order.Intents[0].StripeID = "pi_1"
	return l.sold()
}

func euro(minorUnits int64) order.Amount {
	return order.Amount{Currency: "EUR", MinorUnits: minorUnits}
}

func TestDiscounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		discount order.Discount
		variants []string
		prices   []int64
		want     string // prices of the tickets: two of the first offer, three of the second
		total    int64
	}{
		"a tenth":                         {order.Discount{BasisPoints: 1000}, nil, []int64{1000, 500}, "[900 900 450 450 450]", 3150},
		"a tenth of some":                 {order.Discount{BasisPoints: 1000}, []string{"v1"}, []int64{1000, 500}, "[1000 1000 450 450 450]", 3350},
		"a third, of odd prices":          {order.Discount{BasisPoints: 3333}, nil, []int64{1001, 333}, "[667 668 222 222 222]", 2001},
		"half up":                         {order.Discount{BasisPoints: 1}, nil, []int64{1000, 1000}, "[999 1000 1000 1000 1000]", 4999},
		"all":                             {order.Discount{BasisPoints: 10_000}, nil, []int64{1000, 500}, "[0 0 0 0 0]", 0},
		"an amount off each":              {order.Discount{Amount: euro(600), PerTicket: true}, nil, []int64{1000, 500}, "[400 400 0 0 0]", 800},
		"an amount off the order":         {order.Discount{Amount: euro(100)}, nil, []int64{1000, 500}, "[971 971 486 486 486]", 3400},
		"an amount off some of the order": {order.Discount{Amount: euro(100)}, []string{"v1"}, []int64{1000, 500}, "[1000 1000 466 467 467]", 3400},
		"more than all":                   {order.Discount{Amount: euro(10_000)}, nil, []int64{1000, 500}, "[0 0 0 0 0]", 0},
		"beside what is free":             {order.Discount{Amount: euro(7)}, nil, []int64{0, 500}, "[0 0 497 498 498]", 1493},
	} {
		p := testPolicy(rand.New(rand.NewPCG(1, 1)))
		offers := []order.Offer{offer(c.prices[0], min(c.prices[0], 50), min(c.prices[0], 100)/2, "vat"), offer(c.prices[1], 20, 35, "vat")}
		o, err := quoteWith(p, &order.Promotion{ID: "p1", Code: "SPRING", Discount: c.discount, VariantIDs: c.variants}, offers, 2, 3)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		l := soldWith(t, o, p)
		whole := 2*c.prices[0] + 3*c.prices[1]
		if got := fmt.Sprint(l.prices()); got != c.want || o.TotalMinorUnits != c.total || o.DiscountMinorUnits != whole-c.total || o.PromotionCode != "SPRING" {
			t.Errorf("%s: tickets cost %s, want %s; total %d, want %d; discount %d", name, got, c.want, o.TotalMinorUnits, c.total, o.DiscountMinorUnits)
		}
		if o.Free() != (c.total == 0) || o.Free() != (l.order.Payment == order.PaymentNotRequired) {
			t.Errorf("%s: the order is %s", name, l.order.Payment)
		}
	}
}

// A ticket's snapshot says what it cost before, where something was off, and only then has the schema that says so.
func TestSnapshotOfADiscount(t *testing.T) {
	t.Parallel()
	p := testPolicy(rand.New(rand.NewPCG(1, 1)))
	o, err := quoteWith(p, &order.Promotion{ID: "p1", Code: "ONE", Discount: order.Discount{Amount: euro(1)}}, []order.Offer{offer(1000, 50, 100, "vat")}, 2)
	if err != nil {
		t.Fatal(err)
	}
	l := soldWith(t, o, p)
	for i, want := range []struct {
		schema      int32
		price, list int64
	}{{3, 999, 1000}, {2, 1000, 0}} {
		ticket := l.order.Tickets[i]
		s, err := ticket.ReadSnapshot()
		var list int64
		if s.ListPrice != nil {
			list = s.ListPrice.MinorUnits
		}
		if err != nil || ticket.SnapshotSchema != want.schema || s.Price.MinorUnits != want.price || list != want.list || s.PriceParts != nil {
			t.Errorf("ticket %d of schema %d: %+v, %v", i+1, ticket.SnapshotSchema, s, err)
		}
	}
}

// The tax follows the price of its ticket; the fee stays, and is at most what is left.
func TestSharesOfADiscount(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		off        int64
		fee, taxes string
	}{
		"a little":     {100, "300", "261"},
		"nearly all":   {900, "71", "29"},
		"all of it":    {1000, "0", ""},
		"half of it":   {500, "300", "145"},
		"nothing much": {1, "300", "290"},
	} {
		o, err := quoteWith(testPolicy(rand.New(rand.NewPCG(1, 1))), &order.Promotion{ID: "p1", Code: "X", Discount: order.Discount{Amount: euro(c.off)}}, []order.Offer{offer(1000, 300, 290, "vat")}, 1)
		taxes := ""
		for _, tax := range o.Taxes {
			taxes += fmt.Sprint(tax.MinorUnits)
		}
		if fee := fmt.Sprint(o.ApplicationFeeMinorUnits); err != nil || fee != c.fee || taxes != c.taxes {
			t.Errorf("%s: fee %s, taxes %s, %v; want %s and %s", name, fee, taxes, err, c.fee, c.taxes)
		}
	}
}

// TestDiscountsAddUp draws carts and discounts: the tickets' prices come to the total, no share is below 0 or beyond its ticket, and tickets that
// are refunded one by one give back exactly what the order had.
func TestDiscountsAddUp(t *testing.T) {
	t.Parallel()
	seed := seed(t)
	for i := range 2000 {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		if wrong := discountsAddUp(t, r); wrong != "" {
			t.Fatalf("case %d: %s", i, wrong)
		}
	}
}

func discountsAddUp(t *testing.T, r *rand.Rand) string {
	t.Helper()
	p := testPolicy(r)
	p.RefundApplicationFee = true
	offers, quantities := []order.Offer{}, []int32{}
	for range 1 + r.IntN(4) {
		price := r.Int64N(5000)
		fee := r.Int64N(price/2 + 1)
		offers, quantities = append(offers, offer(price, fee, r.Int64N(price-fee+1), []string{"vat", "city"}[r.IntN(2)])), append(quantities, int32(1+r.IntN(7)))
	}
	promotion := &order.Promotion{ID: "p1", Code: "DRAWN", Discount: order.Discount{BasisPoints: 1 + r.Int32N(10_000)}}
	if r.IntN(2) == 0 {
		promotion.Discount = order.Discount{Amount: euro(1 + r.Int64N(20_000)), PerTicket: r.IntN(2) == 0}
	}
	if r.IntN(2) == 0 {
		promotion.VariantIDs = []string{"v0"}
	}
	o, err := quoteWith(p, promotion, offers, quantities...)
	if refused, ok := errors.AsType[*order.Refusal](err); ok && refused.Reason == order.ReasonPromotionNotApplicable {
		return "" // it would leave less than can be paid
	}
	if err != nil {
		return err.Error()
	}
	var list, fee, taxes int64
	for _, l := range o.Lines {
		list += l.UnitPriceMinorUnits * int64(l.Quantity)
		if l.VariantID != "v0" && len(promotion.VariantIDs) > 0 && l.DiscountMinorUnits != 0 {
			return "a discount of a variant that the code is not for"
		}
	}
	for _, tax := range o.Taxes {
		taxes += tax.MinorUnits
		if tax.MinorUnits <= 0 {
			return fmt.Sprintf("a tax of %d", tax.MinorUnits)
		}
	}
	l := soldWith(t, o, p)
	var sum int64
	for _, price := range l.prices() {
		if sum += price; price < 0 {
			return fmt.Sprintf("a ticket costs %d", price)
		}
	}
	if sum != o.TotalMinorUnits || list-o.DiscountMinorUnits != sum || o.ApplicationFeeMinorUnits < 0 || o.ApplicationFeeMinorUnits+taxes > sum {
		return fmt.Sprintf("tickets of %d cost %d, the total is %d, off are %d, fee %d, taxes %d", list, sum, o.TotalMinorUnits, o.DiscountMinorUnits, o.ApplicationFeeMinorUnits, taxes)
	}
	fee = o.ApplicationFeeMinorUnits
	for i, price := range l.prices() {
		if price == 0 {
			if err := l.try(order.TicketsReleased{TicketIDs: []string{l.order.Tickets[i].ID}}); err != nil && !reasonIs(err, order.ReasonTicketVoid) { // with the last money
				return err.Error()
			}
			continue
		}
		f := order.RefundRequest{ID: l.policy.NewID(), TicketIDs: []string{l.order.Tickets[i].ID}}
		l.observe(f)
		refund := l.order.Refund(f.ID)
		fee -= refund.ApplicationFeeMinorUnits
		rest := refund.AmountMinorUnits - refund.ApplicationFeeMinorUnits
		for _, tax := range refund.Taxes {
			taxes -= tax.MinorUnits
			rest -= tax.MinorUnits
		}
		if refund.AmountMinorUnits != price || rest < 0 {
			return fmt.Sprintf("a ticket of %d gives back %+v", price, refund)
		}
	}
	if fee != 0 || taxes != 0 {
		return fmt.Sprintf("fee %d and taxes %d are left", fee, taxes)
	}
	return ""
}

// A code holds from the instant of its start to that of its end, whatever clocks on walls do in between.
func TestPromotionWindow(t *testing.T) {
	t.Parallel()
	for _, zone := range []struct{ name, change string }{
		{"Europe/Berlin", "2026-10-25T02:30:00"}, {"America/New_York", "2026-11-01T01:30:00"}, {"Asia/Kathmandu", "2026-10-25T02:30:00"},
	} {
		place, err := time.LoadLocation(zone.name)
		if err != nil {
			t.Fatal(err)
		}
		start, err := time.ParseInLocation("2006-01-02T15:04:05", zone.change, place) // the first of two such times where there are two
		if err != nil {
			t.Fatal(err)
		}
		end := start.Add(time.Hour) // where clocks are put back, they show the same again
		promotion := &order.Promotion{ID: "p1", Code: "NIGHT", Discount: order.Discount{BasisPoints: 1000}, StartTime: &start, EndTime: &end}
		for at, want := range map[time.Time]order.Reason{
			start.Add(-time.Microsecond): order.ReasonPromotionNotActive, start: "", start.Add(30 * time.Minute): "",
			end.Add(-time.Microsecond): "", end: order.ReasonPromotionNotActive,
		} {
			v := offer(1000, 0, 0, "vat")
			v.VariantID = "v0"
			_, err := order.Quote(order.Event{ID: "e1", Schedule: order.Schedule{EndTime: at.AddDate(1, 0, 0)}, Publication: order.EventPublished}, []order.Offer{v},
				order.Cart{OrderID: "o1", Lines: []order.CartLine{{VariantID: "v0", Quantity: 1}}, Promotion: promotion}, order.Policy{NewID: func() string { return "id" }}, at.UTC())
			refused, _ := errors.AsType[*order.Refusal](err)
			if got := refused; (got == nil) != (want == "") || got != nil && got.Reason != want {
				t.Errorf("%s at %s: %v, want %q", zone.name, at, err, want)
			}
		}
	}
}

func TestPromotionIsRefused(t *testing.T) {
	t.Parallel()
	part := order.Discount{BasisPoints: 1000}
	hidden := offer(1000, 0, 0, "vat")
	hidden.NeedsCode = true
	cheap := offer(100, 0, 0, "vat")
	dinar := offer(1000, 0, 0, "vat")
	dinar.Currency = "KWD"
	for name, c := range map[string]struct {
		promotion *order.Promotion
		offer     order.Offer
		want      order.Reason
	}{
		"archived":                 {&order.Promotion{Discount: part, ArchiveTime: &t0}, offer(1000, 0, 0, "vat"), order.ReasonPromotionNotActive},
		"for another variant":      {&order.Promotion{Discount: part, VariantIDs: []string{"v9"}}, offer(1000, 0, 0, "vat"), order.ReasonPromotionNotApplicable},
		"of another currency":      {&order.Promotion{Discount: order.Discount{Amount: order.Amount{Currency: "USD", MinorUnits: 100}}}, offer(1000, 0, 0, "vat"), order.ReasonPromotionNotApplicable},
		"leaves too little":        {&order.Promotion{Discount: order.Discount{BasisPoints: 9000}}, cheap, order.ReasonPromotionNotApplicable},
		"leaves nothing":           {&order.Promotion{Discount: order.Discount{BasisPoints: 10_000}}, cheap, ""},
		"leaves just enough":       {&order.Promotion{Discount: order.Discount{BasisPoints: 5000}}, cheap, ""},
		"in dinar":                 {&order.Promotion{Discount: order.Discount{BasisPoints: 333}}, dinar, ""},
		"hidden, without a code":   {nil, hidden, order.ReasonPromotionRequired},
		"hidden, with another one": {&order.Promotion{Discount: part}, hidden, order.ReasonPromotionRequired},
		"hidden, with its code":    {&order.Promotion{UnlockedVariantIDs: []string{"v0"}}, hidden, ""},
		"unlocks something else":   {&order.Promotion{UnlockedVariantIDs: []string{"v9"}}, offer(1000, 0, 0, "vat"), order.ReasonPromotionNotApplicable},
	} {
		o, err := quoteWith(testPolicy(rand.New(rand.NewPCG(1, 1))), c.promotion, []order.Offer{c.offer}, 1)
		if refused, ok := errors.AsType[*order.Refusal](err); ok && refused.Reason == c.want || err == nil && c.want == "" {
			if c.offer.Currency == "KWD" && o.TotalMinorUnits%10 != 0 {
				t.Errorf("%s: %d cannot be charged", name, o.TotalMinorUnits)
			}
			continue
		}
		t.Errorf("%s: %v, want %q", name, err, c.want)
	}
}

// A ticket that is refunded gives back the fee and the tax that are in its own price, with what is off.
func TestDiscountedTicketGivesBackItsOwnShares(t *testing.T) {
	t.Parallel()
	p := testPolicy(rand.New(rand.NewPCG(1, 1)))
	p.RefundApplicationFee = true
	offers := []order.Offer{offer(1000, 300, 290, "vat"), offer(500, 20, 35, "city")}
	o, err := quoteWith(p, &order.Promotion{ID: "p1", Code: "TENTH", Discount: order.Discount{BasisPoints: 1000}}, offers, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	l := soldWith(t, o, p)
	for i, want := range []string{"900: fee 300, vat 261", "900: fee 300, vat 261", "450: fee 20, city 32"} {
		if got := l.refunded(0, i); got != want {
			t.Errorf("ticket %d gives back %s, want %s", i+1, got, want)
		}
	}
}
