package ledgerdb_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// grown fills the tables that grow with sales: 100,000 entries of three postings, by 200 organisers, and what finance keeps of them.
var grown = []string{
	`set session_replication_role = replica`,
	`insert into entries (ledger_transaction_id, reference, kind, order_id, organizer_id, payment_intent_id, stripe_account, dispute_id, fingerprint,
		effective_time, post_time)
	select i, 'capture:pi_' || i, case when i % 50 = 0 then 'refund' else 'sale' end, 'order-' || i, 'organizer-' || i % 200, 'pi_' || i,
		case when i % 4 = 0 then 'acct_' || i % 200 else '' end, case when i % 500 = 0 then 'dp_' || i else '' end, '\x00', t, t
	from (select i, now() - (100000 - i) * interval '17 seconds' as t from generate_series(1, 100000) i) s`,
	`insert into postings (ledger_transaction_id, position, source, destination, asset, amount)
	select ledger_transaction_id, n, 'orders:' || order_id || ':payment', 'organizers:' || organizer_id || ':payable', 'EUR/2', 100
	from entries, generate_series(0, 2) n`,
	`insert into idempotency_keys (caller, method, key, fingerprint, created_time)
	select 'checkoutsvc', 'RecordSale', reference, '\x00', post_time from entries`,
	`insert into application_fees (fee_id, stripe_account, organizer_id, order_id, payment_intent_id, source, booked, currency, amount, fee_time)
	select 'fee_' || ledger_transaction_id, stripe_account, organizer_id, order_id, payment_intent_id, 'direct', 0, 'EUR', 100, post_time from entries`,
	`insert into reconcile_records (run_id, source, subject, reference, charge_id, stripe_account, asset, amount)
	select 'run-' || ledger_transaction_id % 30, 'ledger', reference, reference, '', stripe_account, 'EUR/2', 100 from entries`,
	`insert into free_sales (order_id, organizer_id, currency, sale_time, record_time)
	select 'free-' || i, 'organizer-' || i % 200, 'EUR', now(), now() from generate_series(1, 20000) i`,
	`insert into application_fee_refunds (fee_id, cumulative, amount) select fee_id, 50, 50 from application_fees`,
	`insert into payouts (payout_id, stripe_account, organizer_id, status, paid, currency, amount, bank_account_id, payout_time)
	select 'po_' || i, 'acct_' || i % 200, 'organizer-' || i % 200, 2, true, 'EUR', 100, 'ba_1', now() - i * interval '1 hour' from generate_series(1, 20000) i`,
	`insert into payout_transactions (payout_id, stripe_account, currency, amount, transaction_count, net, complete_time)
	select payout_id, stripe_account, currency, amount, 1, amount, payout_time from payouts`,
	`insert into reconcile_runs (id, kind, state, from_time, until_time, create_time, end_time)
	select 'run-' || i, 1, 2, t, t + interval '1 minute', t, t from (select i, now() - i * interval '1 minute' as t from generate_series(1, 20000) i) s`,
	`insert into reconcile_differences (id, kind, subject, digest, state, order_id, organizer_id, payment_intent_id, stripe_account, expected_currency,
		expected_amount, found_currency, found_amount, sides, cause, first_run_id, first_observed_time, last_observed_time, resolve_time, resolved_by,
		resolve_reason)
	select 'difference-' || i, 1, 'capture:pi_' || i, '', case when i % 1000 = 0 then 1 else 3 end, 'order-' || i, 'organizer-' || i % 200, 'pi_' || i, '',
		'EUR', 1, 'EUR', 2, '{}', '', 'run-1', now(), now(), case when i % 1000 > 0 then now() end, '', '' from generate_series(1, 20000) i`,
	`insert into reconcile_unmatched_items (run_id, subject, stripe_account) select 'run-' || i % 30, 'capture:pi_' || i, '' from generate_series(1, 20000) i`,
	`set session_replication_role = origin`,
	`analyze`,
}

// migrateAndGrow makes the tables and fills them.
func migrateAndGrow(ctx context.Context, pool *pgxpool.Pool) error {
	if err := pgdb.Migrate(ctx, pool, ledgerdb.Migrations()); err != nil {
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
		Small: map[string]string{
			"books": "has one row", "reconcile_progress": "has one row", "replicas": "has a row per replica",
			"reconcile_watches": "has what the latest run could not settle",
		},
		MayScan: map[string]string{
			"KnownAccounts": "once in a daily run, which reads a day of every book besides; an index would be written to in every sale",
			"RunningRuns":   "once a minute at most, of a table with a row per run",
			"UnfinishedRun": "once a minute at most, of a table with a row per run",
		},
	})
}
