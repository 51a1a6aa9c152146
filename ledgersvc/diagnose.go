package ledgersvc

import (
	"context"
	"log/slog"
	"time"

	"github.com/dayof/dayof/internal/chassis/diagnosis"
)

// Diagnose finds the ledger and asks for its version. Nothing is made there.
func Diagnose(ctx context.Context, c Config) diagnosis.Findings {
	var f diagnosis.Findings
	c = c.withDefaults()
	if c.Formance.URL == "" {
		f.Problem("ledger", "DAYOF_FORMANCE_URL is not set")
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, diagnosis.Timeout)
	defer cancel()
	l := newLedger(c.Formance, slog.New(slog.DiscardHandler), func(context.Context, string, time.Time) error { return nil })
	defer l.stop()
	version, err := l.findServer(ctx)
	if err == nil {
		err = checkVersion(c.Formance.URL, version)
	}
	if err != nil {
		f.Problem("ledger", "%v", err)
		return f
	}
	f.OK("ledger", "%s is a Formance ledger %s", c.Formance.URL, version)
	return f
}
