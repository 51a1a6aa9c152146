package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/internal/money"
)

// truth is what sandbox Stripe has, and what the books made of it. Amounts are exact: whole numbers of any size.
type truth struct {
	intents  map[string]stripeIntent
	refunds  map[string][]stripeRefund  // by intent
	disputes map[string][]stripeDispute // by intent
	payouts  map[string]string          // status
	// stripe is the net of all balance transactions of a payment intent or payout; booked is the same in the books.
	stripe, booked map[string]*big.Int
	strange        []string // entries that touch Stripe's clearing accounts and belong to nothing at Stripe
	trial          map[string]json.Number
}

type stripeIntent struct {
	ID             string `json:"id"`
	Status         string `json:"status"`
	AmountReceived int64  `json:"amount_received"`
	Currency       string `json:"currency"`
}

type stripeRefund struct {
	ID            string            `json:"id"`
	Status        string            `json:"status"`
	Amount        int64             `json:"amount"`
	PaymentIntent string            `json:"payment_intent"`
	Metadata      map[string]string `json:"metadata"`
}

// state is what an order calls its status: what waits for the buyer is on its way.
func (r stripeRefund) state() string {
	if r.Status == "requires_action" {
		return "pending"
	}
	return r.Status
}

// moved says that the money left, and did not come back.
func (r stripeRefund) moved() bool { return r.state() == "succeeded" || r.state() == "pending" }

type stripeDispute struct {
	ID            string `json:"id"`
	Status        string `json:"status"`
	Amount        int64  `json:"amount"`
	PaymentIntent string `json:"payment_intent"`
}

// readTruth reads Stripe and the books when nothing is left to do.
func readTruth(ctx context.Context, system *client.Client) (*truth, error) {
	t := &truth{
		intents: map[string]stripeIntent{}, refunds: map[string][]stripeRefund{}, disputes: map[string][]stripeDispute{},
		payouts: map[string]string{}, stripe: map[string]*big.Int{}, booked: map[string]*big.Int{},
	}
	owner, err := t.readStripe(ctx, system) // intent or payout by the id of whatever belongs to it
	if err != nil {
		return nil, err
	}
	statement, err := system.Statement(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the books: %w", err)
	}
	t.trial = statement.TrialBalance
	for _, p := range statement.Postings {
		amount, ok := new(big.Int).SetString(p.Amount.String(), 10)
		if !ok {
			return nil, fmt.Errorf("the amount of %s is %s", p.Reference, p.Amount)
		}
		in, out := atStripe(p.Source), atStripe(p.Destination)
		if in == out {
			continue // not Stripe's money, or from one shard to another
		}
		_, id, _ := strings.Cut(p.Reference, ":")
		whose, known := owner[id]
		if !known {
			t.strange = append(t.strange, p.Reference)
			continue
		}
		if out {
			amount.Neg(amount)
		}
		add(t.booked, whose+" "+p.Asset, amount)
	}
	return t, nil
}

func atStripe(account string) bool { return strings.HasPrefix(account, "stripe:") }

// readStripe reads all objects and sums the balance transactions.
func (t *truth) readStripe(ctx context.Context, system *client.Client) (map[string]string, error) {
	owner := map[string]string{}
	intents, err := objects[stripeIntent](ctx, system, "payment_intent")
	if err != nil {
		return nil, err
	}
	for _, p := range intents {
		t.intents[p.ID], owner[p.ID] = p, p.ID
	}
	charges, err := objects[struct {
		ID            string `json:"id"`
		PaymentIntent string `json:"payment_intent"`
	}](ctx, system, "charge")
	if err != nil {
		return nil, err
	}
	for _, c := range charges {
		owner[c.ID] = c.PaymentIntent
	}
	refunds, err := objects[stripeRefund](ctx, system, "refund")
	if err != nil {
		return nil, err
	}
	for _, r := range refunds {
		owner[r.ID] = r.PaymentIntent
		t.refunds[r.PaymentIntent] = append(t.refunds[r.PaymentIntent], r)
	}
	disputes, err := objects[stripeDispute](ctx, system, "dispute")
	if err != nil {
		return nil, err
	}
	for _, d := range disputes {
		owner[d.ID] = d.PaymentIntent
		t.disputes[d.PaymentIntent] = append(t.disputes[d.PaymentIntent], d)
	}
	payouts, err := objects[struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}](ctx, system, "payout")
	if err != nil {
		return nil, err
	}
	for _, p := range payouts {
		owner[p.ID], t.payouts[p.ID] = p.ID, p.Status
	}
	movements, err := objects[struct {
		ID       string `json:"id"`
		Source   string `json:"source"`
		Currency string `json:"currency"`
		Amount   int64  `json:"amount"`
		Fee      int64  `json:"fee"`
	}](ctx, system, "balance_transaction")
	if err != nil {
		return nil, err
	}
	for _, m := range movements {
		whose, known := owner[m.Source]
		if !known {
			return nil, fmt.Errorf("stripe's balance transaction %s is of %s, which nobody knows", m.ID, m.Source)
		}
		owner[m.ID] = whose
		asset := money.Money{Currency: strings.ToUpper(m.Currency)}.FormanceAsset()
		add(t.stripe, whose+" "+asset, new(big.Int).Sub(big.NewInt(m.Amount), big.NewInt(m.Fee)))
	}
	return owner, nil
}

// objects reads all objects of a kind.
func objects[T any](ctx context.Context, system *client.Client, kind string) ([]T, error) {
	var list []struct {
		Object T `json:"object"`
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, system.Stripe.BaseURL+"/_sandbox/objects?kind="+kind, nil)
	if err != nil {
		return nil, err
	}
	res, err := system.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read stripe's objects: %w", err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		return nil, fmt.Errorf("read stripe's objects of kind %s: %w", kind, err)
	}
	out := make([]T, 0, len(list))
	for _, e := range list {
		out = append(out, e.Object)
	}
	return out, nil
}

// checkBooks compares payouts, and what belongs to nobody.
func (t *truth) checkBooks() []string {
	var violations []string
	for _, reference := range t.strange {
		if t.isMatchedSum(reference) {
			continue
		}
		violations = append(violations, "the books have "+reference+", which Stripe does not")
	}
	for asset, sum := range t.trial {
		if sum.String() != "0" {
			violations = append(violations, fmt.Sprintf("the trial balance in %s is %s", asset, sum))
		}
	}
	for id, status := range t.payouts {
		for key := range t.stripe {
			if strings.HasPrefix(key, id+" ") && !equal(t.stripe[key], t.booked[key]) {
				violations = append(violations, fmt.Sprintf("payout %s is %s and moved %s at Stripe, %s in the books", key, status, t.stripe[key], t.booked[key]))
			}
		}
	}
	return violations
}

// isMatchedSum says whether an entry is of a sum that went back and whose refunds were not known when it was booked: it is reversed when
// they are.
func (t *truth) isMatchedSum(reference string) bool {
	kind, id, _ := strings.Cut(reference, ":")
	switch kind {
	case "refund":
		return slices.Contains(t.strange, "refund-fail:"+id)
	case "refund-fail":
		return slices.Contains(t.strange, "refund:"+id)
	}
	return false
}
