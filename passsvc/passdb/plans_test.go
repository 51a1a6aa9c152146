package passdb_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/passsvc/passdb"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// grown fills the tables that grow with sales: 100,000 passes of 1000 events, half of them on a device, of which a tenth was revised.
var grown = []string{
	`set session_replication_role = replica`,
	`insert into passes (serial, pass_type, ticket_id, order_id, event_id, ticket_change_number, content, content_hash, issue_hash,
		token_key_version, revision, revise_time, modify_time, update_tag, create_time)
	select 'serial-' || i, 'pass.dayof', 'ticket-' || i, 'order-' || i / 2, 'event-' || i % 1000, 1, '{}', '\x00', '\x00', 1, 1, t,
		date_trunc('second', t), case when i % 10 = 0 then i else 0 end, t
	from (select i, now() - i * interval '17 seconds' as t from generate_series(1, 100000) i) s`,
	`insert into update_tags (pass_type, tag) values ('pass.dayof', 100000)`,
	`insert into pass_revisions (serial, revision, content_hash, revise_time, origin, changes)
	select serial, n, '\x00', create_time, 'issue', '[]' from passes, generate_series(1, 2) n`,
	`insert into registrations (device_id, pass_type, serial, push_token, register_time, first_time)
	select 'device-' || id / 2, pass_type, serial, 'token-' || id / 2, create_time, create_time from passes where id % 2 = 0`,
	`insert into pushes (id, pass_type, serial, revision, device_id, push_token, pass_batch_id, state, create_time, due_time, send_time)
	select gen_random_uuid(), pass_type, serial, 2, 'device-' || id / 2, 'token-' || id / 2, case when id % 5 = 0 then 'batch-' || id % 100 else '' end,
		case when id % 1000 = 0 then 'pending' else 'sent' end, create_time, create_time, create_time
	from passes`,
	`insert into device_logs (log_time, line) select create_time, 'line ' || serial from passes`,
	`insert into idempotency_keys (caller, method, key, fingerprint, created_time)
	select 'checkoutsvc', 'IssuePasses', 'order/' || id, '\x00', create_time from passes`,
	`insert into pass_batches (id, event_id, fields, state, total_pass_count, create_time, step_time, end_time)
	select 'batch-' || i, 'event-' || i % 1000, '{}', 'done', 100, t, t, t
	from (select i, now() - i * interval '1 minute' as t from generate_series(1, 20000) i) s`,
	`set session_replication_role = origin`,
	`analyze`,
}

// migrateAndGrow makes the tables and fills them.
func migrateAndGrow(ctx context.Context, pool *pgxpool.Pool) error {
	if err := pgdb.Migrate(ctx, pool, passdb.Migrations()); err != nil {
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
		Packages: []string{"../../internal/chassis/idem"},
		Small:    map[string]string{"update_tags": "has a row per pass type"},
		MayScan:  map[string]string{"DeleteOldDeviceLogs": "once an hour, of a table that has 100,000 rows at most"},
	})
}
