package order

import (
	"strings"
	"testing"
)

// TestMoneyInRefusalsIsMoney reads the sentences of refusals that name an amount.
func TestMoneyInRefusalsIsMoney(t *testing.T) {
	t.Parallel()
	o := Order{
		Currency: "EUR", TotalMinorUnits: 17800, PayingIntent: "pi_1",
		Intents: []PaymentIntent{{StripeID: "pi_1", Currency: "EUR", Succeeded: true, CapturedMinorUnits: 9000}},
	}
	err := checkTotal(&o, &Amount{Currency: "EUR", MinorUnits: 1})
	if err == nil || !strings.Contains(err.Error(), "178.00 EUR") {
		t.Errorf("%v", err)
	}
	_, err = refundAmount(&o, o.Funding(), RefundRequest{Amount: &Amount{Currency: "EUR", MinorUnits: 20000}})
	if err == nil || !strings.Contains(err.Error(), "90.00 EUR are left to refund") {
		t.Errorf("%v", err)
	}
}
