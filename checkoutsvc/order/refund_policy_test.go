package order_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// soldUnder is the life of an order of four tickets that were sold under a policy.
func soldUnder(t *testing.T, p *order.RefundPolicy, ticketPrice, fee, tax int64) *life {
	t.Helper()
	l := newLife(t)
	offer := order.Offer{
		VariantID: "v1", Version: 1, Currency: "EUR", Price: ticketPrice, ApplicationFee: fee, Tax: tax, TaxCountry: "DE", TaxKind: "vat", OrderTicketLimit: 10,
	}
	event := order.Event{
		ID: "e1", OrganizerID: "g1", Schedule: order.Schedule{Number: 1, StartTime: t0.AddDate(1, 0, 0), EndTime: t0.AddDate(1, 0, 1)},
		Publication: order.EventPublished, RefundPolicy: p,
	}
	var err error
	if l.order, err = order.Quote(event, []order.Offer{offer}, order.Cart{OrderID: "o1", Lines: []order.CartLine{{VariantID: "v1", Quantity: 4}}}, l.policy, t0); err != nil {
		t.Fatal(err)
	}
	l.order.Intents[0].StripeID = "pi_1"
	return l.sold()
}

// Whatever buyers give back beside what staff refund: a ticket goes back once and for its price less what is kept, never more than was
// captured goes back, and no share of fee or tax more than the sale had.
func TestBuyerRefunds(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(seed(t), 0))
	fees := []order.ApplicationFeeRefund{order.ApplicationFeeAsConfigured, order.ApplicationFeeReturned, order.ApplicationFeeKept}
	granted := 0
	for range 2000 {
		ticketPrice := 1 + r.Int64N(20000)
		fee := r.Int64N(ticketPrice/2 + 1)
		tax := r.Int64N(ticketPrice/3 + 1)
		p := order.RefundPolicy{BuyerSecondsBeforeStart: new(int64(r.IntN(1000))), KeptBasisPoints: int32(r.IntN(10001)), ApplicationFee: fees[r.IntN(3)]}
		l := soldUnder(t, &p, ticketPrice, fee, tax)
		kept := ticketPrice * int64(p.KeptBasisPoints) / 10000
		if p.ApplicationFee == order.ApplicationFeeKept {
			kept = min(kept+fee, ticketPrice)
		}
		back := map[string]bool{}
		for i := range 5 {
			id := fmt.Sprint("r", i)
			if r.IntN(4) == 0 {
				_ = l.try(order.RefundRequest{ID: id, Amount: &order.Amount{Currency: "EUR", MinorUnits: 1 + r.Int64N(ticketPrice)}})
				continue
			}
			ticket := l.order.Tickets[r.IntN(4)].ID
			err := l.try(order.BuyerRefund{ID: id, TicketIDs: []string{ticket}})
			refusal, refused := errors.AsType[*order.Refusal](err)
			switch {
			case err != nil && !refused:
				t.Fatal(err)
			case refused && refusal.Reason == order.ReasonRefundKeepsAll && kept == ticketPrice, refused && refusal.Reason == order.ReasonRefundExceedsCaptured,
				refused && refusal.Reason == order.ReasonTicketVoid && (back[ticket] || l.order.Refundable() == 0):
			case refused || back[ticket] || l.order.Refund(id).AmountMinorUnits != ticketPrice-kept:
				t.Fatalf("%+v, price %d, fee %d: %v, refund %+v, given back before: %v", p, ticketPrice, fee, err, l.order.Refund(id), back[ticket])
			default:
				back[ticket] = true
				granted++
			}
		}
		var sum, fees, taxes int64
		for _, made := range l.order.Refunds {
			sum, fees = sum+made.AmountMinorUnits, fees+made.ApplicationFeeMinorUnits
			for _, tax := range made.Taxes {
				taxes += tax.MinorUnits
			}
		}
		if most := map[bool]int64{false: 4 * fee}[p.ApplicationFee == order.ApplicationFeeKept]; sum > 4*ticketPrice || fees > most || taxes > 4*tax {
			t.Fatalf("%+v: %d of %d go back, %d of the fees of %d, %d of the taxes of %d", p, sum, 4*ticketPrice, fees, 4*fee, taxes, 4*tax)
		}
	}
	if granted < 1000 {
		t.Errorf("only %d refunds were granted", granted)
	}
}

// What is kept is rounded down, of prices that no product of 64 bits holds too.
func TestKeptPartOfAPrice(t *testing.T) {
	t.Parallel()
	const most = int64(1) << 53
	for _, c := range []struct {
		price int64
		kept  int32
		want  int64
	}{{8900, 1003, 8900 - 892}, {1, 9999, 1}, {3, 5000, 2}, {most, 3333, most - 3002099511605172}, {most, 0, most}} {
		l := soldUnder(t, &order.RefundPolicy{BuyerSecondsBeforeStart: new(int64), KeptBasisPoints: c.kept}, c.price, 0, 0)
		got, err := l.order.BuyerRefundOf([]string{l.order.Tickets[0].ID}, l.now.Add(time.Hour))
		if err != nil || got.MinorUnits != c.want || got.MinorUnits+got.KeptMinorUnits != c.price {
			t.Errorf("%d less %d basis points: %+v, %v, want %d", c.price, c.kept, got, err, c.want)
		}
	}
}
