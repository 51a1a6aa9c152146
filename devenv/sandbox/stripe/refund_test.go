package stripe_test

import (
	"slices"
	"sync"
	"testing"

	stripego "github.com/stripe/stripe-go/v76"
)

func TestRefund(t *testing.T) {
	t.Parallel()

	t.Run("parts add up to the whole and no further", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		pi := sb.paid("pm_card_visa")
		half := &stripego.RefundParams{PaymentIntent: &pi.ID, Amount: stripego.Int64(4450), Reason: new("requested_by_customer")}
		half.AddMetadata("refund_request_id", "rfr_1")
		re, err := sb.api.Refunds.New(half)
		if err != nil || re.Status != "succeeded" || re.Amount != 4450 || re.Metadata["refund_request_id"] != "rfr_1" || re.Charge.ID != pi.LatestCharge.ID {
			t.Fatalf("first half: %v %+v", err, re)
		}
		_, err = sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &pi.ID, Amount: stripego.Int64(4451)})
		refusal(t, err, 400, stripego.ErrorTypeInvalidRequest, "")
		if se := stripeError(t, err); se.Param != "amount" {
			t.Fatalf("param %s", se.Param)
		}
		if _, err := sb.api.Refunds.New(&stripego.RefundParams{Charge: &pi.LatestCharge.ID}); err != nil {
			t.Fatalf("the rest by charge: %v", err)
		}
		_, err = sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &pi.ID})
		refusal(t, err, 400, stripego.ErrorTypeInvalidRequest, stripego.ErrorCodeChargeAlreadyRefunded)
		ch := sb.intent(pi.ID).LatestCharge
		if !ch.Refunded || ch.AmountRefunded != 8900 {
			t.Fatalf("charge: refunded %t, %d", ch.Refunded, ch.AmountRefunded)
		}
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created", "charge.succeeded", "payment_intent.succeeded",
			"refund.created", "charge.refunded", "refund.created", "charge.refunded")
		if got := sb.account.event(t, "charge.refunded").Data.PreviousAttributes["amount_refunded"]; got == nil {
			t.Fatal("charge.refunded does not report what was refunded before")
		}
	})

	t.Run("an unpaid intent has nothing to refund", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		pi := sb.newIntent()
		if _, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &pi.ID}); err == nil {
			t.Fatal("an unpaid intent was refunded")
		}
		_, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: new("pi_no")})
		refusal(t, err, 404, stripego.ErrorTypeInvalidRequest, stripego.ErrorCodeResourceMissing)
		_, err = sb.api.Refunds.New(&stripego.RefundParams{})
		refusal(t, err, 400, stripego.ErrorTypeInvalidRequest, stripego.ErrorCodeParameterMissing)
	})

	t.Run("one that succeeded fails days later and the money is back", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		pi := sb.paid("pm_card_refundFail")
		re, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &pi.ID})
		if err != nil || re.Status != "succeeded" {
			t.Fatalf("refund: %v %+v", err, re)
		}
		sb.control("POST", "refunds/"+re.ID+"/fail", map[string]string{"reason": "lost_or_stolen_card"}, 200)
		params := &stripego.RefundParams{}
		params.AddExpand("failure_balance_transaction")
		re, err = sb.api.Refunds.Get(re.ID, params)
		if err != nil || re.Status != "failed" || re.FailureReason != "lost_or_stolen_card" || re.FailureBalanceTransaction.Amount != 8900 {
			t.Fatalf("failed refund: %v %+v", err, re)
		}
		if ch := sb.intent(pi.ID).LatestCharge; ch.AmountRefunded != 0 || ch.Refunded {
			t.Fatalf("charge still shows %d refunded", ch.AmountRefunded)
		}
		sb.control("POST", "refunds/"+re.ID+"/fail", nil, 400)
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "refund.created", "charge.refunded",
			"refund.failed", "charge.refund.updated")
	})

	t.Run("a pending one succeeds later", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		pi := sb.paid("pm_card_pendingRefund")
		re, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &pi.ID})
		if err != nil || re.Status != "pending" {
			t.Fatalf("refund: %v %+v", err, re)
		}
		if got := sb.control("POST", "refunds/"+re.ID+"/succeed", nil, 200); got["status"] != "succeeded" {
			t.Fatalf("settled: %v", got["status"])
		}
		if _, err := sb.api.Refunds.Cancel(re.ID, nil); err == nil {
			t.Fatal("a refund that succeeded was canceled")
		}
	})

	t.Run("older accounts hear of the charge only", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		sb.control("PATCH", "settings", map[string]bool{"legacy_refund_events": true}, 200)
		pi := sb.paid("pm_card_visa")
		if _, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &pi.ID}); err != nil {
			t.Fatalf("refund: %v", err)
		}
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "charge.refunded")
	})

	t.Run("concurrent refunds never exceed what was captured", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		pi := sb.paid("pm_card_visa")
		var mu sync.Mutex
		var sum int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				re, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &pi.ID, Amount: stripego.Int64(1000)})
				if err == nil {
					mu.Lock()
					sum += re.Amount
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if got := sb.intent(pi.ID).LatestCharge.AmountRefunded; sum != 8000 || got != 8000 {
			t.Fatalf("%d refunded by answers, %d by the charge, want 8 of 20 refunds of 1000", sum, got)
		}
		params := &stripego.RefundListParams{PaymentIntent: &pi.ID}
		params.Limit = stripego.Int64(3)
		var amounts []int64
		for it := sb.api.Refunds.List(params); it.Next(); {
			amounts = append(amounts, it.Refund().Amount)
		}
		if len(amounts) != 8 || slices.Max(amounts) != 1000 {
			t.Fatalf("list over pages of three: %v", amounts)
		}
	})
}
