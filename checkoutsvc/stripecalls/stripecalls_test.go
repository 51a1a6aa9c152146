package stripecalls_test

import (
	"testing"

	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/checkoutsvc/stripecalls"
)

func TestKeptByStripe(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		details []*stripe.BalanceTransactionFeeDetail
		want    int64
	}{
		"no details":      {nil, 349},
		"all is Stripe's": {[]*stripe.BalanceTransactionFeeDetail{{Type: "stripe_fee", Amount: 300}, {Type: "tax", Amount: 49}}, 349},
		"a part is the platform's": {[]*stripe.BalanceTransactionFeeDetail{
			{Type: "application_fee", Amount: 250}, {Type: "stripe_fee", Amount: 99},
		}, 99},
	}
	for name, c := range cases {
		if got := stripecalls.KeptByStripe(&stripe.BalanceTransaction{Fee: 349, FeeDetails: c.details}); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
