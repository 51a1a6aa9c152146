package scenario

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/dayof/dayof/devenv/client"
)

// EndState is where a story ended, in the words of `expect`. Amounts are in minor units of the order's currency.
type EndState struct {
	Order    string         `json:"order"` // payment state
	Tickets  map[string]int `json:"tickets"`
	Captured int64          `json:"captured"`
	Refunded int64          `json:"refunded"`
	// RefundIDs counts the refunds that Stripe knows.
	RefundIDs  int    `json:"refund_ids"`
	Dispute    string `json:"dispute"` // status of the latest; "" without one
	DisputeFee int64  `json:"dispute_fee"`
	Hold       string `json:"hold"`
	// Payouts are the states of the payouts that the story tells of, as the ledger has them.
	Payouts map[string]string `json:"payouts"`
	// LedgerNetOfSale is what the order brought: captured - refunded - disputed, less dispute fees; Stripe's processing
	// fee is left out.
	LedgerNetOfSale int64 `json:"ledger_net_of_sale"`
	LedgerPostings  int   `json:"ledger_postings"`
	// IssuedTimes is how often the order's tickets were made: 1, whatever happened.
	IssuedTimes int  `json:"issued_times"`
	ReviewCase  bool `json:"operator_item"` // at least one was raised; scripts know it by this name
	// Recorded tells whether every event of the story is in the inbox, whatever became of it.
	Recorded bool `json:"recorded"`
	// Events counts the stored events by state, Reasons are the words with which some were refused an effect.
	Events  map[string]int `json:"events"`
	Reasons []string       `json:"reasons"`
}

// netOfSale sums what the entries of an order did to Stripe's rails, Stripe's processing fee left out.
func netOfSale(postings []client.Posting) (int64, error) {
	var net int64
	for _, p := range postings {
		if strings.HasPrefix(p.Reference, "fee:") {
			continue
		}
		amount, err := p.Amount.Int64()
		if err != nil {
			return 0, fmt.Errorf("posting of %s: %w", p.Reference, err)
		}
		if isRail(p.Source) {
			net += amount // money that reached Stripe stands on a rail as a negative balance
		}
		if isRail(p.Destination) {
			net -= amount
		}
	}
	return net, nil
}

func isRail(account string) bool { return strings.HasPrefix(account, "stripe:") }

// issuedTimes is how many whole sets of tickets an order has, a begun one counted as whole.
func issuedTimes(tickets, quantity int) int {
	if quantity == 0 {
		return 0
	}
	return (tickets + quantity - 1) / quantity
}

// Difference is something that did not end as expected.
type Difference struct {
	Name string `json:"name"`
	Want any    `json:"want"`
	Got  any    `json:"got"`
}

// compare holds the end state against what the story expects. Keys that an end state does not have are returned apart.
func compare(got EndState, expect map[string]any) (differences []Difference, notCompared []string, err error) {
	text, err := json.Marshal(got)
	if err != nil {
		return nil, nil, err
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	var state map[string]any
	if err := decoder.Decode(&state); err != nil {
		return nil, nil, err
	}
	for _, name := range sortedKeys(expect) {
		value, known := state[name]
		switch {
		case !known:
			notCompared = append(notCompared, name)
		case name == "recorded" && fitsRecord(got, expect[name]):
		case !reflect.DeepEqual(value, expect[name]):
			differences = append(differences, Difference{Name: name, Want: expect[name], Got: value})
		}
	}
	return differences, notCompared, nil
}

// fitsRecord lets a story name the reason for which an event had no effect, such as "livemode_mismatch", or count its
// events, instead of just asking that all of them were stored.
func fitsRecord(got EndState, want any) bool {
	switch want := want.(type) {
	case string:
		return slices.ContainsFunc(got.Reasons, func(reason string) bool { return strings.Contains(reason, want) })
	case json.Number:
		stored := 0
		for _, count := range got.Events {
			stored += count
		}
		return want.String() == strconv.Itoa(stored)
	}
	return false
}
