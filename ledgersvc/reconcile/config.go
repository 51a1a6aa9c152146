package reconcile

import (
	"cmp"
	"strings"
	"time"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/smtp"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// Config says how the books are compared and who gets the report.
type Config struct {
	// StripeURL and StripeKey reach Stripe's API; without a key nothing is compared.
	StripeURL string
	StripeKey config.Secret
	// StripeTimeout ends one call to Stripe.
	StripeTimeout time.Duration
	// StripeLimits are how many calls to Stripe all replicas make together.
	StripeLimits stripeapi.Limits
	// Interval is how often the books are compared over what happened since the last time; 0 compares on demand and daily
	// only.
	Interval time.Duration
	// Settle is how old things are before the continuous and the daily reconciliation compare them: until then they may
	// be in progress.
	Settle time.Duration
	// RecheckDelay is how long after an item younger than Settle did not match it is fetched again.
	RecheckDelay time.Duration
	// ReportTo are the addresses that get the daily report; none sends none.
	ReportTo []string
	// SMTP is the mail server; without an address no mail is sent.
	SMTP smtp.Config
	// MailFrom is the sender of reports.
	MailFrom string
	// ConsoleURL is where links in alerts and reports lead; empty: they have none.
	ConsoleURL string
}

// LoadConfig reads the settings of the reconciliation. Problems are reported by the loader.
func LoadConfig(l *config.Loader) Config {
	c := Config{
		StripeURL:     l.URL("DAYOF_STRIPE_URL", "https://api.stripe.com", "base URL of Stripe's API"),
		StripeKey:     l.Secret("DAYOF_STRIPE_KEY", "secret key of the platform's Stripe account; without it the books are not compared with Stripe's"),
		StripeTimeout: l.Duration("DAYOF_STRIPE_TIMEOUT", 15*time.Second, "longest time of one call to Stripe"),
		StripeLimits:  stripeapi.LoadLimits(l, 0.1),
		Interval: l.Duration("DAYOF_LEDGER_RECONCILE_INTERVAL", 5*time.Minute,
			"how often orders, ledger and Stripe are compared over what happened since the last time; 0s compares on demand and daily only"),
		Settle: l.Duration("DAYOF_LEDGER_RECONCILE_SETTLE", 15*time.Minute,
			"how old things are before they are compared without being asked for: until then they may be in progress"),
		RecheckDelay: l.Duration("DAYOF_LEDGER_RECONCILE_RECHECK_DELAY", 5*time.Second,
			"how long after something younger than that did not match it is fetched again"),
		SMTP:       smtp.LoadConfig(l),
		MailFrom:   l.String("DAYOF_LEDGER_RECONCILE_MAIL_FROM", "books@dayof.example", "sender of the daily report"),
		ConsoleURL: l.URL("DAYOF_CONSOLE_URL", "", "base URL of the console, for links in alerts; empty: alerts have no link"),
	}
	for address := range strings.SplitSeq(l.String("DAYOF_LEDGER_RECONCILE_REPORT_TO", "",
		"addresses that get the daily report, comma separated; empty sends none"), ",") {
		if address = strings.TrimSpace(address); address != "" {
			c.ReportTo = append(c.ReportTo, address)
		}
	}
	return c
}

// withDefaults fills in what is absent, so that a Config written by hand names only what matters to it. An interval of 0
// is a choice.
func (c Config) withDefaults() Config {
	d := LoadConfig(config.New(func(string) string { return "" }))
	c.StripeURL = cmp.Or(c.StripeURL, d.StripeURL)
	c.MailFrom = cmp.Or(c.MailFrom, d.MailFrom)
	if c.StripeTimeout <= 0 {
		c.StripeTimeout = d.StripeTimeout
	}
	if c.Settle <= 0 {
		c.Settle = d.Settle
	}
	if c.RecheckDelay <= 0 {
		c.RecheckDelay = d.RecheckDelay
	}
	return c
}
