package stripe_test

import (
	"testing"
	"time"

	stripego "github.com/stripe/stripe-go/v76"
)

func (sb *sandbox) balance(account string) (available, pending int64) {
	sb.t.Helper()
	params := &stripego.BalanceParams{}
	if account != "" {
		params.SetStripeAccount(account)
	}
	b, err := sb.api.Balance.Get(params)
	if err != nil {
		sb.t.Fatalf("balance: %v", err)
	}
	for _, a := range b.Available {
		available += a.Amount
	}
	for _, a := range b.Pending {
		pending += a.Amount
	}
	return available, pending
}

func TestPayout(t *testing.T) {
	t.Parallel()

	t.Run("the automatic one takes what is available and lists it", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		first := sb.paid("pm_card_visa")
		if _, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &first.ID, Amount: stripego.Int64(4450)}); err != nil {
			t.Fatalf("refund: %v", err)
		}
		sb.control("POST", "payouts", nil, 400) // nothing is available yet
		sb.clock.Advance(2 * 24 * time.Hour)
		late := sb.paid("pm_card_visa")
		net := int64(8900 - 159 - 4450)
		if available, pending := sb.balance(""); available != net || pending != 8900-159 {
			t.Fatalf("balance %d available, %d pending", available, pending)
		}
		po := sb.control("POST", "payouts", nil, 200)
		id := idOf(po)
		if po["amount"] != float64(net) || po["automatic"] != true || po["reconciliation_status"] != "in_progress" {
			t.Fatalf("payout: %v", po)
		}
		types := map[string]int64{}
		var sum int64
		for it := sb.api.BalanceTransactions.List(&stripego.BalanceTransactionListParams{Payout: &id}); it.Next(); {
			txn := it.BalanceTransaction()
			types[string(txn.Type)] += txn.Net
			sum += txn.Net
			if txn.Source.ID == late.LatestCharge.ID {
				t.Error("the payout holds a charge that was not available")
			}
		}
		if sum != 0 || types["charge"] != 8741 || types["refund"] != -4450 || types["payout"] != -net {
			t.Fatalf("transactions of the payout: %v", types)
		}
		sb.control("POST", "payouts/"+id+"/in_transit", nil, 200)
		sb.control("POST", "payouts/"+id+"/paid", nil, 200)
		sb.control("POST", "payouts/"+id+"/fail", nil, 200) // bounced after it was paid
		sb.control("POST", "payouts/"+id+"/paid", nil, 400)
		if available, _ := sb.balance(""); available != net {
			t.Fatalf("%d available after the payout bounced, want %d", available, net)
		}
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "refund.created", "charge.refunded",
			"payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "payout.created", "payout.updated", "payout.paid",
			"payout.reconciliation_completed", "payout.failed")
	})

	t.Run("a manual one cannot exceed what is available", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		sb.paid("pm_card_bypassPending")
		params := &stripego.PayoutParams{Amount: stripego.Int64(8742), Currency: new("eur")}
		_, err := sb.api.Payouts.New(params)
		refusal(t, err, 400, stripego.ErrorTypeInvalidRequest, stripego.ErrorCodeBalanceInsufficient)
		params.Amount = stripego.Int64(8741)
		po, err := sb.api.Payouts.New(params)
		if err != nil || po.Automatic || po.Status != "pending" {
			t.Fatalf("payout: %v %+v", err, po)
		}
		if po, err = sb.api.Payouts.Cancel(po.ID, nil); err != nil || po.Status != "canceled" {
			t.Fatalf("cancel: %v %+v", err, po)
		}
		if available, _ := sb.balance(""); available != 8741 {
			t.Fatalf("%d available after the payout was canceled", available)
		}
	})
}
