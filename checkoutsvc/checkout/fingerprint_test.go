package checkout

import (
	"encoding/hex"
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
)

// TestFingerprint pins what makes two carts the same, over releases.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	got := hex.EncodeToString(fingerprint(&checkoutv1.StartCheckoutRequest{
		EventId: "e1", Buyer: &checkoutv1.Buyer{Name: "Ada", Email: "ada@example.com", Language: "en"},
		Lines: []*checkoutv1.CartLine{{VariantId: "v1", Quantity: 2}}, ExpectedTotal: &moneyv1.Money{Currency: "EUR", MinorUnits: 17800},
	}))
	if want := "1a08ee8be9c621d9e34e54b4924eb30ed0c4c55421fe183e1801ed5f017dfd1f"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
