package invariant

import (
	"context"
	"fmt"
	"math/big"
	"strings"
)

// ledgerInvariants compare the books with the orders, both ways, and the books with themselves.
func ledgerInvariants() []invariant {
	return []invariant{
		{
			name: "completed_order_is_booked", rule: "the sale of a completed order is in the ledger, whole and shared out",
			check: bookedOrders, excused: salesUnderWay,
		},
		{
			name: "free_order_is_booked", rule: "ledgersvc has the free sale of each completed order that costs nothing, and of no other order",
			check: bookedFreeOrders,
		},
		{name: "given_up_money_is_booked", rule: "money that bought nothing is in the ledger, or on its way there, when it goes back", check: bookedReceipts},
		{name: "refund_is_booked", rule: "a refund that left is in the ledger", check: bookedRefunds},
		{name: "capture_entry_has_an_order", rule: "the ledger has no captured money that no order knows", check: knownCaptures},
		{name: "refund_entry_has_a_refund", rule: "the ledger has no refund that no order knows", check: knownRefunds},
		{name: "stripe_fee_is_booked", rule: "the fee of a completed order's charge is in the ledger", check: bookedFees},
		{name: "copy_matches_ledger", rule: "ledgersvc's copies are the ledger's transactions, and all of them", check: matchingCopies},
		{name: "transaction_has_a_reference", rule: "every transaction of the ledger names its business fact", check: namedTransactions},
		{name: "capture_is_booked_once", rule: "an order's transit account received no more than was captured", check: bookedOnce},
		{name: "reference_is_unique", rule: "one transaction per business fact", check: uniqueReferences},
		{name: "trial_balance_is_zero", rule: "all balances of an asset sum to zero", check: trialBalance},
		{name: "order_account_is_settled", rule: "an order's transit accounts are empty once nothing is under way", check: settledAccounts},
		{name: "payable_is_not_negative", rule: "no organiser's payable is overdrawn", check: payables},
		query("difference_is_resolved", "no difference that a reconciliation found is open", "ledger", `
			select format('%s: %s (difference %s, kind %s)', subject, sides, id, kind) from reconcile_differences where state = 1`),
	}
}

// salesUnderWay counts the orders whose money was captured and whose sale may not be booked yet.
func salesUnderWay(s *snapshot) int {
	n := 0
	for _, o := range s.orders {
		if o.fulfilment == "in_progress" || o.fulfilment == "ledger_blocked" {
			n++
		}
	}
	return n
}

func bookedOrders(_ context.Context, s *snapshot) ([]string, error) {
	captured := map[string]int64{}
	for _, p := range s.intents {
		captured[p.stripeID] = p.captured
	}
	var violations []string
	for _, o := range s.orders {
		if o.fulfilment != "completed" || o.total == 0 {
			continue
		}
		t, booked := s.ledger.byReference["capture:"+o.payingIntent]
		if !booked {
			violations = append(violations, fmt.Sprintf("order %s is completed, but capture:%s is not in the ledger", o.id, o.payingIntent))
			continue
		}
		received, shared := t.received(orderPayment(o.id))
		if want := big.NewInt(captured[o.payingIntent]); received.Cmp(want) != 0 || shared.Cmp(want) != 0 {
			violations = append(violations, fmt.Sprintf("order %s captured %s; the ledger received %s and shared out %s", o.id, want, received, shared))
		}
	}
	return violations, nil
}

// bookedFreeOrders compares free orders with the free sales of ledgersvc: the ledger keeps no transaction of what moves nothing. A sale of an
// order that was given up after all stays.
func bookedFreeOrders(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	for _, o := range s.orders {
		sale, booked := s.freeSales[o.id]
		switch {
		case o.total == 0 && o.fulfilment == "completed" && !booked:
			violations = append(violations, fmt.Sprintf("order %s is free and completed, but its sale is not booked", o.id))
		case booked && (o.total != 0 || sale.organizer != o.organizer || sale.currency != o.currency):
			violations = append(violations, fmt.Sprintf("the free sale of order %s is of organiser %s in %s; the order costs %d %s and is of organiser %s",
				o.id, sale.organizer, sale.currency, o.total, o.currency, o.organizer))
		}
	}
	for orderID := range s.freeSales {
		if _, known := s.orders[orderID]; !known {
			violations = append(violations, fmt.Sprintf("the free sale of order %s is booked, but there is no such order", orderID))
		}
	}
	return violations, nil
}

func bookedReceipts(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	for _, r := range s.refunds {
		moved := r.state == "succeeded" || r.state == "pending"
		if _, booked := s.ledger.byReference["capture:"+r.intentID]; moved && !booked && !s.pending.mentions(r.id, r.orderID) {
			violations = append(violations, fmt.Sprintf("refund %s sends money of %s back that the ledger never got", r.id, r.intentID))
		}
	}
	return violations, nil
}

func bookedRefunds(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	for _, r := range s.refunds {
		t, booked := s.ledger.byReference["refund:"+r.stripeID]
		switch {
		case r.state != "succeeded" || s.pending.mentions(r.id, r.orderID):
		case !booked:
			violations = append(violations, fmt.Sprintf("refund %s of order %s succeeded, but refund:%s is not in the ledger", r.id, r.orderID, r.stripeID))
		default:
			if back := t.backToClearing(); back.Cmp(big.NewInt(r.amount)) != 0 {
				violations = append(violations, fmt.Sprintf("refund %s of order %s is %d, in the ledger %s", r.id, r.orderID, r.amount, back))
			}
		}
	}
	return violations, nil
}

// backToClearing is what a transaction sent back to Stripe's clearing accounts.
func (t transaction) backToClearing() *big.Int {
	sum := new(big.Int)
	for _, p := range t.Postings {
		if strings.HasPrefix(p.Destination, "stripe:") {
			sum.Add(sum, p.Amount)
		}
	}
	return sum
}

func knownCaptures(_ context.Context, s *snapshot) ([]string, error) {
	intents := map[string]intent{}
	for _, p := range s.intents {
		intents[p.stripeID] = p
	}
	var violations []string
	for reference, t := range s.ledger.byReference {
		stripeID, isCapture := strings.CutPrefix(reference, "capture:")
		if !isCapture {
			continue
		}
		p, known := intents[stripeID]
		received, _ := t.received(orderPayment(p.orderID))
		switch {
		case !known:
			violations = append(violations, "the ledger has "+reference+", but no order has this intent")
		case received.Cmp(big.NewInt(p.captured)) != 0:
			violations = append(violations, fmt.Sprintf("%s booked %s for order %s, which captured %d", reference, received, p.orderID, p.captured))
		}
	}
	return violations, nil
}

func knownRefunds(_ context.Context, s *snapshot) ([]string, error) {
	known := map[string]bool{}
	for _, r := range s.refunds {
		known[r.stripeID], known[r.id] = true, true // ours, while Stripe reports only the sum
	}
	var violations []string
	for reference := range s.ledger.byReference {
		for _, prefix := range []string{"refund:", "refund-fail:"} {
			if id, ok := strings.CutPrefix(reference, prefix); ok && !known[id] {
				violations = append(violations, "the ledger has "+reference+", but no order has this refund")
			}
		}
	}
	return violations, nil
}

func bookedFees(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	for _, p := range s.intents {
		if p.txn == "" || s.orders[p.orderID].fulfilment != "completed" || s.pending.mentions(p.orderID, p.id, p.stripeID) {
			continue
		}
		if _, booked := s.ledger.byReference["fee:"+p.txn]; !booked && s.stripe.fees[p.txn] != 0 {
			violations = append(violations, fmt.Sprintf("the fee of %s, order %s, is not in the ledger", p.txn, p.orderID))
		}
	}
	return violations, nil
}

func matchingCopies(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	for reference, number := range s.copies {
		t, known := s.ledger.byReference[reference]
		if !known || t.ID != number {
			violations = append(violations, fmt.Sprintf("ledgersvc has a copy of %s as number %d, which the ledger has not", reference, number))
		}
	}
	for reference, t := range s.ledger.byReference {
		if _, copied := s.copies[reference]; !copied && !s.underWay(t) {
			violations = append(violations, "ledgersvc has no copy of "+reference)
		}
	}
	return violations, nil
}

// underWay reports whether an order that a transaction touches is still being worked on: its posting may have been made by
// a call whose answer was lost, and the copy follows with the next one.
func (s *snapshot) underWay(t transaction) bool {
	for _, p := range t.Postings {
		for _, account := range []string{p.Source, p.Destination} {
			parts := strings.Split(account, ":")
			if len(parts) >= 2 && parts[0] == "orders" && (s.orders[parts[1]].inFulfilment() || s.pending.mentions(parts[1])) {
				return true
			}
		}
	}
	return false
}

func uniqueReferences(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	seen := map[string]bool{}
	for _, t := range s.ledger.all {
		if t.Reference != "" && seen[t.Reference] {
			violations = append(violations, "the ledger has "+t.Reference+" twice")
		}
		seen[t.Reference] = true
	}
	return violations, nil
}

func namedTransactions(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	for _, t := range s.ledger.all {
		if t.Reference == "" {
			violations = append(violations, fmt.Sprintf("transaction %d of the ledger has no reference", t.ID))
		}
	}
	return violations, nil
}

// bookedOnce sums what came into each order's transit account from outside, whatever the references say.
func bookedOnce(_ context.Context, s *snapshot) ([]string, error) {
	received := map[string]*big.Int{}
	for _, t := range s.ledger.all {
		for _, p := range t.Postings {
			parts := strings.Split(p.Destination, ":")
			if len(parts) != 3 || parts[0] != "orders" || parts[2] != "payment" || strings.HasPrefix(p.Source, "orders:") ||
				!strings.HasPrefix(t.Reference, "capture:") && t.Reference != "" {
				continue // not a capture
			}
			if received[parts[1]] == nil {
				received[parts[1]] = new(big.Int)
			}
			received[parts[1]].Add(received[parts[1]], p.Amount)
		}
	}
	captured := map[string]int64{}
	for _, p := range s.intents {
		captured[p.orderID] += p.captured
	}
	var violations []string
	for orderID, sum := range received {
		if sum.Cmp(big.NewInt(captured[orderID])) > 0 {
			violations = append(violations, fmt.Sprintf("order %s captured %d, and %s was booked as captured", orderID, captured[orderID], sum))
		}
	}
	return violations, nil
}

func trialBalance(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	for asset, sum := range s.ledger.total {
		if sum.Sign() != 0 {
			violations = append(violations, fmt.Sprintf("the balances in %s sum to %s", asset, sum))
		}
	}
	return violations, nil
}

func settledAccounts(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	for account, assets := range s.ledger.balances {
		parts := strings.Split(account, ":")
		if len(parts) < 3 || parts[0] != "orders" || (parts[2] != "payment" && parts[2] != "refunds") {
			continue
		}
		o := s.orders[parts[1]]
		for asset, balance := range assets {
			if balance.Sign() != 0 && !o.inFulfilment() && !s.pending.mentions(parts[1]) && !s.hasOpenRefund(parts[1]) {
				violations = append(violations, fmt.Sprintf("%s holds %s %s, and nothing is under way", account, balance, asset))
			}
		}
	}
	return violations, nil
}

// hasOpenRefund reports whether an order has a refund that is not at its end.
func (s *snapshot) hasOpenRefund(orderID string) bool {
	for _, r := range s.refunds {
		if r.orderID == orderID && (r.state == "requested" || r.state == "pending" || s.pending.mentions(r.id)) {
			return true
		}
	}
	return false
}

func payables(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	for account, assets := range s.ledger.balances {
		if !strings.HasPrefix(account, "organizers:") || !strings.HasSuffix(account, ":payable") {
			continue
		}
		for asset, balance := range assets {
			if balance.Sign() < 0 {
				violations = append(violations, fmt.Sprintf("%s is overdrawn by %s %s", account, new(big.Int).Neg(balance), asset))
			}
		}
	}
	return violations, nil
}
