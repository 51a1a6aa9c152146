package ledgersvc

import (
	"time"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/ledgersvc/reconcile"
)

// Config is the settings of ledgersvc. LoadConfig knows the defaults.
type Config struct {
	Formance FormanceConfig
	// CallTimeout is how long one call of ours may work on an entry, its repeats and reads at the ledger included. A
	// caller's earlier deadline goes first.
	CallTimeout time.Duration
	// Reconcile is how the books are compared.
	Reconcile reconcile.Config
}

// FormanceConfig says where the ledger is and how to treat it.
type FormanceConfig struct {
	// URL is the base URL of the ledger or of the stack's gateway.
	URL string
	// Ledger is the name of the ledger; it is created at start if it does not exist.
	Ledger string
	// PathPrefix is the path between URL and /v2: "/api/ledger" at a gateway, "/" at a bare ledger; "auto" finds out.
	PathPrefix string
	// ClientID and ClientSecret get OAuth tokens from TokenURL; an empty ClientID sends none.
	ClientID     string
	ClientSecret config.Secret
	TokenURL     string
	// AttemptTimeout ends one request to the ledger.
	AttemptTimeout time.Duration
	// CreateTimeout ends the request that creates the ledger, which makes its tables.
	CreateTimeout time.Duration
	// WritesInFlightMax is how many writes are under way at once. It must stay below the size of the ledger server's
	// connection pool (20 by default), divided by our replicas: v2.4.12 hangs when writes fill its pool.
	WritesInFlightMax int
	// BulkMax is how many sales that meet in one account go in one atomic bulk; 1 posts every sale by itself. The
	// server's own limit is 100 by default.
	BulkMax int
	// BreakerOpenFor is how long calls are refused after several failures in a row.
	BreakerOpenFor time.Duration
}

// LoadConfig reads the settings of ledgersvc. Problems are reported by the loader.
func LoadConfig(l *config.Loader) Config {
	return Config{
		Formance: FormanceConfig{
			URL:    l.URL("DAYOF_FORMANCE_URL", "", "base URL of the Formance ledger or its gateway; empty uses the sandbox ledger where there is one"),
			Ledger: l.String("DAYOF_FORMANCE_LEDGER", "dayof", "name of the ledger; created at start if it does not exist"),
			PathPrefix: l.String("DAYOF_FORMANCE_PATH_PREFIX", prefixAuto,
				"path between the URL and /v2: /api/ledger at a gateway, / at a bare ledger, auto finds out"),
			ClientID:     l.String("DAYOF_FORMANCE_CLIENT_ID", "", "OAuth client at the gateway; empty sends no credentials"),
			ClientSecret: l.Secret("DAYOF_FORMANCE_CLIENT_SECRET", "OAuth secret at the gateway"),
			TokenURL:     l.String("DAYOF_FORMANCE_TOKEN_URL", "", "where OAuth tokens come from; empty means /api/auth/oauth/token at the gateway"),
			AttemptTimeout: l.Duration("DAYOF_FORMANCE_ATTEMPT_TIMEOUT", 2*time.Second,
				"longest time of one request to the ledger; its outcome is unknown after that and is read back"),
			CreateTimeout: l.Duration("DAYOF_FORMANCE_CREATE_TIMEOUT", time.Minute,
				"longest time of the request that creates the ledger; the first one of a server makes its tables"),
			WritesInFlightMax: l.Int("DAYOF_FORMANCE_WRITES_IN_FLIGHT_MAX", 15,
				"writes at the ledger at once; keep the sum over all replicas below the ledger server's connection pool"),
			BulkMax: l.Int("DAYOF_FORMANCE_BULK_MAX", 50,
				"most sales of one organiser that are posted together when they come faster than the ledger; 1 posts each by itself"),
			BreakerOpenFor: l.Duration("DAYOF_FORMANCE_BREAKER_OPEN_FOR", time.Second,
				"how long calls are refused after several failures in a row"),
		},
		CallTimeout: l.Duration("DAYOF_LEDGER_CALL_TIMEOUT", 5*time.Second, "longest time to post one entry, repeats included"),
		Reconcile:   reconcile.LoadConfig(l),
	}
}

// withDefaults fills in what is absent, so that a Config written by hand names only what matters to it.
func (c Config) withDefaults() Config {
	defaults := LoadConfig(config.New(func(string) string { return "" }))
	f, d := &c.Formance, defaults.Formance
	if f.Ledger == "" {
		f.Ledger = d.Ledger
	}
	if f.PathPrefix == "" {
		f.PathPrefix = d.PathPrefix
	}
	if f.AttemptTimeout <= 0 {
		f.AttemptTimeout = d.AttemptTimeout
	}
	if f.CreateTimeout <= 0 {
		f.CreateTimeout = d.CreateTimeout
	}
	if f.WritesInFlightMax <= 0 {
		f.WritesInFlightMax = d.WritesInFlightMax
	}
	if f.BulkMax <= 0 {
		f.BulkMax = d.BulkMax
	}
	if f.BreakerOpenFor <= 0 {
		f.BreakerOpenFor = d.BreakerOpenFor
	}
	if c.CallTimeout <= 0 {
		c.CallTimeout = defaults.CallTimeout
	}
	return c
}
