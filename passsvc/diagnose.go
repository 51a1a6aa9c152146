package passsvc

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/url"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/diagnosis"
)

// certificateEarly is how long before the end of a certificate a diagnosis has it renewed.
const certificateEarly = 30 * day

// Diagnose examines what passes need: certificates that are good for a while, an address that phones take, and Apple's push service.
// Nothing is pushed.
func Diagnose(ctx context.Context, c Config, clk clock.Clock) diagnosis.Findings {
	var f diagnosis.Findings
	certificates, err := newCertificateStore(c, clk, slog.New(slog.DiscardHandler))
	switch {
	case err != nil:
		f.Problem("pass certificates", "%v", err)
	case len(certificates.passTypes()) == 0:
		f.Problem("pass certificates", "there is none: set DAYOF_PASS_CERTIFICATE or DAYOF_PASS_CERTIFICATE_DIR; no pass is issued without")
	default:
		for _, passType := range certificates.passTypes() {
			f.Expiry("pass certificate", certificates.lastExpiry(passType), clk.Now(), certificateEarly, "that of %s", passType)
		}
	}
	diagnoseAddress(c.PublicURL, &f)
	diagnoseAPNs(ctx, c.APNs, &f)
	return f
}

// diagnoseAddress says whether phones take the address: by https, and beyond this machine.
func diagnoseAddress(public string, f *diagnosis.Findings) {
	address, err := url.Parse(public)
	switch {
	case err != nil:
		f.Problem("public address", "%v", err)
	case address.Scheme == "https":
		f.OK("public address", "%s", public)
	case net.ParseIP(address.Hostname()).IsLoopback():
		f.OK("public address", "%s: for this machine alone", public)
	default:
		f.Problem("public address", "%s: phones reach passes by https alone; DAYOF_PASS_PUBLIC_URL is written into every pass", public)
	}
}

// diagnoseAPNs has the push service show its certificate and its protocol.
func diagnoseAPNs(ctx context.Context, c APNsConfig, f *diagnosis.Findings) {
	address, err := url.Parse(c.URL)
	if err != nil {
		f.Problem("push service", "%v", err)
		return
	}
	host := address.Host
	if address.Port() == "" {
		host = net.JoinHostPort(address.Hostname(), "443")
	}
	roots, err := c.roots()
	if err != nil {
		f.Problem("push service", "%v", err)
		return
	}
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: diagnosis.Timeout},
		Config:    &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12},
	}
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		f.Problem("push service", "%s: %v", c.URL, err)
		return
	}
	_ = conn.Close() // nothing was said
	f.OK("push service", "%s answers", c.URL)
}
