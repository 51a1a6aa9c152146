package stripe_test

import (
	"testing"

	stripego "github.com/stripe/stripe-go/v76"
)

const organiser = "acct_1Organiser0000001"

func TestConnectedAccount(t *testing.T) {
	t.Parallel()

	t.Run("a direct charge belongs to the account, its fee to the platform", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		sb.control("PUT", "accounts/"+organiser, map[string]bool{"charges_enabled": true}, 200)
		direct := func(p *stripego.PaymentIntentParams) {
			p.SetStripeAccount(organiser)
			p.ApplicationFeeAmount = stripego.Int64(500)
		}
		pi := sb.newIntent(direct)
		sb.control("POST", "payment_intents/"+pi.ID+"/confirm", nil, 200)
		_, err := sb.api.PaymentIntents.Get(pi.ID, nil)
		refusal(t, err, 404, stripego.ErrorTypeInvalidRequest, stripego.ErrorCodeResourceMissing) // the platform cannot see it as its own
		params := &stripego.PaymentIntentParams{}
		params.SetStripeAccount(organiser)
		params.AddExpand("latest_charge.balance_transaction")
		params.AddExpand("latest_charge.application_fee")
		if pi, err = sb.api.PaymentIntents.Get(pi.ID, params); err != nil {
			t.Fatalf("get as the account: %v", err)
		}
		txn, fee := pi.LatestCharge.BalanceTransaction, pi.LatestCharge.ApplicationFee
		if txn.Fee != 159+500 || fee.Amount != 500 || fee.Account.ID != organiser {
			t.Fatalf("fee of the charge %d, application fee %+v", txn.Fee, fee)
		}
		refund := &stripego.RefundParams{PaymentIntent: &pi.ID, Amount: stripego.Int64(4450), RefundApplicationFee: new(true)}
		refund.SetStripeAccount(organiser)
		if _, err := sb.api.Refunds.New(refund); err != nil {
			t.Fatalf("refund: %v", err)
		}
		if fee, err = sb.api.ApplicationFees.Get(fee.ID, nil); err != nil || fee.AmountRefunded != 250 || fee.Refunded {
			t.Fatalf("fee after half a refund: %v %+v", err, fee)
		}
		_, platform := sb.balance("")
		_, account := sb.balance(organiser)
		if platform != 250 || account != 8900-659-4450+250 {
			t.Fatalf("pending: platform %d, account %d", platform, account)
		}
		sb.settled()
		wantTypes(t, sb.account, "application_fee.created", "application_fee.refunded")
		wantTypes(t, sb.connect, "account.updated", "payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "refund.created", "charge.refunded")
		if ev := sb.connect.event(t, "charge.succeeded"); ev.Account != organiser {
			t.Fatalf("envelope names account %q", ev.Account)
		}
	})

	t.Run("a destination charge is shared by a transfer that a refund can reverse", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		sb.control("PUT", "accounts/"+organiser, nil, 200)
		pi := sb.paid("pm_card_visa", func(p *stripego.PaymentIntentParams) {
			p.TransferData = &stripego.PaymentIntentTransferDataParams{Destination: new(organiser)}
			p.ApplicationFeeAmount = stripego.Int64(500)
		})
		tr, err := sb.api.Transfers.Get(pi.LatestCharge.Transfer.ID, nil)
		if err != nil || tr.Amount != 8900 || tr.Destination.ID != organiser || tr.SourceTransaction.ID != pi.LatestCharge.ID {
			t.Fatalf("transfer: %v %+v", err, tr)
		}
		_, platform := sb.balance("")
		_, account := sb.balance(organiser)
		if platform != 8900-159-8900+500 || account != 8400 {
			t.Fatalf("pending: platform %d, account %d", platform, account)
		}
		refund := &stripego.RefundParams{PaymentIntent: &pi.ID, ReverseTransfer: new(true), RefundApplicationFee: new(true)}
		re, err := sb.api.Refunds.New(refund)
		if err != nil || re.TransferReversal == nil {
			t.Fatalf("refund: %v %+v", err, re)
		}
		if tr, err = sb.api.Transfers.Get(tr.ID, nil); err != nil || !tr.Reversed || tr.AmountReversed != 8900 || len(tr.Reversals.Data) != 1 {
			t.Fatalf("transfer after the refund: %v %+v", err, tr)
		}
		available, pending := sb.balance(organiser)
		if available+pending != 0 {
			t.Fatalf("the account keeps %d of a refunded charge", available+pending)
		}
	})

	t.Run("transfers need money, or a charge to draw on", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		sb.control("PUT", "accounts/"+organiser, nil, 200)
		pi := sb.paid("pm_card_visa")
		params := &stripego.TransferParams{Amount: stripego.Int64(5000), Currency: new("eur"), Destination: new(organiser)}
		_, err := sb.api.Transfers.New(params)
		refusal(t, err, 400, stripego.ErrorTypeInvalidRequest, stripego.ErrorCodeBalanceInsufficient)
		params.SourceTransaction = &pi.LatestCharge.ID
		tr, err := sb.api.Transfers.New(params)
		if err != nil {
			t.Fatalf("transfer from a charge: %v", err)
		}
		if _, err := sb.api.Transfers.New(params); err == nil {
			t.Fatal("more was transferred than the charge holds")
		}
		rv, err := sb.api.TransferReversals.New(&stripego.TransferReversalParams{ID: &tr.ID, Amount: stripego.Int64(2000)})
		if err != nil || rv.Amount != 2000 {
			t.Fatalf("reverse: %v %+v", err, rv)
		}
		if _, err := sb.api.TransferReversals.New(&stripego.TransferReversalParams{ID: &tr.ID, Amount: stripego.Int64(3001)}); err == nil {
			t.Fatal("more was reversed than transferred")
		}
		if tr, err = sb.api.Transfers.Get(tr.ID, nil); err != nil || tr.Reversed || tr.AmountReversed != 2000 {
			t.Fatalf("transfer: %v %+v", err, tr)
		}
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "transfer.created", "transfer.reversed")
	})

	t.Run("one that may not charge, and one that left", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		sb.control("PUT", "accounts/"+organiser, map[string]any{"charges_enabled": false, "currently_due": []string{"external_account"}}, 200)
		pi := sb.newIntent(func(p *stripego.PaymentIntentParams) { p.SetStripeAccount(organiser) })
		sb.control("POST", "payment_intents/"+pi.ID+"/confirm", nil, 400)
		a, err := sb.api.Accounts.GetByID(organiser, nil)
		if err != nil || a.ChargesEnabled || len(a.Requirements.CurrentlyDue) != 1 {
			t.Fatalf("account: %v %+v", err, a)
		}
		sb.control("POST", "accounts/"+organiser+"/deauthorize", nil, 200)
		params := &stripego.PaymentIntentParams{}
		params.SetStripeAccount(organiser)
		_, err = sb.api.PaymentIntents.Get(pi.ID, params)
		refusal(t, err, 403, stripego.ErrorTypeInvalidRequest, stripego.ErrorCodeAccountInvalid)
		sb.settled()
		ev := sb.connect.event(t, "account.application.deauthorized")
		if ev.Account != organiser || ev.Data.Object["object"] != "application" {
			t.Fatalf("deauthorized: account %q, object %v", ev.Account, ev.Data.Object["object"])
		}
	})
}
