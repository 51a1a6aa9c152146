package jobs

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// newDriver returns River's driver for Postgres. River's own PollOnly stops
// listening, but an insert still sends a NOTIFY (one more round trip, and a
// commit under the notification lock), unless the driver cannot notify.
func newDriver(pool *pgxpool.Pool, pollOnly bool) riverdriver.Driver[pgx.Tx] {
	driver := riverpgxv5.New(pool)
	if pollOnly {
		return quietDriver{Driver: driver}
	}
	return driver
}

type quietDriver struct{ *riverpgxv5.Driver }

func (quietDriver) SupportsListener() bool     { return false }
func (quietDriver) SupportsListenNotify() bool { return false }

// atLeast passes over River's chattier log lines.
type atLeast struct {
	slog.Handler

	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{level: h.level, Handler: h.Handler.WithAttrs(attrs)}
}

func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{level: h.level, Handler: h.Handler.WithGroup(name)}
}
