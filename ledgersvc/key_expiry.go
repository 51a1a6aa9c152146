package ledgersvc

import (
	"context"
	"log/slog"
	"time"

	"github.com/dayof/dayof/internal/chassis/idem"
)

// keyExpiryInterval is how often each replica deletes idempotency keys that nobody repeats any more. It is not a job of
// the queue: deleting twice, or on two replicas at once, is harmless.
const keyExpiryInterval = time.Hour

// expireKeys deletes old idempotency keys, now and then, until ctx ends. References never expire.
func (s *Service) expireKeys(ctx context.Context) {
	tick := time.NewTicker(keyExpiryInterval)
	defer tick.Stop()
	for {
		deleted, err := idem.DeleteExpired(ctx, s.pool, s.clock.Now())
		switch {
		case err != nil && ctx.Err() == nil:
			s.logger.LogAttrs(ctx, slog.LevelWarn, "idempotency keys could not be deleted", slog.String("error", err.Error()))
		case deleted > 0:
			s.logger.LogAttrs(ctx, slog.LevelInfo, "idempotency keys deleted", slog.Int64("count", deleted))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
