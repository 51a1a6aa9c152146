package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// EndState is where a scenario ended, in the words of `expect`. Amounts are in minor units of the order's currency.
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
	// Payouts are the states of the payouts that the scenario reports, as the ledger has them.
	Payouts map[string]string `json:"payouts"`
	// LedgerNetOfSale is what the order brought: captured - refunded - disputed, less dispute fees; Stripe's processing
	// fee is left out.
	LedgerNetOfSale int64 `json:"ledger_net_of_sale"`
	LedgerPostings  int   `json:"ledger_postings"`
	// IssuedTimes is how often the order's tickets were made: 1, whatever happened.
	IssuedTimes int  `json:"issued_times"`
	ReviewCase  bool `json:"operator_item"` // at least one was raised; scripts know it by this name
	// Recorded reports whether every event of the scenario is in the inbox, whatever became of it.
	Recorded bool `json:"recorded"`
	// Events counts the stored events by state, Reasons are the words with which some were refused an effect.
	Events  map[string]int `json:"events"`
	Reasons []string       `json:"reasons"`
}

// endState reads where a replay ended. orderID is empty where the scenario has no sale.
func endState(ctx context.Context, system *client.Client, orderID string, quantity int, events []event) (EndState, error) {
	out := EndState{Tickets: map[string]int{}, Payouts: map[string]string{}, Events: map[string]int{}, Reasons: []string{}}
	if orderID != "" {
		if err := out.readOrder(ctx, system, orderID, quantity); err != nil {
			return out, err
		}
	}
	if err := out.readInbox(ctx, system, events); err != nil {
		return out, err
	}
	return out, out.readPayouts(ctx, system, events)
}

// readOrder asks the services what became of the order.
func (s *EndState) readOrder(ctx context.Context, system *client.Client, orderID string, quantity int) error {
	order, err := system.Order(ctx, orderID)
	if err != nil {
		return err
	}
	s.Order, s.Hold = order.PaymentState, order.HoldState
	s.Captured, s.Refunded = order.Payment.CapturedMinorUnits, order.Payment.RefundedMinorUnits
	s.LedgerPostings = len(order.Postings)
	s.IssuedTimes = issuedTimes(max(len(order.Tickets), len(order.Passes)), quantity)
	for _, t := range order.Tickets {
		s.Tickets[t.State]++
	}
	for _, refund := range order.Payment.Refunds {
		if refund.StripeRefundID != "" {
			s.RefundIDs++
		}
	}
	for _, d := range order.Payment.Disputes {
		s.Dispute = d.Status
		s.DisputeFee += d.FeeMinorUnits
	}
	if s.LedgerNetOfSale, err = netOfSale(order.Postings); err != nil {
		return err
	}
	items, err := system.Operations.ListReviewCases(ctx, &checkoutv1.ListReviewCasesRequest{OrderId: orderID, IncludeResolved: true})
	if err != nil {
		return err
	}
	s.ReviewCase = len(items.GetItems()) > 0
	return nil
}

// readInbox counts what became of the scenario's events.
func (s *EndState) readInbox(ctx context.Context, system *client.Client, events []event) error {
	s.Recorded = true
	for _, e := range events {
		endpoint := "account"
		if e.account != "" {
			endpoint = "connect"
		}
		res, err := system.Webhooks.GetWebhookEvent(ctx, &webhookv1.GetWebhookEventRequest{Endpoint: endpoint, EventId: e.id})
		if problem.Is(err, webhookv1.Reason_REASON_WEBHOOK_EVENT_NOT_FOUND) {
			s.Recorded = false
			continue
		}
		if err != nil {
			return err
		}
		s.Events[client.Word(res.GetEvent().GetState())]++
		if reason := res.GetEvent().GetError(); reason != "" && !slices.Contains(s.Reasons, reason) {
			s.Reasons = append(s.Reasons, reason)
		}
	}
	return nil
}

// readPayouts asks the books about the payouts that the scenario reports. Where there is no order, their postings are all
// that the scenario left.
func (s *EndState) readPayouts(ctx context.Context, system *client.Client, events []event) error {
	ids, err := payoutIDs(events)
	if err != nil {
		return err
	}
	for _, id := range ids {
		for _, fact := range []struct{ reference, state string }{{"payout:" + id, "paid"}, {"payout-fail:" + id, "failed"}} {
			res, err := system.Statements.GetEntry(ctx, &ledgerv1.GetEntryRequest{Reference: fact.reference})
			if problem.Is(err, ledgerv1.Reason_REASON_ENTRY_NOT_FOUND) {
				continue
			}
			if err != nil {
				return err
			}
			s.Payouts[id] = fact.state
			if s.Order == "" {
				s.LedgerPostings += len(res.GetEntry().GetPostings())
			}
		}
	}
	return nil
}

// payoutIDs are the ids of the payouts that events are about, each once.
func payoutIDs(events []event) ([]string, error) {
	var ids []string
	for _, e := range events {
		_, h, err := newEvent(e.body)
		if err != nil {
			return nil, err
		}
		var payout struct {
			ID     string `json:"id"`
			Object string `json:"object"`
		}
		if json.Unmarshal(h.Data.Object, &payout) == nil && payout.Object == "payout" && !slices.Contains(ids, payout.ID) {
			ids = append(ids, payout.ID)
		}
	}
	return ids, nil
}

// netOfSale sums what the entries of an order did to Stripe's clearing accounts, Stripe's processing fee left out.
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
		if isClearing(p.Source) {
			net += amount // money that reached Stripe stands on a clearing account as a negative balance
		}
		if isClearing(p.Destination) {
			net -= amount
		}
	}
	return net, nil
}

func isClearing(account string) bool { return strings.HasPrefix(account, "stripe:") }

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

// compare holds the end state against what the scenario expects. Keys that an end state does not have are returned apart.
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
		case name == "deferred" || name == "parked":
			if count := got.Events["deferred"]; !fitsCount(count, expect[name]) {
				differences = append(differences, Difference{Name: name, Want: expect[name], Got: count})
			}
		case !known:
			notCompared = append(notCompared, name)
		case name == "recorded" && fitsRecord(got, expect[name]):
		case !reflect.DeepEqual(value, expect[name]):
			differences = append(differences, Difference{Name: name, Want: expect[name], Got: value})
		}
	}
	return differences, notCompared, nil
}

// fitsRecord lets a scenario name the reason for which an event had no effect, such as "livemode_mismatch", or count its
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

// fitsCount compares a count with a number, or with whether there are any.
func fitsCount(got int, want any) bool {
	switch want := want.(type) {
	case bool:
		return want == (got > 0)
	case json.Number:
		return want.String() == strconv.Itoa(got)
	}
	return false
}
