package webhookdb_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/webhooksvc/webhookdb"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// grown fills the tables that grow with sales: 100,000 webhook events of 20 days, nearly all of them applied.
var grown = []string{
	`insert into webhook_events (endpoint, event_id, source, type, api_version, livemode, stripe_account, object_id, create_time, receive_time,
		delivery_count, state, end_time, queue_time, body)
	select case when i % 4 = 0 then 'connect' else 'account' end, 'evt_' || i, 'delivery', 'payment_intent.succeeded', '2023-10-16', false,
		case when i % 4 = 0 then 'acct_' || i % 200 else '' end, 'pi_' || i / 4, t, t, 1,
		case when i % 1000 = 0 then 'deferred' when i % 1000 = 1 then 'dead' else 'applied' end,
		case when i % 1000 > 0 then t end, t, '\x00'
	from (select i, now() - (100000 - i) * interval '17 seconds' as t from generate_series(1, 100000) i) s`,
	`insert into webhook_replays (replay_time, caller, choice, note, event_count) select now(), 'staff', '{}', '', 1 from generate_series(1, 20000)`,
	`insert into webhook_backfills (stripe_account, complete_until) select 'acct_' || i, now() from generate_series(1, 20000) i`,
	`insert into webhook_rejections (endpoint, minute, count) select 'account', now() - i * interval '1 minute', 1 from generate_series(1, 20000) i`,
	`insert into idempotency_keys (caller, method, key, fingerprint, created_time)
	select 'staff', 'ReplayWebhookEvents', event_id || endpoint, '\x00', receive_time from webhook_events`,
	`analyze`,
}

// migrateAndGrow makes the tables and fills them.
func migrateAndGrow(ctx context.Context, pool *pgxpool.Pool) error {
	if err := pgdb.Migrate(ctx, pool, webhookdb.Migrations()); err != nil {
		return err
	}
	return pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		for _, statement := range grown {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
}

// No query reads a table that grows with sales from its beginning to its end.
func TestQueriesHaveTheirIndex(t *testing.T) {
	t.Parallel()
	pgtest.CheckPlans(t, pgtest.New(t, migrateAndGrow), pgtest.Plans{
		Packages: []string{"..", "../../internal/chassis/idem"},
		Small:    map[string]string{"replicas": "has a row per replica", "webhook_rejections": "has the minutes of a day"},
	})
}
