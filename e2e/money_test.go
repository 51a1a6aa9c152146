package e2e

import (
	"cmp"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestDuplicatePayment captures two intents of one order: one buys the tickets, the other is receipted and refunded.
func TestDuplicatePayment(t *testing.T) {
	t.Parallel()
	system := client.NewClient(shared.File)
	cart := e2etest.Start(t, system, e2etest.NewVariant(t, system, 4450, 10), 2)
	// A second intent for the same order, such as one made in Stripe's dashboard.
	first := e2etest.Intent(t, system, cart.IntentID)
	second := maps.Clone(first)
	second["id"], second["client_secret"] = "pi_"+client.NewKey(), "pi_secret_"+client.NewKey()
	one, oneCharge := first.Paid(8900)
	two, twoCharge := second.Paid(8900)
	e2etest.Load(t, system, one, oneCharge, two, twoCharge)
	if err := e2etest.AtOnce([]func() error{
		func() error { e2etest.PostEvent(t, system, "payment_intent.succeeded", one); return nil },
		func() error { e2etest.PostEvent(t, system, "payment_intent.succeeded", two); return nil },
	}); err != nil {
		t.Fatal(err)
	}
	e2etest.Await(t, system, cart.OrderID, "completed with its duplicate refunded", func(o *checkoutv1.Order) bool {
		return e2etest.Completed(o) && len(o.GetRefunds()) == 1 && o.GetRefunds()[0].GetState() == checkoutv1.RefundState_REFUND_STATE_SUCCEEDED
	})
	o := e2etest.AwaitEntries(t, system, cart.OrderID, "refund:")
	if o.PaymentState != "paid" || len(o.Tickets) != 2 || o.Payment.RefundedMinorUnits != 0 {
		t.Errorf("order is %s with %d tickets and %d refunded", o.PaymentState, len(o.Tickets), o.Payment.RefundedMinorUnits)
	}
	paying := o.Payment.PayingIntentID
	refunded := o.Payment.Refunds[0]
	if refunded.PaymentIntentID == paying || refunded.Reason != "duplicate_payment" || refunded.AmountMinorUnits != 8900 {
		t.Errorf("refund %+v; paying intent %s", refunded, paying)
	}
	if counted := e2etest.Captures(o); counted["capture:"+paying] != 1 || counted["capture:"+refunded.PaymentIntentID] != 1 || len(counted) != 2 {
		t.Errorf("captures in the ledger: %v", counted)
	}
	for _, p := range o.Payment.PaymentIntents {
		if p.Duplicate != (p.ID == refunded.PaymentIntentID) {
			t.Errorf("intent %s: duplicate is %v", p.ID, p.Duplicate)
		}
	}
	e2etest.AssertClean(t, shared)
}

// TestMismatch reports payments that do not match the order. Nothing is issued, and an operator is alerted.
func TestMismatch(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, nil) // some of it is made up, which the others' checks would notice
	system := client.NewClient(m.File)
	variant := e2etest.NewVariant(t, system, 4450, 100)
	states := map[string]string{"too little": "partially_captured"} // of the payment, where it is not awaited any more
	for name, change := range map[string]func(intent e2etest.Resource){
		"too little":       func(p e2etest.Resource) { p["amount_received"] = 4449 },
		"too much":         func(p e2etest.Resource) { p["amount_received"], p["amount"] = 4451, 4451 },
		"another currency": func(p e2etest.Resource) { p["currency"] = "usd" },
	} {
		t.Run("by webhook/"+name, func(t *testing.T) {
			t.Parallel()
			cart := e2etest.Start(t, system, variant, 1)
			paid, charge := e2etest.Intent(t, system, cart.IntentID).Paid(4450)
			change(paid)
			e2etest.Load(t, system, paid, charge)
			e2etest.PostEvent(t, system, "payment_intent.succeeded", paid)
			assertNothingBought(t, system, cart.OrderID, states[name])
		})
	}
	t.Run("by webhook/live mode", func(t *testing.T) {
		t.Parallel()
		cart := e2etest.Start(t, system, variant, 1)
		paid, charge := e2etest.Intent(t, system, cart.IntentID).Paid(4450)
		paid["livemode"] = true
		e2etest.Load(t, system, paid, charge)
		e2etest.PostEvent(t, system, "payment_intent.succeeded", paid)
		assertRejected(t, system, cart, "livemode_mismatch")
		assertUntouched(t, system, cart.OrderID, "")
	})
	for name, change := range map[string]func(p *checkoutv1.RecordPaymentRequest){
		"too little":       func(p *checkoutv1.RecordPaymentRequest) { p.ReceivedMinorUnits = 4449 },
		"another currency": func(p *checkoutv1.RecordPaymentRequest) { p.Amount = &moneyv1.Money{Currency: "JPY", MinorUnits: 4450} },
		"live mode":        func(p *checkoutv1.RecordPaymentRequest) { p.Livemode = true },
		"another account":  func(p *checkoutv1.RecordPaymentRequest) { p.StripeAccount = "acct_1Other" },
	} {
		t.Run("by RecordPayment/"+name, func(t *testing.T) {
			t.Parallel()
			cart := e2etest.Start(t, system, variant, 1)
			request := succeeded(cart, 4450)
			change(request)
			if _, err := system.Payments.RecordPayment(e2etest.Keyed(e2etest.Within(t, 10*time.Second)), request); err != nil {
				t.Fatal(err)
			}
			assertNothingBought(t, system, cart.OrderID, states[name])
		})
	}
	t.Run("by CompleteCheckout/somebody else's intent", func(t *testing.T) {
		t.Parallel()
		mine, theirs := e2etest.Start(t, system, variant, 1), e2etest.Start(t, system, variant, 1)
		if err := system.Stripe.Confirm(e2etest.Within(t, 10*time.Second), theirs.IntentID, theirs.ClientSecret, client.CardThatPays); err != nil {
			t.Fatal(err)
		}
		claim := mine
		claim.IntentID = theirs.IntentID
		_, err := system.Complete(e2etest.Within(t, 10*time.Second), claim)
		if problem.Reason(err) != "PAYMENT_INTENT_NOT_FOUND" {
			t.Errorf("the claim is answered by %v", err)
		}
		if o := e2etest.Order(t, system, mine.OrderID); len(o.Tickets) != 0 || o.FulfilmentState != "none" {
			t.Errorf("the order is %s with %d tickets", o.FulfilmentState, len(o.Tickets))
		}
	})
	t.Run("by CompleteCheckout/unpaid", func(t *testing.T) {
		t.Parallel()
		cart := e2etest.Start(t, system, variant, 1)
		_, err := system.Complete(e2etest.Within(t, 10*time.Second), cart)
		if problem.Reason(err) != "PAYMENT_NOT_SUCCEEDED" {
			t.Errorf("the claim is answered by %v", err)
		}
		if o := e2etest.Order(t, system, cart.OrderID); len(o.Tickets) != 0 || o.FulfilmentState != "none" {
			t.Errorf("the order is %s with %d tickets", o.FulfilmentState, len(o.Tickets))
		}
	})
}

// assertNothingBought waits for the review case of an order and checks that there is neither ticket, pass nor posting. Its payment
// is in the given state; an empty one means that it is awaited.
func assertNothingBought(t *testing.T, system *client.Client, orderID, payment string) {
	t.Helper()
	ctx := e2etest.Within(t, 30*time.Second)
	for {
		items, err := system.Operations.ListReviewCases(ctx, &checkoutv1.ListReviewCasesRequest{OrderId: orderID})
		if err != nil {
			t.Fatalf("no review case of order %s: %v", orderID, err)
		}
		if len(items.GetItems()) > 0 {
			break
		}
		e2etest.Pause(ctx)
	}
	assertUntouched(t, system, orderID, payment)
}

// assertRejected waits until the event about an intent is in the inbox as one that cannot have an effect.
func assertRejected(t *testing.T, system *client.Client, cart client.Cart, reason string) {
	t.Helper()
	ctx := e2etest.Within(t, 30*time.Second)
	for {
		page, err := system.Webhooks.ListWebhookEvents(ctx, &webhookv1.ListWebhookEventsRequest{
			Filter: &webhookv1.WebhookEventFilter{ObjectId: cart.IntentID, Type: "payment_intent.succeeded"},
		})
		if err != nil {
			t.Fatalf("no rejected event about %s: %v", cart.IntentID, err)
		}
		for _, e := range page.GetEvents() {
			if e.GetState() == webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_REJECTED && e.GetError() == reason {
				return
			}
		}
		e2etest.Pause(ctx)
	}
}

// assertUntouched checks that an order has neither ticket, pass nor posting, and is in the given state of payment; an empty one
// means that it still waits for its money.
func assertUntouched(t *testing.T, system *client.Client, orderID, payment string) {
	t.Helper()
	payment = cmp.Or(payment, "awaiting_payment")
	o := e2etest.Order(t, system, orderID)
	if len(o.Tickets) != 0 || len(o.Passes) != 0 || len(o.Postings) != 0 || o.FulfilmentState != "none" || o.PaymentState != payment {
		t.Errorf("order %s is %s and %s with %d tickets, %d passes and %d postings",
			orderID, o.PaymentState, o.FulfilmentState, len(o.Tickets), len(o.Passes), len(o.Postings))
	}
}

// TestLateMoney pays for holds that ended.
func TestLateMoney(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, map[string]string{"DAYOF_CHECKOUT_HOLD_DURATION": "1s", "DAYOF_CHECKOUT_SWEEP_INTERVAL": "100ms"})
	system := client.NewClient(m.File)

	t.Run("stock is free", func(t *testing.T) {
		cart, paid := expiredAndPaid(t, system, e2etest.NewVariant(t, system, 4450, 1))
		e2etest.PostEvent(t, system, "payment_intent.succeeded", paid)
		e2etest.Await(t, system, cart.OrderID, "completed", e2etest.Completed)
		e2etest.AssertOneSale(t, e2etest.Order(t, system, cart.OrderID), 1)
	})
	t.Run("stock is gone", func(t *testing.T) {
		variant := e2etest.NewVariant(t, system, 4450, 1)
		cart, paid := expiredAndPaid(t, system, variant)
		if _, err := system.Sell(e2etest.Within(t, 30*time.Second), client.Purchase{VariantID: variant.GetId(), Tickets: 1, Via: client.ViaWebhook}); err != nil {
			t.Fatalf("the last ticket was not sold to somebody else: %v", err)
		}
		e2etest.PostEvent(t, system, "payment_intent.succeeded", paid)
		e2etest.Await(t, system, cart.OrderID, "refunded", func(o *checkoutv1.Order) bool {
			return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED
		})
		o := e2etest.AwaitEntries(t, system, cart.OrderID, "refund:")
		if o.FulfilmentState != "unfulfillable" || len(o.Tickets) != 0 || o.Payment.RefundedMinorUnits != 4450 {
			t.Errorf("order is %s with %d tickets and %d refunded", o.FulfilmentState, len(o.Tickets), o.Payment.RefundedMinorUnits)
		}
		if len(o.Payment.Refunds) != 1 || o.Payment.Refunds[0].Reason != "late" {
			t.Errorf("refunds: %+v", o.Payment.Refunds)
		}
		var atStripe struct {
			Data []e2etest.Resource `json:"data"`
		}
		if err := system.Stripe.Get(e2etest.Within(t, 10*time.Second), "/v1/refunds?payment_intent="+cart.IntentID, &atStripe); err != nil {
			t.Fatal(err)
		}
		if len(atStripe.Data) != 1 {
			t.Errorf("stripe has %d refunds, want 1", len(atStripe.Data))
		}
	})
	e2etest.AssertClean(t, m)
}

// expiredAndPaid starts a checkout, waits until its hold and its intent have ended, and then lets Stripe capture the money
// all the same, as it does when both happen at the same moment. No webhook was sent yet.
func expiredAndPaid(t *testing.T, system *client.Client, variant *checkoutv1.Variant) (client.Cart, e2etest.Resource) {
	t.Helper()
	cart := e2etest.Start(t, system, variant, 1)
	open := e2etest.Intent(t, system, cart.IntentID)
	e2etest.Await(t, system, cart.OrderID, "expired", func(o *checkoutv1.Order) bool {
		return o.GetHoldState() == checkoutv1.HoldState_HOLD_STATE_EXPIRED
	})
	ctx := e2etest.Within(t, 30*time.Second)
	for slices.Contains([]any{"requires_payment_method", "requires_confirmation"}, e2etest.Intent(t, system, cart.IntentID)["status"]) {
		if ctx.Err() != nil {
			t.Fatal("the intent of an expired hold was not canceled")
		}
		e2etest.Pause(ctx)
	}
	paid, charge := open.Paid(4450)
	e2etest.Load(t, system, paid, charge)
	return cart, paid
}
