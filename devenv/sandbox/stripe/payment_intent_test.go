package stripe_test

import (
	"testing"

	stripego "github.com/stripe/stripe-go/v76"
)

func TestPaymentIntent(t *testing.T) {
	t.Parallel()

	t.Run("a buyer's card pays it and the fee is known", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		pi := sb.newIntent()
		if pi.Status != stripego.PaymentIntentStatusRequiresPaymentMethod || pi.ClientSecret == "" || pi.Livemode {
			t.Fatalf("new intent: status %s, secret %q, livemode %t", pi.Status, pi.ClientSecret, pi.Livemode)
		}
		sb.control("POST", "payment_intents/"+pi.ID+"/confirm", nil, 200)
		pi = sb.intent(pi.ID)
		txn := pi.LatestCharge.BalanceTransaction
		// 1.5 % of 8900 is 133.5, rounded half up, and 25 on top.
		if pi.Status != "succeeded" || pi.AmountReceived != 8900 || !pi.LatestCharge.Captured || txn.Fee != 134+25 || txn.Net != 8900-159 {
			t.Fatalf("paid intent: %s, received %d, captured %t, fee %d, net %d", pi.Status, pi.AmountReceived, pi.LatestCharge.Captured, txn.Fee, txn.Net)
		}
		if txn.Status != "pending" || pi.LatestCharge.Metadata["order_id"] != "ord_4DFJiRdPUPa5LD93" {
			t.Fatalf("transaction %s, charge metadata %v", txn.Status, pi.LatestCharge.Metadata)
		}
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created", "charge.succeeded", "payment_intent.succeeded")
		wantTypes(t, sb.connect)
	})

	t.Run("a declined card leaves it open for another", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		pi := sb.newIntent()
		confirm := &stripego.PaymentIntentConfirmParams{
			PaymentMethod: new("pm_card_visa_chargeDeclinedInsufficientFunds"), ReturnURL: new("https://shop.example.test"),
		}
		_, err := sb.api.PaymentIntents.Confirm(pi.ID, confirm)
		refusal(t, err, 402, stripego.ErrorTypeCard, stripego.ErrorCodeCardDeclined)
		if se := stripeError(t, err); se.DeclineCode != stripego.DeclineCodeInsufficientFunds || se.ChargeID == "" || se.PaymentIntent.ID != pi.ID {
			t.Fatalf("decline %s, charge %q, intent %v", se.DeclineCode, se.ChargeID, se.PaymentIntent)
		}
		confirm.PaymentMethod = new("pm_card_visa")
		if _, err := sb.api.PaymentIntents.Confirm(pi.ID, confirm); err != nil {
			t.Fatalf("second card: %v", err)
		}
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created", "charge.failed", "payment_intent.payment_failed", "charge.succeeded", "payment_intent.succeeded")
	})

	t.Run("3-D Secure asks first", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		pi := sb.newIntent()
		left := sb.control("POST", "payment_intents/"+pi.ID+"/confirm", map[string]string{"payment_method": "pm_card_threeDSecure2Required", "challenge": "leave"}, 200)
		if left["status"] != "requires_action" || left["next_action"] == nil {
			t.Fatalf("left open: %v, next action %v", left["status"], left["next_action"])
		}
		failed := sb.control("POST", "payment_intents/"+pi.ID+"/authenticate", map[string]bool{"passed": false}, 200)
		if failed["status"] != "requires_payment_method" {
			t.Fatalf("after a failed challenge: %v", failed["status"])
		}
		passed := sb.control("POST", "payment_intents/"+pi.ID+"/confirm", map[string]string{"payment_method": "pm_card_threeDSecure2Required"}, 200)
		if passed["status"] != "succeeded" {
			t.Fatalf("after a passed challenge: %v", passed["status"])
		}
		if got := sb.intent(pi.ID).LatestCharge.PaymentMethodDetails.Card.ThreeDSecure; got == nil || got.Result != "authenticated" {
			t.Fatalf("three_d_secure of the charge: %v", got)
		}
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created", "payment_intent.requires_action", "payment_intent.payment_failed",
			"payment_intent.requires_action", "charge.succeeded", "payment_intent.succeeded")
	})

	t.Run("a bank debit is processing until it settles", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		for iban, want := range map[string]string{"DE89370400440532013000": "succeeded", "DE62370400440532013001": "requires_payment_method"} {
			pi := sb.newIntent()
			got := sb.control("POST", "payment_intents/"+pi.ID+"/confirm", map[string]string{"iban": iban}, 200)
			if got["status"] != "processing" {
				t.Fatalf("debit: %v, want processing", got["status"])
			}
			if _, err := sb.api.PaymentIntents.Cancel(pi.ID, nil); err == nil {
				t.Fatal("a debit under way was canceled")
			}
			got = sb.control("POST", "payment_intents/"+pi.ID+"/settle", nil, 200)
			if got["status"] != want {
				t.Fatalf("settled debit of %s: %v, want %s", iban, got["status"], want)
			}
		}
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created", "payment_intent.created", "charge.pending", "charge.pending",
			"payment_intent.processing", "payment_intent.processing", "charge.succeeded", "payment_intent.succeeded",
			"charge.failed", "payment_intent.payment_failed")
	})

	t.Run("manual capture takes a part and releases the rest", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		manual := func(p *stripego.PaymentIntentParams) { p.CaptureMethod = new("manual") }
		pi := sb.paid("pm_card_visa", manual)
		if pi.Status != "requires_capture" || pi.AmountCapturable != 8900 || pi.LatestCharge.Captured || pi.LatestCharge.BalanceTransaction != nil {
			t.Fatalf("authorised: %s, capturable %d, captured %t", pi.Status, pi.AmountCapturable, pi.LatestCharge.Captured)
		}
		_, err := sb.api.PaymentIntents.Capture(pi.ID, &stripego.PaymentIntentCaptureParams{AmountToCapture: stripego.Int64(8901)})
		refusal(t, err, 400, stripego.ErrorTypeInvalidRequest, stripego.ErrorCodeAmountTooLarge)
		if _, err := sb.api.PaymentIntents.Capture(pi.ID, &stripego.PaymentIntentCaptureParams{AmountToCapture: stripego.Int64(5000)}); err != nil {
			t.Fatalf("capture: %v", err)
		}
		pi = sb.intent(pi.ID)
		if pi.Status != "succeeded" || pi.AmountReceived != 5000 || pi.LatestCharge.AmountRefunded != 3900 || pi.LatestCharge.BalanceTransaction.Amount != 5000 {
			t.Fatalf("captured: %s, received %d, released %d", pi.Status, pi.AmountReceived, pi.LatestCharge.AmountRefunded)
		}
		if _, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &pi.ID, Amount: stripego.Int64(5001)}); err == nil {
			t.Fatal("more was refunded than captured")
		}
		expired := sb.paid("pm_card_visa", manual)
		sb.control("POST", "payment_intents/"+expired.ID+"/expire", nil, 200)
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated", "charge.captured",
			"payment_intent.succeeded", "payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated", "charge.expired", "payment_intent.canceled")
	})

	t.Run("money that came cannot be canceled, and a canceled intent cannot be paid", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		paid := sb.paid("pm_card_visa")
		_, err := sb.api.PaymentIntents.Cancel(paid.ID, nil)
		refusal(t, err, 400, stripego.ErrorTypeInvalidRequest, stripego.ErrorCodePaymentIntentUnexpectedState)
		open := sb.newIntent()
		canceled, err := sb.api.PaymentIntents.Cancel(open.ID, &stripego.PaymentIntentCancelParams{CancellationReason: new("abandoned")})
		if err != nil || canceled.Status != "canceled" || canceled.CancellationReason != "abandoned" {
			t.Fatalf("cancel: %v, %v", err, canceled)
		}
		sb.control("POST", "payment_intents/"+open.ID+"/confirm", nil, 400)
		_, err = sb.api.PaymentIntents.Update(paid.ID, &stripego.PaymentIntentParams{Amount: stripego.Int64(1)})
		refusal(t, err, 400, stripego.ErrorTypeInvalidRequest, stripego.ErrorCodePaymentIntentUnexpectedState)
	})

	t.Run("bad parameters are refused before anything happens", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		for name, c := range map[string]struct {
			params stripego.PaymentIntentParams
			param  string
			code   stripego.ErrorCode
		}{
			"no amount":        {stripego.PaymentIntentParams{Currency: new("eur")}, "amount", "parameter_missing"},
			"negative amount":  {stripego.PaymentIntentParams{Amount: stripego.Int64(-5), Currency: new("eur")}, "amount", "parameter_invalid_integer"},
			"below minimum":    {stripego.PaymentIntentParams{Amount: stripego.Int64(49), Currency: new("eur")}, "amount", "amount_too_small"},
			"above maximum":    {stripego.PaymentIntentParams{Amount: stripego.Int64(100_000_000), Currency: new("eur")}, "amount", "amount_too_large"},
			"unknown currency": {stripego.PaymentIntentParams{Amount: stripego.Int64(500), Currency: new("xxx")}, "currency", ""},
			"unknown method":   {stripego.PaymentIntentParams{Amount: stripego.Int64(500), Currency: new("eur"), PaymentMethod: new("pm_no")}, "payment_method", "resource_missing"},
		} {
			_, err := sb.api.PaymentIntents.New(&c.params)
			if se := stripeError(t, err); se.Param != c.param || se.Code != c.code || se.Type != stripego.ErrorTypeInvalidRequest {
				t.Errorf("%s: got %v, want param %s, code %q", name, err, c.param, c.code)
			}
		}
		unknown := &stripego.PaymentIntentParams{Amount: stripego.Int64(500), Currency: new("eur")}
		unknown.AddExtra("colour", "red")
		_, err := sb.api.PaymentIntents.New(unknown)
		refusal(t, err, 400, stripego.ErrorTypeInvalidRequest, stripego.ErrorCodeParameterUnknown)
		if n := len(sb.account.types()); n != 0 {
			t.Fatalf("%d events for refused requests", n)
		}
	})
}
