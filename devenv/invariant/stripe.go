package invariant

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/dayof/dayof/devenv/client"
)

// stripeState is what sandbox Stripe has of the platform's account. Money of connected accounts is not read.
type stripeState struct {
	intents map[string]stripeIntent
	refunds map[string]stripeRefund
	fees    map[string]int64 // of balance transactions, by id
	charges []stripeCharge
	// acknowledged are the ids of events that all endpoints have acknowledged.
	acknowledged []string
	// undelivered are the bodies of events that no endpoint has acknowledged: we cannot know yet what they report.
	undelivered pending
}

type stripeIntent struct {
	ID             string            `json:"id"`
	Status         string            `json:"status"`
	AmountReceived int64             `json:"amount_received"`
	Currency       string            `json:"currency"`
	Metadata       map[string]string `json:"metadata"`
}

type stripeRefund struct {
	ID            string            `json:"id"`
	Status        string            `json:"status"`
	Amount        int64             `json:"amount"`
	PaymentIntent string            `json:"payment_intent"`
	Metadata      map[string]string `json:"metadata"`
}

type stripeCharge struct {
	ID             string `json:"id"`
	PaymentIntent  string `json:"payment_intent"`
	Captured       bool   `json:"captured"`
	Amount         int64  `json:"amount"`
	AmountCaptured int64  `json:"amount_captured"`
	AmountRefunded int64  `json:"amount_refunded"`
}

// refunded is what of the charge's captured money went back; a part of an authorisation that was not captured is none.
func (c stripeCharge) refunded() int64 { return c.AmountRefunded - (c.Amount - c.AmountCaptured) }

type stripeEvent struct {
	ID   string          `json:"id"`
	Data json.RawMessage `json:"data"`
	// PendingWebhooks is how many endpoints were owed it when it was made, in the sandbox.
	PendingWebhooks int `json:"pending_webhooks"`
}

type stripeTxn struct {
	ID  string `json:"id"`
	Fee int64  `json:"fee"`
}

func readStripe(ctx context.Context, f client.File) (stripeState, error) {
	api := client.Stripe{BaseURL: f.Sandbox.StripeURL, HTTP: http.DefaultClient}
	out := stripeState{intents: map[string]stripeIntent{}, refunds: map[string]stripeRefund{}, fees: map[string]int64{}}
	intents, err := list(ctx, api, "/v1/payment_intents", func(p stripeIntent) string { return p.ID })
	if err != nil {
		return out, err
	}
	for _, p := range intents {
		out.intents[p.ID] = p
	}
	refunds, err := list(ctx, api, "/v1/refunds", func(r stripeRefund) string { return r.ID })
	if err != nil {
		return out, err
	}
	for _, r := range refunds {
		out.refunds[r.ID] = r
	}
	if out.charges, err = list(ctx, api, "/v1/charges", func(c stripeCharge) string { return c.ID }); err != nil {
		return out, err
	}
	txns, err := list(ctx, api, "/v1/balance_transactions", func(t stripeTxn) string { return t.ID })
	if err != nil {
		return out, err
	}
	for _, t := range txns {
		out.fees[t.ID] = t.Fee
	}
	acknowledged, err := list(ctx, api, "/v1/events?delivery_success=true", func(e stripeEvent) string { return e.ID })
	if err != nil {
		return out, err
	}
	for _, e := range acknowledged {
		if e.PendingWebhooks > 0 { // else no endpoint is sent events of its type
			out.acknowledged = append(out.acknowledged, e.ID)
		}
	}
	events, err := list(ctx, api, "/v1/events?delivery_success=false", func(e stripeEvent) string { return e.ID })
	if err != nil {
		return out, err
	}
	for _, e := range events {
		out.undelivered = append(out.undelivered, string(e.Data))
	}
	return out, nil
}

// list pages through one of Stripe's lists.
func list[T any](ctx context.Context, api client.Stripe, path string, id func(T) string) ([]T, error) {
	var all []T
	path, given, _ := strings.Cut(path, "?")
	query, err := url.ParseQuery(given)
	if err != nil {
		return nil, err
	}
	query.Set("limit", "100")
	for {
		var page struct {
			HasMore bool `json:"has_more"`
			Data    []T  `json:"data"`
		}
		if err := persist(ctx, func() error { return api.Get(ctx, path+"?"+query.Encode(), &page) }); err != nil {
			return nil, err
		}
		all = append(all, page.Data...)
		if !page.HasMore || len(page.Data) == 0 {
			return all, nil
		}
		query.Set("starting_after", id(page.Data[len(page.Data)-1]))
	}
}

// stripeInvariants compare orders with Stripe, both ways.
func stripeInvariants() []invariant {
	return []invariant{
		{name: "captured_money_is_at_stripe", rule: "what an order captured, Stripe captured", check: capturedAtStripe},
		{name: "stripe_money_is_known", rule: "what Stripe captured for an order, the order knows", check: knownAtOrder},
		{name: "refund_is_at_stripe", rule: "what an order refunded, Stripe refunded", check: refundedAtStripe},
		{name: "refunded_sum_is_known", rule: "what Stripe says went back of an order's charge, the order counts", check: refundedSums},
		{name: "refund_at_stripe_has_its_row", rule: "a refund that Stripe made for us was written down before", check: writtenRefunds},
		{name: "acknowledged_event_is_stored", rule: "an event that Stripe was thanked for is in the inbox", check: storedEvents},
	}
}

func capturedAtStripe(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	for _, p := range s.intents {
		if p.captured == 0 || p.account != "" || s.pending.mentions(p.stripeID) {
			continue // nothing, not ours to see, or before a person's eyes already
		}
		at, known := s.stripe.intents[p.stripeID]
		if !known || at.AmountReceived != p.captured || !strings.EqualFold(at.Currency, p.currency) {
			violations = append(violations, fmt.Sprintf("order %s captured %d %s on %s; Stripe has %d %s",
				p.orderID, p.captured, p.currency, p.stripeID, at.AmountReceived, at.Currency))
		}
	}
	return violations, nil
}

func knownAtOrder(_ context.Context, s *snapshot) ([]string, error) {
	captured := map[string]int64{}
	for _, p := range s.intents {
		captured[p.stripeID] = p.captured
	}
	var violations []string
	for _, at := range s.stripe.intents {
		order, ours := s.orders[at.Metadata["order_id"]]
		if !ours || at.Status != "succeeded" || captured[at.ID] == at.AmountReceived ||
			s.stripe.undelivered.mentions(at.ID) || s.pending.mentions(at.ID, order.id) {
			continue
		}
		violations = append(violations, fmt.Sprintf("Stripe captured %d %s on %s for order %s, which knows of %d",
			at.AmountReceived, at.Currency, at.ID, order.id, captured[at.ID]))
	}
	return violations, nil
}

func refundedAtStripe(_ context.Context, s *snapshot) ([]string, error) {
	var violations []string
	for _, r := range s.refunds {
		at, known := s.stripe.refunds[r.stripeID]
		if r.stripeID == "" || (known && at.Amount == r.amount) {
			continue
		}
		if known || r.state != "requested" {
			violations = append(violations, fmt.Sprintf("refund %s of order %s is %d; Stripe has %d as %s", r.id, r.orderID, r.amount, at.Amount, r.stripeID))
		}
	}
	return violations, nil
}

// refundedSums compares sums: a refund may be known to Stripe by its sum alone.
func refundedSums(_ context.Context, s *snapshot) ([]string, error) {
	counted, orders := map[string]int64{}, map[string]string{}
	for _, p := range s.intents {
		orders[p.stripeID] = p.orderID
	}
	for _, r := range s.refunds {
		if r.state == "pending" || r.state == "succeeded" {
			counted[r.intentID] += r.amount
		}
	}
	var violations []string
	for _, c := range s.stripe.charges {
		orderID, ours := orders[c.PaymentIntent]
		if !ours || !c.Captured || c.refunded() <= counted[c.PaymentIntent] ||
			s.stripe.undelivered.mentions(c.ID, c.PaymentIntent) || s.pending.mentions(orderID, c.PaymentIntent, c.ID) {
			continue
		}
		violations = append(violations, fmt.Sprintf("Stripe says that %d went back of %s, order %s counts %d", c.refunded(), c.ID, orderID, counted[c.PaymentIntent]))
	}
	return violations, nil
}

// writtenRefunds checks the refunds that were sent from here: they carry the id of the row that must have been there first.
func writtenRefunds(_ context.Context, s *snapshot) ([]string, error) {
	written := map[string]bool{}
	for _, r := range s.refunds {
		written[r.id] = true
	}
	var violations []string
	for _, at := range s.stripe.refunds {
		id := at.Metadata["refund_id"]
		if _, ours := s.orders[at.Metadata["order_id"]]; ours && id != "" && !written[id] {
			violations = append(violations, fmt.Sprintf("Stripe made %s of order %s for our refund %s, which does not exist", at.ID, at.Metadata["order_id"], id))
		}
	}
	return violations, nil
}

func storedEvents(ctx context.Context, s *snapshot) ([]string, error) {
	stored := map[string]bool{}
	var id string
	err := each(ctx, s.pools["webhook"], `select event_id from webhook_events`, []any{&id}, func() { stored[id] = true })
	var violations []string
	for _, id := range s.stripe.acknowledged {
		if !stored[id] {
			violations = append(violations, fmt.Sprintf("Stripe was thanked for event %s, which is not in the inbox", id))
		}
	}
	return violations, err
}
