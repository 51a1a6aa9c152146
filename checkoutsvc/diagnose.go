package checkoutsvc

import (
	"context"

	"github.com/dayof/dayof/internal/chassis/diagnosis"
	"github.com/dayof/dayof/internal/chassis/smtp"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// Diagnose asks the parties that orders need whether they would serve with these settings: Stripe and the mail server. Nothing is changed.
func Diagnose(ctx context.Context, c Config) diagnosis.Findings {
	return append(
		stripeapi.Diagnose(ctx, stripeapi.Config{Key: c.StripeKey, URL: c.StripeURL}, c.Livemode),
		smtp.Diagnose(ctx, c.SMTP)...)
}
