package invariant

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// splitInvariants compare who bears and who gets what of sales and refunds: sums alone do not show money that went to the wrong one.
func splitInvariants() []invariant {
	return []invariant{
		{
			name: "organizer_share_is_booked", rule: "each organiser got of a sale, and gave back with a refund, what the order says",
			check: comparedSplits("the organiser", func(x split) map[string]int64 { return x.organizers }),
		},
		{
			name: "application_fee_share_is_booked", rule: "the platform got of a sale, and gave back with a refund, the fee that the order says",
			check: comparedSplits("the platform", func(x split) map[string]int64 { return x.revenue }),
		},
		{
			name: "tax_share_is_booked", rule: "of a sale each tax was set aside, and given back with a refund, as the order says",
			check: comparedSplits("taxes", func(x split) map[string]int64 { return x.taxes }),
		},
		{name: "given_up_sale_is_undone", rule: "nobody keeps or owes anything of a sale that was given up once its money is back", check: undoneSales},
		query("posting_has_its_funds", "no posting of what happened ended for lack of funds at the ledger", "checkout", `
			select format('dead letter %s (%s) ended for lack of funds: %s', d.id, d.kind, d.args)
			from dead_letters d
			where d.retried_time is null and d.dismissed_time is null and (d.error like '%INSUFFICIENT_FUNDS%' or d.reason like '%INSUFFICIENT_FUNDS%')
			union all
			select format('job %s (%s) ended for lack of funds: %s', j.id, j.kind, j.args)
			from river_job j
			where j.state in ('cancelled', 'discarded') and j.errors[array_upper(j.errors, 1)]::text like '%INSUFFICIENT_FUNDS%'
				and not exists (select from dead_letters d where d.job_id = j.id)`),
	}
}

// split is who got what of money, or gave it back: by organiser, the platform's revenue, and by tax. Nobody has an entry of zero.
type split struct{ organizers, revenue, taxes map[string]int64 }

func newSplit() split {
	return split{organizers: map[string]int64{}, revenue: map[string]int64{}, taxes: map[string]int64{}}
}

// add counts an amount for whoever an account is of; what finance has drawn from revenue and taxes counts where it is lacking.
func (x split) add(account string, amount int64) {
	parts := strings.Split(account, ":")
	switch {
	case parts[0] == "organizers" && len(parts) > 2:
		x.organizers[parts[1]] += amount
	case strings.HasPrefix(account, "platform:revenue:") || account == "platform:costs:application_fees":
		x.revenue["revenue"] += amount
	case parts[0] == "taxes" && len(parts) > 2:
		x.taxes[parts[1]+":"+parts[2]] += amount
	}
	for _, m := range []map[string]int64{x.organizers, x.revenue, x.taxes} {
		maps.DeleteFunc(m, func(_ string, sum int64) bool { return sum == 0 })
	}
}

// booked is the split of a sale, or of a refund, by the postings out of or into the order's transit account; false where it has none, since
// the money waited in the transit account itself.
func (t transaction) booked(transit string) (split, bool) {
	x := newSplit()
	for _, p := range t.Postings {
		switch {
		case p.Source == transit:
			x.add(p.Destination, p.Amount.Int64())
		case p.Destination == transit:
			x.add(p.Source, p.Amount.Int64())
		}
	}
	return x, len(x.organizers)+len(x.revenue)+len(x.taxes) > 0
}

// said is the split of an amount as an order or a refund says it. The taxes of a sale on a connected account are the organiser's.
func said(organizer string, amount, fee int64, taxes taxShares, direct bool) split {
	x := newSplit()
	x.add("platform:revenue:", fee)
	rest := amount - fee
	for _, t := range taxes {
		if !direct {
			x.add("taxes:"+strings.ToLower(t.Country)+":"+t.Kind, t.MinorUnits)
			rest -= t.MinorUnits
		}
	}
	x.add("organizers:"+organizer+":share", rest)
	return x
}

// comparedSplits compares one share of all sales and refunds.
func comparedSplits(who string, of func(split) map[string]int64) func(context.Context, *snapshot) ([]string, error) {
	return func(_ context.Context, s *snapshot) ([]string, error) {
		var violations []string
		compare := func(reference, transit string, want split) {
			t, known := s.ledger.byReference[reference]
			if !known {
				return
			}
			if got, shared := t.booked(transit); shared && !maps.Equal(of(got), of(want)) {
				violations = append(violations, fmt.Sprintf("%s: %s has %v, by the order it is %v", reference, who, of(got), of(want)))
			}
		}
		direct := map[string]bool{}
		for _, p := range s.intents {
			direct[p.stripeID] = p.account != ""
			if o := s.orders[p.orderID]; o.payingIntent == p.stripeID {
				compare("capture:"+p.stripeID, orderPayment(o.id), said(o.organizer, p.captured, o.fee, o.taxes, direct[p.stripeID]))
			}
		}
		for _, r := range s.refunds {
			if r.stripeID != "" {
				o := s.orders[r.orderID]
				compare("refund:"+r.stripeID, "orders:"+o.id+":refunds:"+r.stripeID, said(o.organizer, r.amount, r.fee, r.taxes, direct[r.intentID]))
			}
		}
		return violations, nil
	}
}

// undoneSales finds orders that were given up after their sale was booked, whose money is back, and of which somebody still has a share.
func undoneSales(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	for _, p := range s.intents {
		o := s.orders[p.orderID]
		if o.fulfilment != "unfulfillable" || o.payingIntent != p.stripeID {
			continue
		}
		left, sold := s.ledger.byReference["capture:"+p.stripeID].booked(orderPayment(o.id))
		var back int64
		for _, r := range s.refunds {
			if r.intentID != p.stripeID || r.state != "succeeded" || s.pending.mentions(r.id) {
				continue
			}
			back += r.amount
			given, _ := s.ledger.byReference["refund:"+r.stripeID].booked("orders:" + o.id + ":refunds:" + r.stripeID)
			for organizer, amount := range given.organizers {
				left.add("organizers:"+organizer+":share", -amount)
			}
			left.add("platform:revenue:", -given.revenue["revenue"])
			for tax, amount := range given.taxes {
				left.add("taxes:"+tax, -amount)
			}
		}
		shares := slices.Concat(slices.Collect(maps.Values(left.organizers)), slices.Collect(maps.Values(left.revenue)), slices.Collect(maps.Values(left.taxes)))
		if sold && back >= p.captured && len(shares) > 0 {
			violations = append(violations, fmt.Sprintf("order %s was given up and its money is back, but of its sale is left: organisers %v, platform %v, taxes %v",
				o.id, left.organizers, left.revenue, left.taxes))
		}
	}
	return violations, nil
}
