// Package client is how scripts, tests and people find and drive a running dayof: the file dev.json, clients for what it
// names, and the everyday acts of a buyer and an operator on top of them.
package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// File is what dev.json says. It holds secrets of a throw-away system, so it is readable by its owner only.
type File struct {
	CheckoutURL string `json:"checkout_url"`
	PassURL     string `json:"pass_url"` // also the webServiceURL of passes, without /v1
	LedgerURL   string `json:"ledger_url"`
	WebhookURL  string `json:"webhook_url"` // base of /webhooks/stripe
	ConsoleURL  string `json:"console_url"`

	StripeWebhookSecret        string `json:"stripe_webhook_secret"`
	StripeConnectWebhookSecret string `json:"stripe_connect_webhook_secret"`
	OperatorToken              string `json:"operator_token"`

	// DatabaseURLs are those of the services by their short names: checkout, pass, ledger, webhook.
	DatabaseURLs map[string]string `json:"database_urls"`

	PassTypeIdentifier string `json:"pass_type_identifier"`
	TeamIdentifier     string `json:"team_identifier"`
	PassCAFile         string `json:"pass_ca_file"` // absolute; PEM root of the throw-away signing chain

	// MetricsURLs are the Prometheus pages of the services by their short names.
	MetricsURLs map[string]string `json:"metrics_urls"`

	Sandbox Sandbox `json:"sandbox"`
}

// Sandbox says where the stand-ins for external services are.
type Sandbox struct {
	StripeURL   string `json:"stripe_url"`
	FormanceURL string `json:"formance_url"`
	// FormanceLedger is the name of the ledger there.
	FormanceLedger string `json:"formance_ledger"`
	APNsURL        string `json:"apns_url"`
	APNsLogURL     string `json:"apns_log_url"`
	MailLogURL     string `json:"mail_log_url"`
	AlertLogURL    string `json:"alert_log_url"`
	FaultsURL      string `json:"faults_url"`
}

// LedgerAPI is the base of the API of the ledger that dayof keeps, for those who look past ledgersvc.
func (s Sandbox) LedgerAPI() string { return s.FormanceURL + "/v2/" + s.FormanceLedger }

// ReadFile reads dev.json. Its absence is explained, because it is the commonest mistake.
func ReadFile(path string) (File, error) {
	var f File
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f, fmt.Errorf("no dayof is running here: %s is missing; start one with `dayof up`, or name its file with -dev", path)
	case err != nil:
		return f, fmt.Errorf("read addresses: %w", err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("read addresses: %s: %w", path, err)
	}
	return f, nil
}

// WriteFile writes dev.json as a whole by renaming, readable by its owner only: a reader gets the whole file or none.
func WriteFile(path string, f File) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("write addresses: %w", err)
	}
	// CreateTemp makes the file with mode 0600.
	fresh, err := os.CreateTemp(filepath.Dir(path), ".dev-*.json")
	if err != nil {
		return fmt.Errorf("write addresses: %w", err)
	}
	_, err = fresh.Write(append(text, '\n'))
	err = errors.Join(err, fresh.Close())
	if err == nil {
		err = os.Rename(fresh.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write addresses: %w", errors.Join(err, os.Remove(fresh.Name())))
	}
	return nil
}

// RemoveFile removes dev.json; a missing one is fine.
func RemoveFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove addresses: %w", err)
	}
	return nil
}
