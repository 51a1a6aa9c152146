package stripecalls

import (
	"context"
	"time"

	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// intentLists is the target of lists of intents: while none is answered, intents are made all the same.
const intentLists = "payment_intents/list"

// ListIntents shows the intents of an account that were made in a span of time, whole seconds and both ends included, the newest first,
// a hundred per call, until see returns false or there are no more.
func (c Client) ListIntents(ctx context.Context, account string, from, until time.Time, see func(page []*stripe.PaymentIntent) bool) error {
	after := ""
	for {
		page, err := c.intentPage(ctx, account, from, until, after)
		if err != nil || !see(page.Data) || !page.HasMore || len(page.Data) == 0 {
			return err
		}
		after = page.Data[len(page.Data)-1].ID
	}
}

func (c Client) intentPage(ctx context.Context, account string, from, until time.Time, after string) (*stripe.PaymentIntentList, error) {
	params := &stripe.PaymentIntentListParams{CreatedRange: &stripe.RangeQueryParams{
		GreaterThanOrEqual: from.Unix(), LesserThanOrEqual: until.Unix(),
	}}
	params.Single = true
	params.Filters.AddFilter("limit", "", "100")
	if after != "" {
		params.StartingAfter = &after
	}
	if account != "" {
		params.SetStripeAccount(account)
	}
	return stripeapi.Call(ctx, c.Client, stripeapi.Target{Account: account, Objects: intentLists, Priority: stripeapi.Second}, func(ctx context.Context) (*stripe.PaymentIntentList, error) {
		params.Context = ctx
		list := c.PaymentIntents.List(params)
		return list.PaymentIntentList(), list.Err()
	})
}
