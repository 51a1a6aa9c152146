package webhooksvc

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/internal/chassis/config"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	good := func() Config {
		l := config.New(func(name string) string {
			return map[string]string{"DAYOF_WEBHOOK_ACCOUNT_SECRETS": accountSecret, "DAYOF_WEBHOOK_CONNECT_SECRETS": connectSecret}[name]
		})
		c := LoadConfig(l)
		if err := l.Err(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	if err := good().check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"no secret":                     func(c *Config) { c.AccountSecrets = nil },
		"an empty secret":               func(c *Config) { c.AccountSecrets = []config.Secret{{}} },
		"an empty second secret":        func(c *Config) { c.AccountSecrets = append(c.AccountSecrets, config.NewSecret("")) },
		"an empty Connect secret":       func(c *Config) { c.ConnectSecrets = []config.Secret{{}} },
		"a short secret":                func(c *Config) { c.AccountSecrets = secretsOf("whsec_") },
		"one secret for both endpoints": func(c *Config) { c.ConnectSecrets = c.AccountSecrets },
		"no time for bodies":            func(c *Config) { c.BodyTimeout = 0 },
		"no workers":                    func(c *Config) { c.Workers = 0 },
		"retention below Stripe's list": func(c *Config) { c.Retention = 30 * 24 * time.Hour },
		"an alert for nothing":          func(c *Config) { c.RejectionAlert = 0 },
		"a backfill every second":       func(c *Config) { c.BackfillInterval = time.Second },
	} {
		c := good()
		spoil(&c)
		if _, err := New(Deps{Config: c, Pool: new(pgxpool.Pool)}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
