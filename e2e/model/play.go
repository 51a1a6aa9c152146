package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// player plays sequences against one system.
type player struct {
	client   *client.Client
	faults   *fault.Faults
	checkout *pgxpool.Pool // to let the time of a hold pass
	catalog  catalog
	settled  string // the currency of the balance; empty: each payment's own
}

// played is a sequence and the order it became. Steps that did not happen are counted.
type played struct {
	sequence
	cart    client.Cart
	refused int
	log     []string
}

// stripeRefusal is an answer of Stripe that nothing happened: the bank, the state or the rules forbid it.
type stripeRefusal struct {
	status int
	body   string
}

func (e stripeRefusal) Error() string { return fmt.Sprintf("stripe answers %d: %s", e.status, e.body) }

// play makes the order and lets everything happen. What is forbidden does not; an error is something that nobody forbids.
func (p *player) play(ctx context.Context, h sequence) (*played, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute) // for what takes milliseconds on an idle machine
	defer cancel()
	out := &played{sequence: h}
	variant, err := p.catalog.variant(ctx, p.client, h)
	if err != nil {
		return out, err
	}
	if out.cart, err = p.client.Start(ctx, variant, h.quantity); err != nil {
		return out, err
	}
	if h.withheld {
		if err := p.client.Stripe.Withhold(ctx, out.cart.IntentID); err != nil {
			return out, err
		}
	}
	if err := out.attempt(p.pay(ctx, out, variant)); err != nil {
		return out, fmt.Errorf("%s: %w", h.payment, err)
	}
	if h.browser {
		if _, err := p.client.Complete(ctx, out.cart); err != nil && problem.Reason(err) == "" {
			return out, err
		}
	}
	for i, s := range h.steps {
		if err := out.attempt(p.step(ctx, out, s)); err != nil {
			return out, fmt.Errorf("step %d, %s: %w", i+1, s.act, err)
		}
	}
	if h.withheld {
		return out, p.client.Stripe.Release(ctx, out.cart.IntentID)
	}
	return out, nil
}

// attempt takes a refusal for what it is: nothing happened.
func (o *played) attempt(err error) error {
	if r, ok := errors.AsType[stripeRefusal](err); ok && r.status < http.StatusInternalServerError {
		o.refused++
		o.log = append(o.log, r.Error())
		return nil
	}
	if reason := problem.Reason(err); reason != "" {
		switch problem.Code(err).String() {
		case "failed_precondition", "not_found":
			o.refused++
			o.log = append(o.log, reason)
			return nil
		}
	}
	return err
}

// step lets one thing happen.
func (p *player) step(ctx context.Context, o *played, s step) error {
	switch s.act {
	case refundPart:
		return p.refund(ctx, o, &checkoutv1.RefundOrderRequest{Amount: &moneyv1.Money{Currency: o.currency, MinorUnits: o.part(s.part)}})
	case refundRest:
		return p.refund(ctx, o, &checkoutv1.RefundOrderRequest{})
	case refundTicket:
		return p.refundTicket(ctx, o, s.which)
	case dashboardPart:
		return p.api(ctx, "/v1/refunds", url.Values{"payment_intent": {o.cart.IntentID}, "amount": {strconv.FormatInt(o.part(s.part), 10)}})
	case dashboardRest:
		return p.api(ctx, "/v1/refunds", url.Values{"payment_intent": {o.cart.IntentID}})
	case refundFails, refundSettles, refundAsks, refundReference:
		verb := map[act]string{refundFails: "fail", refundSettles: "succeed", refundAsks: "require_action", refundReference: "reference"}[s.act]
		return p.about(ctx, o, "refunds", s.which, "/"+verb, map[string]any{})
	case refundLapses:
		id, err := p.one(ctx, o, "refunds", s.which)
		if err != nil || id == "" {
			return err
		}
		return p.api(ctx, "/v1/refunds/"+id+"/cancel", url.Values{})
	case dispute, inquiry:
		return p.sandbox(ctx, "/disputes", map[string]any{
			"payment_intent": o.cart.IntentID, "amount": o.part(s.part), "inquiry": s.act == inquiry,
		}, nil)
	case escalate:
		return p.about(ctx, o, "disputes", s.which, "/escalate", map[string]any{})
	case closeWon, closeWonFee, closeLost, closeInquiry:
		status := map[act]string{closeWon: "won", closeWonFee: "won", closeLost: "lost", closeInquiry: "warning_closed"}[s.act]
		return p.about(ctx, o, "disputes", s.which, "/close", map[string]any{"status": status, "return_fee": s.act == closeWonFee})
	case reinstate:
		return p.about(ctx, o, "disputes", s.which, "/reinstate", map[string]any{})
	case evidence:
		id, err := p.one(ctx, o, "disputes", s.which)
		if err != nil || id == "" {
			return err
		}
		return p.api(ctx, "/v1/disputes/"+id, url.Values{"evidence[uncategorized_text]": {"they were there"}})
	case fraudWarning:
		return p.warn(ctx, o)
	case storedFailure, storedFailureDone:
		mode := map[act]fault.Mode{storedFailure: fault.StoredError, storedFailureDone: fault.StoredErrorDone}[s.act]
		return p.faults.Set(fault.Stripe, fault.Fault{Mode: mode, Rate: 1, Count: 1, Match: refundCall})
	case refusal:
		return p.faults.Set(fault.Stripe, fault.Fault{Mode: fault.Refusal, Rate: 1, Count: 1, Match: refundCall, Code: "balance_insufficient"})
	case payout, payoutBounces, payoutFails:
		return p.payOut(ctx, o, s.act)
	}
	panic("nobody does " + string(s.act))
}

// refundCall is the call that fails once: whoever makes it next, for this order or another one.
const refundCall = "POST /v1/refunds"

// refund asks dayof for a refund. An order whose payment is on its way is waited for, unless nobody reports it yet.
func (p *player) refund(ctx context.Context, o *played, request *checkoutv1.RefundOrderRequest) error {
	if err := p.awaitPaid(ctx, o); err != nil {
		return err
	}
	request.OrderId, request.Note = o.cart.OrderID, "sequence "+strconv.Itoa(o.number)
	_, err := p.client.Orders.RefundOrder(rpc.WithIdempotencyKey(ctx, "sequence/"+client.NewKey()), request)
	return err
}

func (p *player) refundTicket(ctx context.Context, o *played, which int) error {
	if err := p.awaitPaid(ctx, o); err != nil {
		return err
	}
	details, err := p.client.Orders.GetOrderDetails(ctx, &checkoutv1.GetOrderDetailsRequest{OrderId: o.cart.OrderID})
	if err != nil {
		return err
	}
	tickets := details.GetOrder().GetTickets()
	if len(tickets) == 0 {
		return nil
	}
	return p.refund(ctx, o, &checkoutv1.RefundOrderRequest{TicketIds: []string{tickets[which%len(tickets)].GetId()}})
}

// awaitPaid waits until Stripe's events so far are known, where they are not withheld: mostly the order is paid then.
func (p *player) awaitPaid(ctx context.Context, o *played) error {
	var intent struct {
		Status string `json:"status"`
	}
	if err := p.client.Stripe.Get(ctx, "/v1/payment_intents/"+o.cart.IntentID, &intent); err != nil {
		return err
	}
	if intent.Status != "succeeded" || o.payment == payUnder || o.withheld && !o.browser {
		return nil
	}
	_, err := p.client.Await(ctx, o.cart.OrderID, func(o *checkoutv1.Order) bool {
		return o.GetPayingIntentId() != ""
	})
	return err
}

// one chooses a refund or dispute of the order at Stripe; "" when there is none.
func (p *player) one(ctx context.Context, o *played, kind string, which int) (string, error) {
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := p.client.Stripe.Get(ctx, "/v1/"+kind+"?payment_intent="+o.cart.IntentID, &list); err != nil || len(list.Data) == 0 {
		return "", err
	}
	return list.Data[which%len(list.Data)].ID, nil
}

// about lets something happen to one of the order's refunds or disputes.
func (p *player) about(ctx context.Context, o *played, kind string, which int, verb string, body map[string]any) error {
	id, err := p.one(ctx, o, kind, which)
	if err != nil || id == "" {
		return err
	}
	return p.sandbox(ctx, "/"+kind+"/"+id+verb, body, nil)
}

func (p *player) warn(ctx context.Context, o *played) error {
	var intent struct {
		LatestCharge string `json:"latest_charge"`
	}
	if err := p.client.Stripe.Get(ctx, "/v1/payment_intents/"+o.cart.IntentID, &intent); err != nil || intent.LatestCharge == "" {
		return err
	}
	return p.sandbox(ctx, "/charges/"+intent.LatestCharge+"/early_fraud_warning", map[string]any{}, nil)
}

// payOut sends the platform's balance in the currency of the order's money to the bank, which may send it back.
func (p *player) payOut(ctx context.Context, o *played, how act) error {
	var made struct {
		ID string `json:"id"`
	}
	currency := strings.ToLower(cmp.Or(p.settled, o.currency))
	if err := p.sandbox(ctx, "/payouts", map[string]any{"currency": currency}, &made); err != nil {
		return err
	}
	if how != payoutFails {
		if err := p.sandbox(ctx, "/payouts/"+made.ID+"/paid", map[string]any{}, nil); err != nil {
			return err
		}
	}
	if how == payout {
		return nil
	}
	return p.sandbox(ctx, "/payouts/"+made.ID+"/fail", map[string]any{}, nil)
}

// sandbox calls a control of sandbox Stripe.
func (p *player) sandbox(ctx context.Context, path string, body map[string]any, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return p.call(ctx, "/_sandbox"+path, "application/json", string(text), into)
}

// api posts to Stripe's API as a person at its dashboard would.
func (p *player) api(ctx context.Context, path string, form url.Values) error {
	return p.call(ctx, path, "application/x-www-form-urlencoded", form.Encode(), nil)
}

func (p *player) call(ctx context.Context, path, contentType, body string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.client.Stripe.BaseURL+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer sk_test_histories")
	req.Header.Set("Content-Type", contentType)
	res, err := p.client.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("call stripe: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("read stripe's answer: %w", err)
	}
	if res.StatusCode/100 != 2 {
		return stripeRefusal{status: res.StatusCode, body: string(answer)}
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
