package cluster

import (
	"cmp"
	"maps"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/sandbox"
	"github.com/dayof/dayof/internal/server"
)

// describe fills in dev.json.
func (m *Cluster) describe() {
	address := func(name string) string { return m.address(name, 0) }
	m.File = client.File{
		CheckoutURL: address("checkout"), PassURL: address("pass"), LedgerURL: address("ledger"), WebhookURL: address("webhook"),
		ConsoleURL:          address("console"),
		StripeWebhookSecret: m.secrets.StripeWebhookSecret, StripeConnectWebhookSecret: m.secrets.StripeConnectSecret,
		OperatorToken: m.secrets.OperatorToken,
		DatabaseURLs:  map[string]string{}, MetricsURLs: map[string]string{},
		PassTypeIdentifier: passType, TeamIdentifier: teamID, PassCAFile: m.path(rootFile),
		Sandbox: client.Sandbox{
			StripeURL: m.Sandbox.StripeURL, FormanceURL: m.Sandbox.FormanceURL, FormanceLedger: m.ledgerName(), APNsURL: m.Sandbox.APNsURL,
			APNsLogURL:  m.Sandbox.ControlURL + sandbox.APNsLogPath,
			MailLogURL:  m.Sandbox.ControlURL + sandbox.MailLogPath,
			AlertLogURL: m.Sandbox.ControlURL + sandbox.AlertLogPath,
			FaultsURL:   m.Sandbox.ControlURL + sandbox.FaultsPath,
		},
	}
	for _, service := range server.Services() {
		m.File.DatabaseURLs[service] = m.Postgres.URL(m.database(service))
		m.File.MetricsURLs[service] = address(service) + "/metrics"
	}
}

// ledgerName is the name of the ledger that ledgersvc keeps.
func (m *Cluster) ledgerName() string {
	return cmp.Or(m.config.Settings["DAYOF_FORMANCE_LEDGER"], m.config.Getenv("DAYOF_FORMANCE_LEDGER"), "dayof")
}

// settings are what a replica of every service gets. Services of one replica talk to those of the same number.
func (m *Cluster) settings(n int) func(string) string {
	made := m.SettingsOf(n)
	return func(name string) string {
		if value, ok := made[name]; ok {
			return value
		}
		return m.config.Getenv(name)
	}
}

// SettingsOf are those settings of a replica that the cluster makes up or was given.
func (m *Cluster) SettingsOf(n int) map[string]string {
	made := map[string]string{
		"DAYOF_OPERATOR_TOKEN":            m.secrets.OperatorToken,
		"DAYOF_ALERT_URL":                 m.Sandbox.AlertURL,
		"DAYOF_CONSOLE_URL":               m.File.ConsoleURL,
		"DAYOF_STRIPE_URL":                m.Sandbox.StripeURL,
		"DAYOF_STRIPE_KEY":                "sk_test_dayof",
		"DAYOF_SMTP_ADDRESS":              m.Sandbox.SMTPAddress,
		"DAYOF_FORMANCE_URL":              m.File.Sandbox.FormanceURL,
		"DAYOF_FORMANCE_LEDGER":           m.File.Sandbox.FormanceLedger,
		"DAYOF_CHECKOUT_TICKET_CODE_KEYS": m.secrets.CodeKey,
		"DAYOF_CHECKOUT_ORDER_TOKEN_KEYS": m.secrets.OrderTokenKey,
		"DAYOF_PASS_TOKEN_KEYS":           "1:" + m.secrets.PassTokenKey,
		"DAYOF_PASS_CERTIFICATE":          m.secrets.PassCertificate,
		"DAYOF_PASS_PUBLIC_URL":           m.File.PassURL,
		"DAYOF_PASS_APNS_URL":             m.Sandbox.APNsURL,
		"DAYOF_PASS_APNS_ROOTS_FILE":      m.path(apnsFile),
		"DAYOF_WEBHOOK_ACCOUNT_SECRETS":   m.secrets.StripeWebhookSecret,
		"DAYOF_WEBHOOK_CONNECT_SECRETS":   m.secrets.StripeConnectSecret,
	}
	for _, name := range []string{"PATH_PREFIX", "CLIENT_ID", "CLIENT_SECRET", "TOKEN_URL", "WRITES_IN_FLIGHT_MAX"} { // of a given ledger
		if value := m.config.Getenv("DAYOF_FORMANCE_" + name); value != "" {
			made["DAYOF_FORMANCE_"+name] = value
		}
	}
	for _, name := range []string{"DAYOF_STRIPE_CALLS_PER_SECOND", "DAYOF_STRIPE_CALLS_PER_ENDPOINT"} { // the sandbox has no limits unless it is told to
		if m.config.Getenv(name) == "" {
			made[name] = "0"
		}
	}
	if name := "DAYOF_CHECKOUT_BUYER_HOLDS_MAX"; m.config.Getenv(name) == "" { // the buyers of tests and scripts share an address
		made[name] = "0"
	}
	for _, service := range server.Services() {
		made[server.SettingPrefix(service)+"DATABASE_URL"] = m.File.DatabaseURLs[service]
		made[server.SettingPrefix(service)+"URL"] = m.address(service, n)
	}
	maps.Copy(made, m.config.Settings)
	return made
}
