package stripe_test

import (
	"testing"

	stripego "github.com/stripe/stripe-go/v76"
)

func TestDispute(t *testing.T) {
	t.Parallel()

	t.Run("lost: amount and fee are gone and the charge cannot be refunded", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		pi := sb.paid("pm_card_visa")
		opened := sb.control("POST", "disputes", map[string]string{"payment_intent": pi.ID}, 200)
		du, err := sb.api.Disputes.Get(idOf(opened), nil)
		if err != nil || du.Status != "needs_response" || du.Amount != 8900 || len(du.BalanceTransactions) != 1 {
			t.Fatalf("opened: %v %+v", err, du)
		}
		if txn := du.BalanceTransactions[0]; txn.Amount != -8900 || txn.Fee != 1500 || txn.Net != -10400 || txn.ReportingCategory != "dispute" {
			t.Fatalf("withdrawn: %+v", txn)
		}
		_, err = sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &pi.ID})
		refusal(t, err, 400, stripego.ErrorTypeInvalidRequest, stripego.ErrorCodeChargeDisputed)
		du, err = sb.api.Disputes.Update(du.ID, &stripego.DisputeParams{Evidence: &stripego.DisputeEvidenceParams{ProductDescription: new("Two tickets")}})
		if err != nil || du.Status != "under_review" || du.EvidenceDetails.SubmissionCount != 1 {
			t.Fatalf("evidence: %v %+v", err, du)
		}
		sb.control("POST", "disputes/"+du.ID+"/close", map[string]string{"status": "lost"}, 200)
		sb.control("POST", "disputes/"+du.ID+"/close", map[string]string{"status": "won"}, 400)
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "charge.dispute.created",
			"charge.dispute.funds_withdrawn", "charge.dispute.updated", "charge.dispute.closed")
	})

	t.Run("won: the amount comes back, the fee only when asked", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		for _, returned := range []bool{false, true} {
			pi := sb.paid("pm_card_visa")
			opened := sb.control("POST", "disputes", map[string]any{"charge": pi.LatestCharge.ID, "amount": 4000, "reason": "product_not_received"}, 200)
			id := idOf(opened)
			sb.control("POST", "disputes/"+id+"/close", map[string]any{"status": "won", "return_fee": returned}, 200)
			du, err := sb.api.Disputes.Get(id, nil)
			if err != nil || len(du.BalanceTransactions) != 2 {
				t.Fatalf("won: %v %+v", err, du)
			}
			sum := du.BalanceTransactions[0].Net + du.BalanceTransactions[1].Net
			if want := map[bool]int64{false: -1500, true: 0}[returned]; sum != want {
				t.Fatalf("fee returned %t: the two movements sum to %d, want %d", returned, sum, want)
			}
			if _, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &pi.ID}); err != nil {
				t.Fatalf("a charge whose dispute was won cannot be refunded: %v", err)
			}
		}
	})

	t.Run("an inquiry moves no money until it is escalated", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		pi := sb.paid("pm_card_createDisputeInquiry")
		it := sb.api.Disputes.List(&stripego.DisputeListParams{PaymentIntent: &pi.ID})
		if !it.Next() {
			t.Fatalf("the test card brought no inquiry: %v", it.Err())
		}
		du := it.Dispute()
		if du.Status != "warning_needs_response" || len(du.BalanceTransactions) != 0 || !du.IsChargeRefundable {
			t.Fatalf("inquiry: %+v", du)
		}
		sb.control("POST", "disputes/"+du.ID+"/close", map[string]string{"status": "lost"}, 400)
		got := sb.control("POST", "disputes/"+du.ID+"/escalate", nil, 200)
		if movements, ok := got["balance_transactions"].([]any); got["status"] != "needs_response" || !ok || len(movements) != 1 {
			t.Fatalf("escalated: %v", got)
		}
		if _, err := sb.api.Disputes.Close(du.ID, nil); err != nil {
			t.Fatalf("accept: %v", err)
		}
		sb.control("POST", "disputes/"+du.ID+"/reinstate", nil, 200)
		sb.settled()
		wantTypes(t, sb.account, "payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "charge.dispute.created",
			"charge.dispute.updated", "charge.dispute.funds_withdrawn", "charge.dispute.closed", "charge.dispute.funds_reinstated")
	})

	t.Run("no more can be disputed than was captured", func(t *testing.T) {
		t.Parallel()
		sb := newSandbox(t)
		pi := sb.paid("pm_card_visa")
		sb.control("POST", "disputes", map[string]any{"payment_intent": pi.ID, "amount": 5000}, 200)
		sb.control("POST", "disputes", map[string]any{"payment_intent": pi.ID, "amount": 3901}, 400)
		sb.control("POST", "disputes", map[string]any{"payment_intent": pi.ID, "amount": 3900}, 200)
		open := sb.newIntent()
		sb.control("POST", "disputes", map[string]any{"payment_intent": open.ID}, 404)
	})
}
