// Package replica counts the replicas of a service, for what is limited for all of them together, such as calls a second.
//
// A replica is counted while it asks for the number: one that is idle writes nothing and takes no part of the limit.
package replica

import (
	"context"
	_ "embed" // the schema
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/id"
)

// Schema is the table that this package needs in the service's own database. A service copies it into a migration.
//
//go:embed schema.sql
var Schema string

const (
	// askedAgain is after how long the number is asked for again.
	askedAgain = 10 * time.Second
	// askTimeout ends the question; the number stays as it was.
	askTimeout = time.Second
)

// CountSQL notes that a replica lives and counts those that did so in the last half minute, which is three times askedAgain. It
// also forgets those that did not do so for long. The time is the database's: replicas' clocks may differ. Argument: id.
const CountSQL = `WITH gone AS (DELETE FROM replicas WHERE seen_time < now() - interval '10 minutes' AND id <> $1),
here AS (INSERT INTO replicas (id, seen_time) VALUES ($1, now()) ON CONFLICT (id) DO UPDATE SET seen_time = excluded.seen_time)
SELECT 1 + count(*) FROM replicas WHERE seen_time > now() - interval '30 seconds' AND id <> $1`

// Counter is one replica, and how many there are.
type Counter struct {
	pool  *pgxpool.Pool
	clock clock.Clock
	id    string

	mu     sync.Mutex
	number int
	asked  time.Time
}

// NewCounter returns the counter of a replica on its service's database.
func NewCounter(pool *pgxpool.Pool, c clock.Clock) *Counter {
	return &Counter{pool: pool, clock: c, id: id.New(), number: 1}
}

// Count returns how many replicas there are, this one included, as it was some seconds ago; while the database does not answer,
// as it was before that. It asks the database every ten seconds at most, in the call that comes then; other calls do not wait for it.
func (c *Counter) Count(ctx context.Context) int {
	c.mu.Lock()
	number, now := c.number, c.clock.Now()
	due := c.asked.IsZero() || now.Sub(c.asked) >= askedAgain
	if due {
		c.asked = now
	}
	c.mu.Unlock()
	if !due {
		return number
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	if err := c.pool.QueryRow(ctx, CountSQL, c.id).Scan(&number); err != nil {
		return number
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number = number
	return number
}
