package server

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dayof/dayof/internal/chassis/alert"
)

const (
	// alertWrongTokens says that somebody tries operator tokens; the subject is the service.
	alertWrongTokens = "wrong_operator_tokens"
	// wrongTokensMax is how many in one period are alerted: more than a person's mistakes with a token.
	wrongTokensMax = 10
	// tokenPeriod is how long wrong tokens are counted together.
	tokenPeriod = time.Minute
	// tokenWatchEvery is how often the count is looked at.
	tokenWatchEvery = time.Second
	// quietPeriods without a wrong token end the alert.
	quietPeriods = 15
)

// tokenWatch counts calls with a token that is not the operator's, and alerts people of many.
type tokenWatch struct {
	service string
	pool    *pgxpool.Pool
	logger  *slog.Logger
	total   prometheus.Counter
	recent  atomic.Int64 // since the period began
}

func newTokenWatch(service string, pool *pgxpool.Pool, registry *prometheus.Registry, logger *slog.Logger) *tokenWatch {
	w := &tokenWatch{
		service: service, pool: pool, logger: logger,
		total: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rpc_wrong_tokens_total", Help: "Calls refused because their token is not the operator's.",
		}),
	}
	registry.MustRegister(w.total)
	return w
}

// count notes one call with a wrong token.
func (w *tokenWatch) count() {
	w.total.Inc()
	w.recent.Add(1)
}

// watch raises the alert as soon as a period has too many, and resolves it after quiet ones, until ctx ends. An alert that
// this process did not raise, or that it raised before a restart, is resolved by it too.
func (w *tokenWatch) watch(ctx context.Context) {
	ticker := time.NewTicker(tokenWatchEvery)
	defer ticker.Stop()
	looksPerPeriod := int(tokenPeriod / tokenWatchEvery)
	raised, quiet := false, 0
	for look := 1; ; look++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var err error
		count := w.recent.Load()
		if count >= wrongTokensMax && !raised {
			err = alert.Raise(ctx, w.pool, alertWrongTokens, w.service, map[string]any{
				"service": w.service, "wrong_tokens": count, "within": tokenPeriod.String(),
			}, "")
			raised = err == nil
		}
		if look%looksPerPeriod == 0 {
			w.recent.Add(-count)
			if quiet++; count > 0 {
				quiet = 0
			}
			if quiet == quietPeriods {
				err = alert.Resolve(ctx, w.pool, alertWrongTokens, w.service)
				raised = raised && err != nil
			}
		}
		if err != nil && ctx.Err() == nil {
			w.logger.LogAttrs(ctx, slog.LevelWarn, "alert of wrong tokens failed", slog.Any("error", fmt.Errorf("watch tokens: %w", err)))
		}
	}
}
