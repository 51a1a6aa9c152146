package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// pay is what the buyer does, and for some the bank or a person at Stripe's dashboard.
func (p *player) pay(ctx context.Context, o *played, variant *checkoutv1.Variant) error {
	intent := o.cart.IntentID
	confirm := func(body map[string]any) error {
		return p.sandbox(ctx, "/payment_intents/"+intent+"/confirm", body, nil)
	}
	card := func(method string) error { return confirm(map[string]any{"payment_method": method}) }
	switch o.payment {
	case payCard:
		return card("pm_card_visa")
	case payPendingOut:
		return card("pm_card_pendingRefund")
	case payBehind:
		return p.payBehind(ctx, o, card)
	case payChallenge:
		return card("pm_card_threeDSecure2Required")
	case payDeclined:
		if err := o.attempt(card("pm_card_chargeDeclinedInsufficientFunds")); err != nil {
			return err
		}
		return card("pm_card_mastercard")
	case payCapture, payUnder:
		return p.capture(ctx, o, o.total())
	case payOver:
		return p.capture(ctx, o, o.total()+10*max(o.total()/100, 1))
	case payDebit, payBounced, payLate, payTooLate, payGoodwill:
		if o.currency != "EUR" {
			return card("pm_card_visa") // debits are in euro
		}
		return p.debit(ctx, o, variant, confirm)
	case payAbandoned:
		return p.api(ctx, "/v1/payment_intents/"+intent+"/cancel", url.Values{})
	case payNever:
	}
	return nil
}

// capture authorizes an amount and captures what the sequence says of it: the total, or in part.
func (p *player) capture(ctx context.Context, o *played, authorized int64) error {
	intent := o.cart.IntentID
	err := p.api(ctx, "/v1/payment_intents/"+intent, url.Values{"capture_method": {"manual"}, "amount": {strconv.FormatInt(authorized, 10)}})
	if err != nil {
		return err
	}
	if err := p.sandbox(ctx, "/payment_intents/"+intent+"/confirm", map[string]any{}, nil); err != nil {
		return err
	}
	amount := o.total()
	if o.payment == payUnder {
		amount = o.part(67)
	}
	return p.api(ctx, "/v1/payment_intents/"+intent+"/capture", url.Values{"amount_to_capture": {strconv.FormatInt(amount, 10)}})
}

// debit pays by SEPA and lets days pass before the bank answers.
func (p *player) debit(ctx context.Context, o *played, variant *checkoutv1.Variant, confirm func(map[string]any) error) error {
	if err := confirm(map[string]any{"iban": "DE89370400440532013000"}); err != nil {
		return err
	}
	intent := o.cart.IntentID
	settle := func() error {
		return p.sandbox(ctx, "/payment_intents/"+intent+"/settle", map[string]any{"succeeded": o.payment != payBounced}, nil)
	}
	if o.payment == payDebit || o.payment == payBounced {
		return settle()
	}
	if err := p.lapse(ctx, o.cart.OrderID); err != nil {
		return err
	}
	if o.payment == payLate {
		return settle()
	}
	if _, err := p.client.Start(ctx, variant, o.quantity); err != nil {
		return fmt.Errorf("somebody else: %w", err)
	}
	if o.payment == payTooLate {
		return settle()
	}
	if err := p.client.Stripe.Withhold(ctx, intent); err != nil {
		return err
	}
	if err := settle(); err != nil {
		return err
	}
	err := o.attempt(p.api(ctx, "/v1/refunds", url.Values{"payment_intent": {intent}, "amount": {strconv.FormatInt(o.part(7), 10)}}))
	if err != nil || o.withheld {
		return err
	}
	return p.client.Stripe.Release(ctx, intent)
}

// payBehind pays while the hold lasts and keeps Stripe's webhooks back until its time is over.
func (p *player) payBehind(ctx context.Context, o *played, card func(method string) error) error {
	if err := p.client.Stripe.Withhold(ctx, o.cart.IntentID); err != nil {
		return err
	}
	if err := card("pm_card_visa"); err != nil {
		return err
	}
	if err := p.lapse(ctx, o.cart.OrderID); err != nil || o.withheld {
		return err
	}
	return p.client.Stripe.Release(ctx, o.cart.IntentID)
}

// lapse lets the time of a hold pass, and the time for which a debit keeps it, and waits until it has ended.
func (p *player) lapse(ctx context.Context, orderID string) error {
	var lapseErr error
	_, err := p.client.Await(ctx, orderID, func(o *checkoutv1.Order) bool {
		if o.GetHoldState() != checkoutv1.HoldState_HOLD_STATE_ACTIVE {
			return true
		}
		// Each report of the debit says anew when it was on its way.
		_, lapseErr = p.checkout.Exec(ctx, `
			with debit as (update payment_intents set status_time = now() - interval '30 days' where order_id = $1 and status = 'processing')
			update holds set expire_time = now() - interval '1 second' where order_id = $1 and state = 'active'`, orderID)
		return lapseErr != nil
	})
	if err := errors.Join(err, lapseErr); err != nil {
		return fmt.Errorf("let the hold lapse: %w", err)
	}
	return nil
}
