package order_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// offer is a variant of a price, with the fee and the tax in it.
func offer(price, fee, tax int64, kind string) order.Offer {
	return order.Offer{
		Name: kind, Currency: "EUR", Price: price, ApplicationFee: fee, Tax: tax, TaxCountry: "DE", TaxKind: kind, OrderTicketLimit: 10,
	}
}

// bought is a sold order of one ticket of each offer.
func bought(t *testing.T, offers ...order.Offer) *life {
	t.Helper()
	l := newLife(t)
	cart := order.Cart{OrderID: "o1", BuyerName: "Ada", BuyerEmail: "ada@example.com", Language: "en"}
	for i := range offers {
		offers[i].VariantID, offers[i].Version = fmt.Sprintf("v%d", i), 1
		cart.Lines = append(cart.Lines, order.CartLine{VariantID: offers[i].VariantID, Quantity: 1})
	}
	o, err := order.Quote(order.Event{ID: "e1", OrganizerID: "g1", Schedule: order.Schedule{Number: 1, EndTime: t0.AddDate(1, 0, 0)}, Publication: order.EventPublished}, offers, cart, l.policy, t0)
	if err != nil {
		t.Fatal(err)
	}
	o.Intents[0].StripeID = "pi_1"
	l.order = o
	return l.sold()
}

// refunded asks for a refund of tickets, by their positions from 0, or of an amount, and returns its shares in words. Amount 0 is the
// tickets' price.
func (l *life) refunded(amount int64, tickets ...int) string {
	l.t.Helper()
	f := order.RefundRequest{ID: l.policy.NewID()}
	for _, i := range tickets {
		f.TicketIDs = append(f.TicketIDs, l.order.Tickets[i].ID)
	}
	if amount > 0 {
		f.Amount = &order.Amount{Currency: "EUR", MinorUnits: amount}
	}
	l.observe(f)
	return sharesOf(l.order.Refund(f.ID))
}

// sharesOf are the shares of a refund in words.
func sharesOf(r *order.Refund) string {
	text := fmt.Sprintf("%d: fee %d", r.AmountMinorUnits, r.ApplicationFeeMinorUnits)
	for _, tax := range r.Taxes {
		text += fmt.Sprintf(", %s %d", tax.Kind, tax.MinorUnits)
	}
	return text
}

// A refund that names tickets gives back what is in their prices; one that names none is in proportion.
func TestTicketsGiveBackTheirOwnShares(t *testing.T) {
	t.Parallel()
	want := func(t *testing.T, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("a refund of %s, want %s", got, want)
		}
	}
	mixed := func(t *testing.T) *life {
		t.Helper()
		return bought(t, offer(10_000, 200, 1600, "vat"), offer(10_000, 0, 0, ""))
	}
	t.Run("the taxed one", func(t *testing.T) {
		t.Parallel()
		l := mixed(t)
		want(t, l.refunded(0, 0), "10000: fee 200, vat 1600")
		want(t, l.refunded(0, 1), "10000: fee 0")
	})
	t.Run("one that replaces the taxed one", func(t *testing.T) {
		t.Parallel()
		l := mixed(t)
		l.observe(order.TicketReissue{TicketID: l.order.Tickets[0].ID})
		want(t, l.refunded(0, 2), "10000: fee 200, vat 1600")
		want(t, l.refunded(0, 1), "10000: fee 0")
	})
	t.Run("the untaxed one", func(t *testing.T) {
		t.Parallel()
		l := mixed(t)
		want(t, l.refunded(0, 1), "10000: fee 0")
		want(t, l.refunded(5000), "5000: fee 100, vat 800") // of what is left, all is taxed
		want(t, l.refunded(5000), "5000: fee 100, vat 800")
	})
	t.Run("part of a ticket", func(t *testing.T) {
		t.Parallel()
		want(t, mixed(t).refunded(2500, 0), "2500: fee 50, vat 400")
	})
	t.Run("an amount before", func(t *testing.T) {
		t.Parallel()
		l := mixed(t)
		want(t, l.refunded(5000), "5000: fee 50, vat 400")
		want(t, l.refunded(0, 0), "10000: fee 150, vat 1200") // what is left of both
		want(t, l.refunded(5000), "5000: fee 0")
	})
	t.Run("the platform keeps its fee", func(t *testing.T) {
		t.Parallel()
		l := mixed(t)
		l.policy.RefundApplicationFee = false
		want(t, l.refunded(0, 0), "10000: fee 0, vat 1600")
	})
	t.Run("two kinds of tax", func(t *testing.T) {
		t.Parallel()
		l := bought(t, offer(1000, 10, 160, "vat"), offer(3000, 30, 210, "city"), offer(500, 0, 80, "vat"))
		want(t, l.refunded(0, 1), "3000: fee 30, city 210")
		want(t, l.refunded(0, 0, 2), "1500: fee 10, vat 240")
	})
	t.Run("made at Stripe", func(t *testing.T) {
		t.Parallel()
		l := mixed(t)
		f := order.RefundObserved{
			IntentID: "pi_1", StripeID: "re_1", State: order.RefundSucceeded, Currency: "EUR", Amount: 10_000,
			TicketIDs: []string{l.order.Tickets[0].ID}, Time: l.now,
		}
		l.observe(f)
		want(t, sharesOf(l.order.RefundOf(f)), "10000: fee 200, vat 1600")
		f.StripeID, f.Amount, f.TicketIDs = "re_2", 5000, []string{"somebody else's"}
		l.observe(f)
		want(t, sharesOf(l.order.RefundOf(f)), "5000: fee 0")
	})
	t.Run("sold before the parts of a price were kept", func(t *testing.T) {
		t.Parallel()
		l := mixed(t)
		for i := range l.order.Lines {
			l.order.Lines[i].Snapshot = l.order.Tickets[i].Snapshot // without the parts
		}
		want(t, l.refunded(0, 0), "10000: fee 100, vat 800")
		want(t, l.refunded(0, 1), "10000: fee 100, vat 800")
	})
}

// Any refunds of tickets and of amounts that together give everything back give each share back to the last minor unit, and never more
// than it is. Tickets give back their own shares as long as nothing else was refunded.
func TestSharesOfMixedCartsAddUp(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(seed(t), 2))
	for n := range 2000 {
		l, offers := drawMixed(t, r)
		l.policy.RefundApplicationFee = r.IntN(4) > 0
		fee, taxes := int64(0), map[string]int64{}
		own := true // only tickets were refunded, at their prices
		for tries := 0; l.order.Refundable() > 0; tries++ {
			if tries > 1000 {
				t.Fatalf("case %d: after %d refunds %d are left", n, tries, l.order.Refundable())
			}
			f, wholes := drawRefund(l, r)
			if l.try(f) != nil {
				continue // less is left than the tickets cost
			}
			made := l.order.Refund(f.ID)
			if refused := r.IntN(6) == 0; refused {
				l.observe(order.RefundRefused{RefundID: f.ID, Attempt: 1, Code: "expired_or_canceled_card"})
				continue
			}
			bears := made.AmountMinorUnits - made.ApplicationFeeMinorUnits
			fee += made.ApplicationFeeMinorUnits
			for _, tax := range made.Taxes {
				taxes[tax.Kind] += tax.MinorUnits
				bears -= tax.MinorUnits
				if tax.MinorUnits < 0 {
					t.Fatalf("case %d: %s", n, sharesOf(made))
				}
			}
			own = own && wholes != nil
			if want := ownShares(made, offers, wholes, l.policy); own && sharesOf(made) != want {
				t.Fatalf("case %d: tickets %v give back %s, want %s", n, wholes, sharesOf(made), want)
			}
			if bears < 0 || made.ApplicationFeeMinorUnits < 0 || fee > l.order.ApplicationFeeMinorUnits {
				t.Fatalf("case %d: %s, together fee %d", n, sharesOf(made), fee)
			}
			for _, tax := range l.order.Taxes {
				if taxes[tax.Kind] > tax.MinorUnits {
					t.Fatalf("case %d: %d of tax %s %d went back", n, taxes[tax.Kind], tax.Kind, tax.MinorUnits)
				}
			}
		}
		if l.policy.RefundApplicationFee && fee != l.order.ApplicationFeeMinorUnits {
			t.Fatalf("case %d: fee %d of %d went back", n, fee, l.order.ApplicationFeeMinorUnits)
		}
		for _, tax := range l.order.Taxes {
			if taxes[tax.Kind] != tax.MinorUnits {
				t.Fatalf("case %d: %d of tax %s %d went back", n, taxes[tax.Kind], tax.Kind, tax.MinorUnits)
			}
		}
	}
}

// drawMixed draws a sold order of up to five tickets with different fees and taxes, and returns what each was sold for.
func drawMixed(t *testing.T, r *rand.Rand) (*life, []order.Offer) {
	t.Helper()
	var offers []order.Offer
	for range 1 + r.IntN(5) {
		price := 1 + r.Int64N([]int64{10, 2000, 1e6}[r.IntN(3)])
		tax := r.Int64N(price+1) * int64(r.IntN(2))
		offers = append(offers, offer(price, r.Int64N(price-tax+1), tax, []string{"vat", "city"}[r.IntN(2)]))
	}
	return bought(t, offers...), offers
}

// drawRefund draws a refund of some tickets or of an amount. wholes are the tickets if it is of their whole prices, else nil.
func drawRefund(l *life, r *rand.Rand) (f order.RefundRequest, wholes []int) {
	f = order.RefundRequest{ID: l.policy.NewID()}
	var price int64
	for i, ticket := range l.order.Tickets {
		void := ticket.State == order.TicketVoid || ticket.State == order.TicketSuspended // a refund is asked for
		if s, err := ticket.ReadSnapshot(); err == nil && !void && r.IntN(2) == 0 {
			f.TicketIDs, wholes, price = append(f.TicketIDs, ticket.ID), append(wholes, i), price+s.Price.MinorUnits
		}
	}
	if len(f.TicketIDs) > 0 && r.IntN(4) > 0 {
		return f, wholes
	}
	most := l.order.Refundable()
	if len(f.TicketIDs) > 0 {
		most = min(most, price)
	}
	f.Amount = &order.Amount{Currency: "EUR", MinorUnits: 1 + r.Int64N(most)}
	if len(f.TicketIDs) == 0 && r.IntN(3) == 0 {
		f.Amount = nil
	}
	return f, nil
}

// ownShares are the shares of tickets as they were sold, in words.
func ownShares(made *order.Refund, offers []order.Offer, tickets []int, p order.Policy) string {
	want := order.Refund{AmountMinorUnits: made.AmountMinorUnits}
	taxes := map[string]int64{}
	for _, i := range tickets {
		if p.RefundApplicationFee {
			want.ApplicationFeeMinorUnits += offers[i].ApplicationFee
		}
		taxes[offers[i].TaxKind] += offers[i].Tax
	}
	for _, kind := range []string{"city", "vat"} { // as an order has them
		if taxes[kind] > 0 {
			want.Taxes = append(want.Taxes, order.TaxShare{Kind: kind, MinorUnits: taxes[kind]})
		}
	}
	return sharesOf(&want)
}
