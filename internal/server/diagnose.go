package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/diagnosis"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

const (
	// clockSkewMax is how far our clock may be from the database's. Leases go by the database's clock and everything else by
	// ours, so a small difference harms nothing; webhook signatures are refused at 5 minutes.
	clockSkewMax = 2 * time.Second
	// certificateEarly is how long before the end of a TLS certificate it is to be renewed.
	certificateEarly = 14 * 24 * time.Hour
)

// Finding is what a diagnosis found of one service.
type Finding struct {
	Service string `json:"service"`
	diagnosis.Finding
}

// Diagnose examines what a service would start with: its settings, whether its secrets are there, its certificate, its database and how
// far that is migrated, the clocks, the services that it calls, and the parties beyond them. Nothing is changed anywhere.
//
// With a databaseURL, of a system that runs with settings of its own, the environment is not examined, and neither is what it names.
func Diagnose(ctx context.Context, name, databaseURL string, getenv func(string) string, clk clock.Clock) ([]Finding, error) {
	b, err := builderOf(name)
	if err != nil {
		return nil, err
	}
	var f diagnosis.Findings
	if databaseURL != "" {
		diagnoseDatabase(ctx, b, databaseURL, clk, &f)
	} else if err := diagnoseEnvironment(ctx, b, getenv, clk, &f); err != nil {
		return nil, err
	}
	findings := make([]Finding, len(f))
	for i := range f {
		findings[i] = Finding{Service: name, Finding: f[i]}
	}
	return findings, nil
}

// diagnoseEnvironment examines what the environment names.
func diagnoseEnvironment(ctx context.Context, b builder, getenv func(string) string, clk clock.Clock, f *diagnosis.Findings) error {
	loader := config.New(getenv)
	c, l := loadCommon(loader, b), b.load(loader)
	for _, s := range loader.Settings() {
		if s.Set || !s.Required {
			f.OK("setting "+s.Name, "%s", settingState(s))
		} else {
			f.Problem("setting "+s.Name, "%s", settingState(s))
		}
	}
	if err := errors.Join(loader.Err(), c.check()); err != nil {
		f.Problem("settings", "%s", err)
		return nil // what is left would speak of the same
	}
	diagnoseTLS(c, clk, f)
	if diagnoseDatabase(ctx, b, c.databaseURL, clk, f) {
		if err := diagnoseBuild(ctx, b, c, l, clk, f); err != nil {
			return err
		}
	}
	for _, peer := range slices.Sorted(maps.Keys(l.peers)) {
		diagnosePeer(ctx, peer, l.peers[peer], f)
	}
	*f = append(*f, l.diagnose(ctx, clk)...)
	return nil
}

// diagnoseBuild makes the service without starting it: it refuses keys and settings that contradict each other.
func diagnoseBuild(ctx context.Context, b builder, c common, l loaded, clk clock.Clock, f *diagnosis.Findings) error {
	pool, err := pgdb.Open(ctx, c.databaseURL, pgdb.Options{MaxConns: 1, ApplicationName: "dayof doctor"})
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer pool.Close()
	if _, err := l.build(deps{
		common: c, pool: pool, clock: clk, logger: slog.New(slog.DiscardHandler), registry: prometheus.NewRegistry(),
	}); err != nil {
		f.Problem("settings", "%s", err)
		return nil
	}
	f.OK("settings", "%ssvc would start with them", b.name)
	return nil
}

func settingState(s config.Setting) string {
	switch {
	case s.Set:
		return "set"
	case s.Required:
		return "missing: it is required"
	case s.Default != "":
		return "default " + s.Default
	}
	return "not set"
}

// diagnoseTLS examines the certificate that the service shows.
func diagnoseTLS(c common, clk clock.Clock, f *diagnosis.Findings) {
	t, err := c.tlsConfig()
	switch {
	case err != nil:
		f.Problem("tls certificate", "%v", err)
	case t == nil:
		f.OK("tls certificate", "none: without TLS")
	default:
		leaf, err := x509.ParseCertificate(t.Certificates[0].Certificate[0])
		if err != nil {
			f.Problem("tls certificate", "%v", err)
			return
		}
		f.Expiry("tls certificate", leaf.NotAfter, clk.Now(), certificateEarly, "that of %s", strings.Join(leaf.DNSNames, ", "))
	}
}

// diagnosePeer asks another service how it is.
func diagnosePeer(ctx context.Context, name, baseURL string, f *diagnosis.Findings) {
	ctx, cancel := context.WithTimeout(ctx, diagnosis.Timeout)
	defer cancel()
	subject := "calls to " + name + "svc"
	address := strings.TrimSuffix(baseURL, "/") + "/healthz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		f.Problem(subject, "%v", err)
		return
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		f.Problem(subject, "%v", err)
		return
	}
	_ = res.Body.Close() // the status says all
	if res.StatusCode != http.StatusOK {
		f.Problem(subject, "%s answers %s", address, res.Status)
		return
	}
	f.OK(subject, "%s answers %s", address, res.Status)
}

// diagnoseDatabase examines the database of a service, and says whether it can be reached.
func diagnoseDatabase(ctx context.Context, b builder, url string, clk clock.Clock, f *diagnosis.Findings) bool {
	d, err := inspectDatabase(ctx, url, clk)
	if err != nil {
		f.Problem("database", "%s", err)
		return false
	}
	f.OK("database", "reached, version %s", d.version)
	switch newest, err := pgdb.Newest(b.migrations()); {
	case err != nil:
		f.Problem("migrations", "%s", err)
	case d.schema < newest:
		f.Problem("migrations", "schema version %d, and this program is of %d: start a service, or dayof-server migrate %s", d.schema, newest, b.name)
	case d.schema > newest:
		f.OK("migrations", "schema version %d, of a newer program than this one of %d", d.schema, newest)
	default:
		f.OK("migrations", "schema version %d", d.schema)
	}
	if d.skew.Abs() > clockSkewMax {
		f.Problem("clock", "%v from the database's", d.skew)
	} else {
		f.OK("clock", "%v from the database's", d.skew)
	}
	return true
}

type databaseState struct {
	version string
	schema  int
	skew    time.Duration
}

func inspectDatabase(ctx context.Context, url string, clk clock.Clock) (databaseState, error) {
	ctx, cancel := context.WithTimeout(ctx, diagnosis.Timeout)
	defer cancel()
	var d databaseState
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return d, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // it only read
	var now time.Time
	var migrated bool
	err = conn.QueryRow(ctx, `select current_setting('server_version'), clock_timestamp(), to_regclass('public.schema_version') is not null`).
		Scan(&d.version, &now, &migrated)
	if err != nil {
		return d, err
	}
	d.skew = clk.Now().Sub(now).Round(time.Millisecond)
	if migrated {
		err = conn.QueryRow(ctx, `select version from public.schema_version`).Scan(&d.schema)
	}
	return d, err
}

// PrintFindings writes what was found, a line each.
func PrintFindings(w io.Writer, findings []Finding) {
	for _, f := range findings {
		outcome := "ok"
		if !f.OK {
			outcome = "PROBLEM"
		}
		fmt.Fprintf(w, "%-7s %-8s %s: %s\n", outcome, f.Service, f.Name, strings.ReplaceAll(f.Detail, "\n", "; "))
	}
}

// Problems says how many of the findings are problems; nil for none.
func Problems(findings []Finding) error {
	problems := 0
	for _, f := range findings {
		if !f.OK {
			problems++
		}
	}
	if problems == 0 {
		return nil
	}
	return fmt.Errorf("%d problems, see above", problems)
}
