package cluster

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dayof/dayof/passsvc/pkpass"
)

const (
	passType = "pass.dev.dayof.ticket"
	teamID   = "DAYOFDEV01"

	secretsFile = "secrets.json"
	rootFile    = "pass-ca.pem"
	apnsFile    = "apns-ca.pem"
)

// secrets are what a throw-away system makes up at its first start and keeps beside its data, because ticket codes, passes
// and links that were handed out must go on working.
type secrets struct {
	OperatorToken       string `json:"operator_token"`
	StripeWebhookSecret string `json:"stripe_webhook_secret"`
	StripeConnectSecret string `json:"stripe_connect_webhook_secret"`
	CodeKey             string `json:"ticket_code_key"`
	OrderTokenKey       string `json:"order_token_key"`
	PassTokenKey        string `json:"pass_token_key"`
	PassCertificate     string `json:"pass_certificate"` // PEM bundle
	PassRoot            string `json:"pass_root"`        // PEM
	DatabasePrefix      string `json:"database_prefix"`
}

// loadSecrets reads the secrets of a data directory, or makes them up and stores them there, readable by their owner.
func loadSecrets(dir string, now time.Time) (secrets, error) {
	path := filepath.Join(dir, secretsFile)
	text, err := os.ReadFile(path)
	var s secrets
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &s); err != nil {
			return s, fmt.Errorf("read %s: %w", path, err)
		}
		if len(s.OperatorToken) < operatorTokenMin { // of a directory that an earlier release made
			s.OperatorToken = newOperatorToken()
			return s, writeSecrets(path, s)
		}
		return s, nil
	case !errors.Is(err, fs.ErrNotExist):
		return s, fmt.Errorf("read secrets: %w", err)
	}
	if s, err = newSecrets(now); err != nil {
		return s, err
	}
	return s, writeSecrets(path, s)
}

func writeSecrets(path string, s secrets) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write secrets: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("write secrets: %w", err)
	}
	return nil
}

// operatorTokenMin is the shortest token that services accept.
const operatorTokenMin = 32

func newOperatorToken() string { return "op_" + rand.Text() + rand.Text() }

func newSecrets(now time.Time) (secrets, error) {
	chain, err := pkpass.NewThrowawayChain(now, pkpass.ThrowawayOptions{PassTypeIdentifier: passType, TeamIdentifier: teamID})
	if err != nil {
		return secrets{}, fmt.Errorf("make a throw-away signing chain: %w", err)
	}
	seed := make([]byte, 32)
	if _, err := rand.Read(seed); err != nil {
		return secrets{}, fmt.Errorf("make a ticket code key: %w", err)
	}
	return secrets{
		OperatorToken:       newOperatorToken(),
		StripeWebhookSecret: "whsec_" + rand.Text(),
		StripeConnectSecret: "whsec_" + rand.Text(),
		CodeKey:             base64.StdEncoding.EncodeToString(seed),
		OrderTokenKey:       rand.Text() + rand.Text(),
		PassTokenKey:        rand.Text() + rand.Text(),
		PassCertificate:     string(chain.Bundle),
		PassRoot:            string(chain.Root),
		DatabasePrefix:      "dayof_" + strings.ToLower(rand.Text()[:8]),
	}, nil
}

// passIssuers are the roots and intermediates of the certificates that may push to sandbox APNs.
func (s secrets) passIssuers() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(s.PassRoot))
	pool.AppendCertsFromPEM([]byte(s.PassCertificate))
	return pool
}
