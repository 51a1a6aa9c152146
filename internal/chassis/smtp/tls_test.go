package smtp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	server "github.com/emersion/go-smtp"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/smtp"
)

// certificate returns a certificate for 127.0.0.1 and the file of its root.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// TestTLS sends through servers that speak TLS from the start, by STARTTLS and not at all.
func TestTLS(t *testing.T) {
	t.Parallel()
	chain, roots := certificate(t)
	serverConfig := &tls.Config{Certificates: []tls.Certificate{chain}, MinVersion: tls.VersionTLS12}
	for name, tc := range map[string]struct {
		implicit, offers bool // what the server does
		mode             smtp.TLS
		roots            string
		want             string // of the error; empty: the mail arrives
	}{
		"implicit": {true, false, smtp.TLSImplicit, roots, ""},
		"implicit, with a stranger's certificate": {true, false, smtp.TLSImplicit, "", "at connect"},
		"STARTTLS":                                    {false, true, smtp.TLSStart, roots, ""},
		"STARTTLS that is not offered":                {false, false, smtp.TLSStart, roots, "at connect"},
		"STARTTLS, with a stranger's certificate":     {false, true, smtp.TLSStart, "", "at connect"},
		"optional, offered":                           {false, true, smtp.TLSOptional, roots, ""},
		"optional, not offered":                       {false, false, smtp.TLSOptional, "", ""},
		"none":                                        {false, true, smtp.TLSNone, "", ""},
		"on loopback nothing needs to be said":        {false, false, "", "", ""},
		"on loopback an offer is taken, and verified": {false, true, smtp.TLSAuto, "", "at connect"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			got := &inbox{raw: make(chan string, 1)}
			s := server.NewServer(got)
			if tc.offers {
				s.TLSConfig = serverConfig
			}
			served := listener
			if tc.implicit {
				served = tls.NewListener(listener, serverConfig)
			}
			go func() { _ = s.Serve(served) }()
			t.Cleanup(func() { _ = s.Close() })
			sender, err := smtp.New(smtp.Config{Address: listener.Addr().String(), From: "tickets@example.test", TLS: tc.mode, RootsFile: tc.roots})
			if err != nil {
				t.Fatal(err)
			}
			err = sender.Send(t.Context(), smtp.Message{To: []string{"erika@example.test"}, Subject: "Tickets", ID: "1@dayof", Text: "Hello"})
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if raw := <-got.raw; !strings.Contains(raw, "Subject: Tickets") {
				t.Errorf("got %s", raw)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	password := config.NewSecret("secret")
	for name, tc := range map[string]struct {
		config smtp.Config
		want   string
	}{
		"no port":                           {smtp.Config{Address: "mail.example.org"}, "DAYOF_SMTP_ADDRESS"},
		"a port by name":                    {smtp.Config{Address: "mail.example.org:submission"}, "DAYOF_SMTP_ADDRESS"},
		"a port that is none":               {smtp.Config{Address: "mail.example.org:99999"}, "port"},
		"an unknown way":                    {smtp.Config{Address: "mail.example.org:25", TLS: "ssl"}, "DAYOF_SMTP_TLS"},
		"a password in the clear":           {smtp.Config{Address: "mail.example.org:25", TLS: smtp.TLSNone, User: "u", Password: password}, "DAYOF_SMTP_TLS"},
		"a password where TLS is optional":  {smtp.Config{Address: "mail.example.org:25", TLS: smtp.TLSOptional, User: "u", Password: password}, "DAYOF_SMTP_TLS"},
		"a file of roots that is not there": {smtp.Config{Address: "mail.example.org:25", RootsFile: "nowhere.pem"}, "DAYOF_SMTP_ROOTS_FILE"},
		"a sender that is none":             {smtp.Config{Address: "mail.example.org:25", From: "tickets"}, "sender"},
		"a password over TLS":               {smtp.Config{Address: "mail.example.org:587", User: "u", Password: password}, ""},
		"a password on loopback":            {smtp.Config{Address: "localhost:25", User: "u", Password: password}, ""},
	} {
		_, err := smtp.New(tc.config)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
