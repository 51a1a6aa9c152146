package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/sandbox/stripe"
	"github.com/dayof/dayof/e2e/e2etest"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/server"
	"github.com/dayof/dayof/webhooksvc"
)

// problems are what a diagnosis of a service with these settings finds wrong, a line each.
func problems(t *testing.T, service string, settings map[string]string) string {
	t.Helper()
	findings, err := server.Diagnose(e2etest.Within(t, time.Minute), service, "", func(name string) string { return settings[name] }, clock.System{})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range findings {
		if !f.OK {
			text.WriteString(f.Service + ": " + f.Name + ": " + strings.ReplaceAll(f.Detail, "\n", "; ") + "\n")
		}
	}
	return text.String()
}

// TestDoctor has a system that is well examined, and then one fault after the other: each is found, and it alone.
func TestDoctor(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, nil)
	settings := m.SettingsOf(0)
	for _, service := range server.Services() {
		if found := problems(t, service, settings); found != "" {
			t.Errorf("of a system that is well:\n%s", found)
		}
	}
	nobody := "127.0.0.1:9" // the discard port, where nobody listens
	for _, c := range []struct {
		name, service, setting, value string
		want                          string // the whole of what is found, up to where it differs
	}{
		{"a key of the other mode", "checkout", "DAYOF_STRIPE_LIVEMODE", "true", "checkout: stripe key: the key is of test mode, and DAYOF_STRIPE_LIVEMODE says live mode"},
		{"no Stripe", "checkout", "DAYOF_STRIPE_URL", "http://" + nobody, "checkout: stripe key: http://" + nobody + " does not give the account's balance"},
		{"no mail server", "checkout", "DAYOF_SMTP_ADDRESS", nobody, "checkout: mail server: " + nobody},
		{"no mail", "checkout", "DAYOF_SMTP_ADDRESS", "", "checkout: mail server: DAYOF_SMTP_ADDRESS is not set"},
		{"no ledger service", "checkout", "DAYOF_LEDGER_URL", "http://" + nobody, "checkout: calls to ledgersvc: Get \"http://" + nobody},
		{"no ledger", "ledger", "DAYOF_FORMANCE_URL", "http://" + nobody, "ledger: ledger: "},
		{"something else for a ledger", "ledger", "DAYOF_FORMANCE_URL", m.File.CheckoutURL, "ledger: ledger: "},
		{"no push service", "pass", "DAYOF_PASS_APNS_URL", "https://" + nobody, "pass: push service: https://" + nobody},
		{"an address that no phone takes", "pass", "DAYOF_PASS_PUBLIC_URL", "http://passes.example", "pass: public address: http://passes.example: phones reach passes by https alone"},
		{"no certificate", "pass", "DAYOF_PASS_CERTIFICATE", "", "pass: pass certificates: there is none"},
		{"endpoints of another version", "webhook", "DAYOF_WEBHOOK_API_VERSION", "2024-06-20", "webhook: webhook endpoint /webhooks/stripe: "},
		{"no database", "pass", "DAYOF_PASS_DATABASE_URL", "postgres://nobody@" + nobody + "/dayof?sslmode=disable", "pass: database: "},
		{"a key that is none", "checkout", "DAYOF_CHECKOUT_ORDER_TOKEN_KEYS", "1:short", "checkout: settings: DAYOF_CHECKOUT_ORDER_TOKEN_KEYS"},
		{"a certificate that ends", "ledger", "DAYOF_TLS_CERT_FILE", "", "ledger: tls certificate: that of ledger.example expires at "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			changed := maps.Clone(settings)
			changed[c.setting] = c.value
			if c.setting == "DAYOF_TLS_CERT_FILE" {
				changed["DAYOF_TLS_CERT_FILE"], changed["DAYOF_TLS_KEY_FILE"] = certificateFiles(t, "ledger.example", clock.System{}.Now().Add(48*time.Hour))
			}
			found := problems(t, c.service, changed)
			if !strings.HasPrefix(found, c.want) {
				t.Errorf("found:\n%s", found)
			}
			if lines := strings.Count(found, "\n"); lines != 1 && c.setting != "DAYOF_WEBHOOK_API_VERSION" { // of which there are two endpoints
				t.Errorf("%d problems of one fault:\n%s", lines, found)
			}
			for name, value := range changed {
				if len(value) >= 16 && strings.Contains(name, "KEY") && !strings.Contains(name, "FILE") && strings.Contains(found, value) {
					t.Errorf("a problem tells the secret %s", name)
				}
			}
		})
	}
}

// TestDoctorOfEndpoints takes a type from an endpoint at Stripe, and a migration from a database.
func TestDoctorOfEndpoints(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, nil)
	types := webhooksvc.EndpointTypes()
	putEndpoints(t, m, stripe.Endpoint{URL: m.File.WebhookURL + "/webhooks/stripe", Secret: "whsec_of_the_account", EnabledEvents: types[1:]})
	found := problems(t, "webhook", m.SettingsOf(0))
	for _, want := range []string{"webhook endpoint /webhooks/stripe: ", " lacks " + types[0] + "\n", "webhook endpoint /webhooks/stripe/connect: stripe has no endpoint"} {
		if !strings.Contains(found, want) {
			t.Errorf("%q is not among what is found:\n%s", want, found)
		}
	}
	if _, err := e2etest.Connect(t, m, "pass").Exec(t.Context(), "update schema_version set version = version - 1"); err != nil {
		t.Fatal(err)
	}
	if found := problems(t, "pass", m.SettingsOf(0)); !strings.HasPrefix(found, "pass: migrations: schema version ") {
		t.Errorf("of a migration that did not run:\n%s", found)
	}
}

// putEndpoints replaces the endpoints at Stripe.
func putEndpoints(t *testing.T, m *cluster.Cluster, endpoints ...stripe.Endpoint) {
	t.Helper()
	system := client.NewClient(m.File)
	if _, err := system.Stripe.Control(e2etest.Within(t, time.Minute), http.MethodPut, "/_sandbox/webhook_endpoints", endpoints); err != nil {
		t.Fatal(err)
	}
}

// certificateFiles writes a certificate of a name, and its key.
func certificateFiles(t *testing.T, name string, until time.Time) (certificateFile, keyFile string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: until.AddDate(0, -3, 0), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(file, kind string, content []byte) string {
		path := filepath.Join(t.TempDir(), file)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("tls.crt", "CERTIFICATE", der), write("tls.key", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
}
