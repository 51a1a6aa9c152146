package checkoutsvc

import (
	"log/slog"
	"time"

	"github.com/dayof/dayof/checkoutsvc/fulfilment"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/id"
	"github.com/dayof/dayof/internal/chassis/smtp"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// Config is the settings of checkoutsvc. LoadConfig knows the defaults.
type Config struct {
	// Livemode says which of Stripe's modes orders are paid in; money of the other mode buys nothing.
	Livemode bool
	// HoldDuration is for how long stock is kept for an unpaid order.
	HoldDuration time.Duration
	// BuyerHoldsMax is how many unpaid orders of an event one mail address may have open; 0: any number.
	BuyerHoldsMax int
	// NetworkHoldsMax is how many unpaid orders callers of one network may have open; 0: any number.
	NetworkHoldsMax int

	// AttemptDeadline ends one attempt to fulfil an order; it is shorter than AttemptLease, so that an attempt that lives
	// has stopped before another one starts.
	AttemptDeadline time.Duration
	// AttemptLease is for how long an order belongs to its attempt.
	AttemptLease time.Duration
	// CallerWait is the longest that a browser waits for an attempt.
	CallerWait time.Duration
	// SweepInterval is how often a replica searches for due orders and holds.
	SweepInterval time.Duration
	// BackoffMin and BackoffMax bound the wait between attempts.
	BackoffMin, BackoffMax time.Duration
	// BlockedAfter is how long fulfilment may fail before people are alerted.
	BlockedAfter time.Duration
	// RefundApplicationFee says whether the platform gives its fee back with a refund.
	RefundApplicationFee bool
	// FraudWarningRefunds says whether an early fraud warning refunds what is not used before the event begins; else it
	// is a review case only.
	FraudWarningRefunds bool
	// ReviewHoldsDelivery says whether tickets are held back while the payment is reviewed at Stripe.
	ReviewHoldsDelivery bool
	// PartialCaptureKeepsHold says whether a capture of less than the total leaves the hold alive until its time.
	PartialCaptureKeepsHold bool
	// ProcessingHoldMax is for how long a payment that is on its way keeps its hold, from when Stripe reported it.
	ProcessingHoldMax time.Duration
	// UnansweredHoldMax is for how long beyond its time a hold is kept while Stripe does not answer.
	UnansweredHoldMax time.Duration
	// DisputeReminders are how long before the end of the time for evidence people are alerted, comma separated.
	DisputeReminders string
	// GiveUpAfter is how long fulfilment may fail before the order is given up and refunded.
	GiveUpAfter time.Duration

	// TransferDuration is for how long a ticket is offered to its recipient.
	TransferDuration time.Duration
	// TransfersPendingMax is how many tickets of an order may be offered at once, TransfersDailyMax how many within a day; 0: any number.
	TransfersPendingMax, TransfersDailyMax int

	// CodeKeys are the seeds of the Ed25519 keys that sign ticket codes, each as version:seed with base64 of 32 bytes; the
	// newest signs, all verify.
	CodeKeys []config.Secret
	// OrderTokenKeys sign order access tokens, each as version:key; the newest signs, all verify.
	OrderTokenKeys []config.Secret
	// OrderTokenLifetime is how long after an order was made its token opens it; 0: for ever.
	OrderTokenLifetime time.Duration

	// StripeURL is the base URL of Stripe's API.
	StripeURL string
	// StripeKey is the secret key of the platform's account.
	StripeKey config.Secret
	// StripeTimeout ends one call to Stripe.
	StripeTimeout time.Duration
	// StripeLimits are how many calls to Stripe all replicas make together.
	StripeLimits stripeapi.Limits

	// SMTP is the mail server; without an address no mail is sent.
	SMTP smtp.Config
	// MailFrom is the sender of receipts.
	MailFrom string
	// ConsoleURL is where links in alerts lead; empty: they have none.
	ConsoleURL string
	// ShopURL is where links in mails about tickets lead.
	ShopURL string
}

// LoadConfig reads the settings of checkoutsvc. Problems are reported by the loader.
func LoadConfig(l *config.Loader) Config {
	return Config{
		Livemode:     l.Bool("DAYOF_STRIPE_LIVEMODE", false, "whether orders are paid in Stripe's live mode"),
		HoldDuration: l.Duration("DAYOF_CHECKOUT_HOLD_DURATION", 10*time.Minute, "how long stock is kept for an unpaid order"),
		BuyerHoldsMax: l.Int("DAYOF_CHECKOUT_BUYER_HOLDS_MAX", 5,
			"how many unpaid orders of an event one mail address may have open; 0 is any number"),
		NetworkHoldsMax: l.Int("DAYOF_CHECKOUT_NETWORK_HOLDS_MAX", 50,
			"how many unpaid orders of all events callers of one network may have open; 0 is any number. Schools and mobile carriers share one"),
		AttemptDeadline: l.Duration("DAYOF_CHECKOUT_ATTEMPT_DEADLINE", 6*time.Second, "longest time of one attempt to fulfil an order; below the lease"),
		AttemptLease:    l.Duration("DAYOF_CHECKOUT_ATTEMPT_LEASE", 8*time.Second, "how long an order belongs to the replica that attempts it"),
		CallerWait:      l.Duration("DAYOF_CHECKOUT_CALLER_WAIT", 5*time.Second, "longest time that a browser waits for an attempt before it is answered in_progress"),
		SweepInterval: l.Duration("DAYOF_CHECKOUT_SWEEP_INTERVAL", 3*time.Second,
			"how often a replica searches for orders and holds that are due"),
		BackoffMin:           l.Duration("DAYOF_CHECKOUT_BACKOFF_MIN", 500*time.Millisecond, "shortest wait after a failed attempt"),
		BackoffMax:           l.Duration("DAYOF_CHECKOUT_BACKOFF_MAX", 30*time.Second, "longest wait after a failed attempt"),
		BlockedAfter:         l.Duration("DAYOF_CHECKOUT_BLOCKED_AFTER", time.Minute, "how long fulfilment may fail before an operator is alerted"),
		RefundApplicationFee: l.Bool("DAYOF_CHECKOUT_REFUND_APPLICATION_FEE", false, "whether the platform gives its fee back with a refund"),
		FraudWarningRefunds: l.Bool("DAYOF_CHECKOUT_FRAUD_WARNING_REFUNDS", false,
			"whether an early fraud warning refunds tickets that are not used, before the event; else it is a review case only"),
		ReviewHoldsDelivery: l.Bool("DAYOF_CHECKOUT_REVIEW_HOLDS_DELIVERY", false, "whether tickets are held back while Stripe reviews the payment"),
		PartialCaptureKeepsHold: l.Bool("DAYOF_CHECKOUT_PARTIAL_CAPTURE_KEEPS_HOLD", false,
			"whether a capture of less than the total keeps the stock until the hold's time, for a person to decide; else the stock is on sale again at once"),
		ProcessingHoldMax: l.Duration("DAYOF_CHECKOUT_PROCESSING_HOLD_MAX", 14*24*time.Hour,
			"for how long a payment that is on its way, such as a bank debit, keeps a hold that has run out; 0s keeps none"),
		UnansweredHoldMax: l.Duration("DAYOF_CHECKOUT_UNANSWERED_HOLD_MAX", time.Minute,
			"for how long a hold that has run out is kept while Stripe does not say whether the buyer has paid; 0s ends it at once"),
		DisputeReminders: l.String("DAYOF_CHECKOUT_DISPUTE_REMINDERS", "72h,24h",
			"how long before the end of the time for evidence of a dispute an alert is raised, comma separated durations; empty raises none"),
		GiveUpAfter: l.Duration("DAYOF_CHECKOUT_GIVE_UP_AFTER", 30*time.Minute, "how long fulfilment may fail before the order is refunded"),
		TransferDuration: l.Duration("DAYOF_CHECKOUT_TRANSFER_DURATION", 3*24*time.Hour,
			"how long a ticket is offered to whom it is transferred to; never beyond the event's latest time for transfers"),
		TransfersPendingMax: l.Int("DAYOF_CHECKOUT_TRANSFERS_PENDING_MAX", 20, "how many tickets of an order may be offered at once; 0 is any number"),
		TransfersDailyMax: l.Int("DAYOF_CHECKOUT_TRANSFERS_DAILY_MAX", 40,
			"how many tickets of an order may be offered within a day, each with a mail to the recipient; 0 is any number"),
		CodeKeys: l.SecretListRequired("DAYOF_CHECKOUT_TICKET_CODE_KEYS",
			"seeds of the Ed25519 keys of ticket codes, each as version:seed with base64 of 32 bytes, comma separated; the newest signs"),
		OrderTokenKeys: l.SecretListRequired("DAYOF_CHECKOUT_ORDER_TOKEN_KEYS",
			"keys of order, ticket and transfer tokens and of door devices' codes and tokens, each as version:key of at least 32 characters, comma separated; the newest signs"),
		OrderTokenLifetime: l.Duration("DAYOF_CHECKOUT_ORDER_TOKEN_LIFETIME", 0,
			"how long after an order was made its access token opens it; 0s is for ever. Longer than buyers take to pay"),
		StripeURL:     l.URL("DAYOF_STRIPE_URL", "https://api.stripe.com", "base URL of Stripe's API"),
		StripeKey:     l.SecretRequired("DAYOF_STRIPE_KEY", "secret key of the platform's Stripe account"),
		StripeTimeout: l.Duration("DAYOF_STRIPE_TIMEOUT", 15*time.Second, "longest time of one call to Stripe"),
		StripeLimits:  stripeapi.LoadLimits(l, 0.7),
		SMTP:          smtp.LoadConfig(l),
		MailFrom:      l.String("DAYOF_MAIL_FROM", "tickets@dayof.example", "sender of receipts"),
		ConsoleURL:    l.URL("DAYOF_CONSOLE_URL", "", "base URL of the console, for links in alerts; empty: alerts have no link"),
		ShopURL: l.URL("DAYOF_SHOP_URL", "https://shop.dayof.example",
			"base URL of the shop, for links in mails about tickets: /transfers/<id>#<token> and /tickets/<id>#<token>"),
	}
}

// policy is what the rules of an order need of it.
func (c Config) policy(codeKeyVersion int32) order.Policy {
	return order.Policy{
		Livemode: c.Livemode, Lease: c.AttemptLease, BlockedAfter: c.BlockedAfter, GiveUpAfter: c.GiveUpAfter,
		RefundApplicationFee: c.RefundApplicationFee, FraudWarningRefunds: c.FraudWarningRefunds,
		ReviewHoldsDelivery: c.ReviewHoldsDelivery, PartialCaptureKeepsHold: c.PartialCaptureKeepsHold, ProcessingHoldMax: c.ProcessingHoldMax,
		UnansweredHoldMax: c.UnansweredHoldMax, TransferDuration: c.TransferDuration, TransfersPendingMax: c.TransfersPendingMax,
		TransfersDailyMax: c.TransfersDailyMax,
		CodeKeyVersion:    codeKeyVersion, NewID: id.New,
	}
}

// holdTerms are the terms on which unpaid orders keep stock.
func (c Config) holdTerms() orderstore.HoldTerms {
	return orderstore.HoldTerms{Duration: c.HoldDuration, BuyerHoldsMax: c.BuyerHoldsMax, NetworkHoldsMax: c.NetworkHoldsMax}
}

// fulfilment is how attempts are paced.
func (c Config) fulfilment() fulfilment.Config {
	return fulfilment.Config{
		Deadline: c.AttemptDeadline, Lease: c.AttemptLease, CallerWait: c.CallerWait, BackoffMin: c.BackoffMin, BackoffMax: c.BackoffMax,
	}
}

// orderLink and accountLink lead to an order and to a connected account in the console.
func (c Config) orderLink(orderID string) string { return alert.Link(c.ConsoleURL, "/orders/"+orderID) }

func (c Config) accountLink(stripeAccount string) string {
	return alert.Link(c.ConsoleURL, "/accounts/"+stripeAccount)
}

// mail is what mailing receipts needs of it.
func (c Config) mail(logger *slog.Logger) smtp.Config {
	m := c.SMTP
	m.From, m.Logger = c.MailFrom, logger
	return m
}
