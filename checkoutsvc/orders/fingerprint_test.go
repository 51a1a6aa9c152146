package orders

import (
	"bytes"
	"encoding/hex"
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
)

// TestFingerprint pins what makes two requests for a refund the same, over releases.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	got := hex.EncodeToString(refundFingerprint(&checkoutv1.RefundOrderRequest{
		OrderId: "o1", TicketIds: []string{"t1", "t2"}, Note: "n", Amount: &moneyv1.Money{Currency: "EUR", MinorUnits: 100},
	}))
	if want := "36447c08d6cd16342c714788baa95e9ccbd9eb25e03d87ec462604e9d4d80388"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	plain, named := refundFingerprint(&checkoutv1.RefundOrderRequest{}), refundFingerprint(&checkoutv1.RefundOrderRequest{PaymentIntentId: "pi_1"})
	if bytes.Equal(plain, named) {
		t.Error("the payment intent is left out")
	}
}
