package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
)

// clockSkewMax is how far our clock may be from the database's. Leases go by the database's clock and everything else by
// ours, so a small difference harms nothing; webhook signatures are refused at 5 minutes.
const clockSkewMax = 2 * time.Second

// Finding is one thing that a diagnosis examined.
type Finding struct {
	Service string `json:"service"`
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Detail  string `json:"detail"` // never a value of a secret
}

// Diagnose examines what a service would start with: its settings, whether its secrets are there, its database, how far
// that is migrated, and the clocks. With a databaseURL, of a system that runs with settings of its own, the environment is not
// examined.
func Diagnose(ctx context.Context, name, databaseURL string, getenv func(string) string, clk clock.Clock) ([]Finding, error) {
	b, err := builderOf(name)
	if err != nil {
		return nil, err
	}
	loader := config.New(getenv)
	c := loadCommon(loader, b)
	b.load(loader)
	var findings []Finding
	add := func(ok bool, subject, format string, args ...any) {
		findings = append(findings, Finding{Service: name, Name: subject, OK: ok, Detail: fmt.Sprintf(format, args...)})
	}
	if databaseURL == "" { // of a running system that made up its settings: what the environment says is not about it
		for _, s := range loader.Settings() {
			add(s.Set || !s.Required, "setting "+s.Name, "%s", settingState(s))
		}
		databaseURL = c.databaseURL
		if err := errors.Join(loader.Err(), c.check()); err != nil {
			add(false, "settings", "%s", err)
		}
	}
	if databaseURL == "" {
		return findings, nil
	}
	d, err := inspectDatabase(ctx, databaseURL, clk)
	if err != nil {
		add(false, "database", "%s", err)
		return findings, nil
	}
	add(true, "database", "reached, version %s", d.version)
	add(d.schema > 0, "migrations", "schema version %d", d.schema)
	add(d.skew.Abs() <= clockSkewMax, "clock", "%v from the database's", d.skew)
	return findings, nil
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

type databaseState struct {
	version string
	schema  int
	skew    time.Duration
}

func inspectDatabase(ctx context.Context, url string, clk clock.Clock) (databaseState, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
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
