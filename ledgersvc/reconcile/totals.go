package reconcile

import (
	"maps"
	"slices"
	"strings"

	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// sums are amounts by asset.
type sums map[string]int64

func (s sums) assets() []string { return slices.Sorted(maps.Keys(s)) }

// equal says whether two sources agree; what is zero in one may be absent in the other.
func (s sums) equal(other sums) bool {
	for asset, amount := range s {
		if other[asset] != amount {
			return false
		}
	}
	for asset, amount := range other {
		if s[asset] != amount {
			return false
		}
	}
	return true
}

// amount picks the amount to show: that of an asset on which the other source differs.
func (s sums) amount(other sums) *money.Money {
	assets := s.assets()
	i := slices.IndexFunc(assets, func(asset string) bool { return s[asset] != other[asset] })
	if i < 0 {
		if len(assets) == 0 {
			return nil
		}
		i = 0
	}
	m, err := money.FromFormanceAsset(assets[i], s[assets[i]])
	if err != nil {
		m = money.Money{Currency: assets[i], MinorUnits: s[assets[i]]}
	}
	return &m
}

func (s sums) String() string {
	if len(s) == 0 {
		return "nothing"
	}
	var words []string
	for _, asset := range s.assets() {
		words = append(words, sums{asset: s[asset]}.amount(nil).Format())
	}
	return strings.Join(words, " and ")
}

// totals are the amounts of each source.
type totals struct {
	order  sums // what orders have
	booked sums // what the ledger has of the money of orders
	ledger sums // what the ledger has of the balances at Stripe
	stripe sums
	copies sums // what our copies have of the money of orders, or else of the balances at Stripe
}

func (x *item) totals() totals {
	s := totals{order: sums{}, booked: sums{}, ledger: sums{}, stripe: sums{}, copies: sums{}}
	for _, line := range x.lines {
		if _, m, ok := lineMove(line); ok {
			s.order[m.asset] += m.amount
		}
	}
	for _, e := range x.entries {
		of, _ := ofOrders(e)
		for _, m := range of {
			s.booked[m.asset] += m.amount
		}
		for _, m := range atStripe(e) {
			s.ledger[m.asset] += m.amount
		}
	}
	for _, c := range x.copies {
		moves, ofOrders := ofOrders(c)
		if !ofOrders {
			moves = atStripe(c)
		}
		for _, m := range moves {
			s.copies[m.asset] += m.amount
		}
	}
	for _, m := range x.stripe.moves {
		s.stripe[m.asset] += m.amount
	}
	return s
}

// totalsBySource says for people which source has what.
func (x *item) totalsBySource() string {
	s := x.totals()
	ledger := s.booked
	if len(ledger) == 0 {
		ledger = s.ledger
	}
	words := []string{"ledger " + shown(len(x.entries), ledger), "our copy " + shown(len(x.copies), s.copies), "Stripe " + shown(len(x.stripe.moves), s.stripe)}
	if _, must := ofOrders(journal.Entry{Reference: x.subject}); must || x.kind == "refund-request" {
		words = slices.Insert(words, 0, "order "+shown(len(x.lines), s.order))
	}
	return strings.Join(words, "; ")
}

func shown(count int, s sums) string {
	if count == 0 {
		return "nothing"
	}
	if len(s) == 0 {
		return "no amount"
	}
	return s.String()
}
