package stripeapi

import (
	"context"

	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/internal/chassis/diagnosis"
)

// Diagnose asks Stripe with the key whether it takes it, in which mode it is, and which version of the API answers.
func Diagnose(ctx context.Context, c Config, livemode bool) diagnosis.Findings {
	var f diagnosis.Findings
	if !c.Key.IsSet() {
		f.Problem("stripe key", "DAYOF_STRIPE_KEY is not set")
		return f
	}
	c.Timeout = diagnosis.Timeout
	params := &stripe.BalanceParams{}
	params.Context = ctx
	balance, err := New(c).Balance.Get(params)
	if err != nil {
		f.Problem("stripe key", "%s does not give the account's balance: %v", c.URL, withoutContent(err))
		return f
	}
	if balance.Livemode != livemode {
		f.Problem("stripe key", "the key is of %s, and DAYOF_STRIPE_LIVEMODE says %s", modeName(balance.Livemode), modeName(livemode))
	} else {
		f.OK("stripe key", "%s takes it, in %s", c.URL, modeName(livemode))
	}
	if got := balance.LastResponse.Header.Get("Stripe-Version"); got != stripe.APIVersion {
		f.Problem("stripe version", "the API answers in version %q, and we ask for %s", got, stripe.APIVersion)
	} else {
		f.OK("stripe version", "the API answers in version %s", got)
	}
	return f
}

func modeName(livemode bool) string {
	if livemode {
		return "live mode"
	}
	return "test mode"
}
