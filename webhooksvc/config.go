package webhooksvc

import (
	"errors"
	"fmt"
	"time"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// CallTimeout is how long the clients that a Service is given should wait for an answer: checkoutsvc may ask Stripe before it
// answers.
const CallTimeout = 8 * time.Second

// Config holds the settings of webhooksvc. LoadConfig knows the defaults.
type Config struct {
	// AccountSecrets sign what arrives at /webhooks/stripe. Required; several while a secret is rolled.
	AccountSecrets []config.Secret
	// ConnectSecrets sign what arrives at /webhooks/stripe/connect. Without one that endpoint does not exist.
	ConnectSecrets []config.Secret
	// Livemode says which of Stripe's modes counts; events of the other are recorded and have no effect.
	Livemode bool
	// APIVersion is the version that the endpoints are pinned to at Stripe. Bodies of others are read as well and raise
	// an alert once.
	APIVersion string
	// BodyTimeout is how long the body of a delivery may take to arrive.
	BodyTimeout time.Duration
	// Workers is how many events a process works on at once.
	Workers int

	// StripeURL is the base URL of Stripe's API.
	StripeURL string
	// StripeKey is the secret key of the platform's account. Without it there is no backfill.
	StripeKey config.Secret
	// StripeTimeout ends one call to Stripe.
	StripeTimeout time.Duration
	// StripeLimits are how many calls to Stripe all replicas make together.
	StripeLimits stripeapi.Limits
	// BackfillInterval is how often Stripe is asked for events that it could not deliver; also at start.
	BackfillInterval time.Duration
	// SilenceAfter is how old an event at Stripe may be before its absence here is an incident; it is looked for twice as often. Zero
	// turns that off.
	SilenceAfter time.Duration

	// Retention is how long events that ended are kept. Above what Stripe lists: an event that is deleted while Stripe
	// still lists it would come back by the backfill.
	Retention time.Duration
	// RejectionAlert is how many deliveries with a bad signature within five minutes raise an alert.
	RejectionAlert int

	// ConsoleURL is where links in alerts lead; empty: they have none.
	ConsoleURL string
}

// LoadConfig reads the settings of webhooksvc. The loader collects problems.
func LoadConfig(l *config.Loader) Config {
	return Config{
		AccountSecrets: l.SecretListRequired("DAYOF_WEBHOOK_ACCOUNT_SECRETS",
			"signing secrets (whsec_...) of the account endpoint, comma separated, any of which is good"),
		ConnectSecrets: l.SecretList("DAYOF_WEBHOOK_CONNECT_SECRETS",
			"signing secrets (whsec_...) of the Connect endpoint, comma separated; none closes that endpoint"),
		Livemode:   l.Bool("DAYOF_STRIPE_LIVEMODE", false, "whether orders are paid in Stripe's live mode"),
		APIVersion: l.String("DAYOF_WEBHOOK_API_VERSION", "2023-10-16", "Stripe API version that the endpoints are pinned to; others raise an alert"),
		BodyTimeout: l.Duration("DAYOF_WEBHOOK_BODY_TIMEOUT", 10*time.Second,
			"how long the body of a delivery may take to arrive"),
		Workers:       l.Int("DAYOF_WEBHOOK_WORKERS", 64, "how many events a process works on at once"),
		StripeURL:     l.URL("DAYOF_STRIPE_URL", "https://api.stripe.com", "base URL of Stripe's API"),
		StripeKey:     l.Secret("DAYOF_STRIPE_KEY", "secret key of the platform's Stripe account; without it undelivered events are not fetched, and events that need a fetch end as dead"),
		StripeTimeout: l.Duration("DAYOF_STRIPE_TIMEOUT", 15*time.Second, "longest time of one call to Stripe"),
		StripeLimits:  stripeapi.LoadLimits(l, 0.2),
		BackfillInterval: l.Duration("DAYOF_WEBHOOK_BACKFILL_INTERVAL", time.Hour,
			"how often Stripe is asked for events that it could not deliver"),
		SilenceAfter: l.Duration("DAYOF_WEBHOOK_SILENCE_AFTER", 2*time.Minute,
			"how old an event at Stripe may be before its absence here raises an alert and it is fetched; 0 turns that off"),
		Retention: l.Duration("DAYOF_WEBHOOK_RETENTION", 90*24*time.Hour,
			"how long events that ended are kept; at least 31 days, because Stripe lists events for 30"),
		RejectionAlert: l.Int("DAYOF_WEBHOOK_REJECTION_ALERT", 20, "how many deliveries with a bad signature within five minutes raise an alert"),
		ConsoleURL:     l.URL("DAYOF_CONSOLE_URL", "", "base URL of the console, for links in alerts; empty: alerts have no link"),
	}
}

// check refuses what would leave a door open: HMAC with an empty key verifies, and a secret that both endpoints share
// would let an account's event in as the platform's.
func (c Config) check() error {
	if len(c.AccountSecrets) == 0 {
		return errors.New("DAYOF_WEBHOOK_ACCOUNT_SECRETS is required: without a secret anybody could post events")
	}
	seen := make(map[string]string)
	for name, secrets := range map[string][]config.Secret{
		"DAYOF_WEBHOOK_ACCOUNT_SECRETS": c.AccountSecrets,
		"DAYOF_WEBHOOK_CONNECT_SECRETS": c.ConnectSecrets,
	} {
		for _, secret := range secrets {
			if len(secret.Reveal()) < signingSecretSizeMin {
				return fmt.Errorf("%s: a secret is shorter than %d characters", name, signingSecretSizeMin)
			}
			if other, twice := seen[secret.Reveal()]; twice && other != name {
				return errors.New("DAYOF_WEBHOOK_ACCOUNT_SECRETS and DAYOF_WEBHOOK_CONNECT_SECRETS share a secret; every endpoint at Stripe has its own")
			}
			seen[secret.Reveal()] = name
		}
	}
	if c.BodyTimeout <= 0 || c.Workers <= 0 || c.StripeTimeout <= 0 || c.BackfillInterval < backfillIntervalMin {
		return fmt.Errorf("DAYOF_WEBHOOK_BODY_TIMEOUT, DAYOF_WEBHOOK_WORKERS and DAYOF_STRIPE_TIMEOUT must be above zero, DAYOF_WEBHOOK_BACKFILL_INTERVAL at least %s", backfillIntervalMin)
	}
	if c.Retention < retentionMin || c.RejectionAlert <= 0 {
		return fmt.Errorf("DAYOF_WEBHOOK_RETENTION must be at least %s, DAYOF_WEBHOOK_REJECTION_ALERT above zero", retentionMin)
	}
	return nil
}

// retentionMin is a day more than Stripe lists events for.
const retentionMin = backfillReach + 24*time.Hour

// signingSecretSizeMin refuses secrets that were cut off or made up; Stripe's have 38 characters.
const signingSecretSizeMin = 16

// backfillIntervalMin keeps a slip of the configuration from eating up Stripe's rate limit.
const backfillIntervalMin = time.Minute
