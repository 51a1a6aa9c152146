package cost

import (
	"context"
	"fmt"
)

// Beats is what a system has done so far by the clock.
type Beats struct {
	// Heartbeats of all processes, each of which also looks for what nobody told it of.
	Heartbeats int64
	// Transactions that ended, by service, those that only read included.
	Transactions map[string]int64
}

// Beats reads how often the services' processes said that they are alive, and how many transactions their databases saw. Postgres
// counts a transaction when its connection has been idle for a moment, so the latest ones may be missing.
func (m *Meter) Beats(ctx context.Context) (Beats, error) {
	b := Beats{Transactions: map[string]int64{}}
	for oid, name := range m.names {
		if name == SandboxLedger {
			continue
		}
		var n int64
		if err := m.conn.QueryRow(ctx, `select xact_commit + xact_rollback from pg_stat_database where datid::text = $1`, oid).Scan(&n); err != nil {
			return b, fmt.Errorf("count transactions: %w", err)
		}
		b.Transactions[name] = n
	}
	err := m.conn.QueryRow(ctx, `select coalesce(sum(calls), 0)::bigint from pg_stat_statements where query like '%insert into job_runners%'`).Scan(&b.Heartbeats)
	if err != nil {
		return b, fmt.Errorf("count heartbeats: %w", err)
	}
	return b, nil
}

// Sum is the number of transactions of all services.
func (b Beats) Sum() int64 {
	var sum int64
	for _, n := range b.Transactions {
		sum += n
	}
	return sum
}
