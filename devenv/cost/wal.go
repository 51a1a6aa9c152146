package cost

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Database is what one database did.
type Database struct {
	Statements int64 // begin and commit left out
	Work             // for the sales
	Background Work  // transactions that touch only what a service does by the clock, see background
}

// Work is what transactions wrote.
type Work struct {
	Commits int64            // transactions that wrote
	Rows    map[string]int64 // inserted, updated and deleted, by table
	Locks   int64            // rows locked
	Bytes   map[string]int64 // of the log, by table with its indexes, without full-page images; "" is what belongs to no table, such as commits
}

// RowsSum is the number of rows over all tables.
func (w Work) RowsSum() int64 { return sum(w.Rows) }

// BytesSum is the number of bytes over all tables.
func (w Work) BytesSum() int64 { return sum(w.Bytes) }

func sum(counts map[string]int64) (all int64) {
	for _, n := range counts {
		all += n
	}
	return all
}

// background are the tables in which a service notes that it lives, whether or not it sells: River's leader, clients and queues, our own
// runners of jobs, and the replicas that count each other.
var background = []string{"river_leader", "river_client", "river_client_queue", "river_queue", "job_runners", "replicas"}

// transaction is what one transaction wrote.
type transaction struct {
	database string // oid
	commits  int64
	rows     map[string]int64
	locks    int64
	bytes    map[string]int64
}

// isBackground says that a transaction touched nothing but background tables.
func (t *transaction) isBackground() bool {
	for table := range t.bytes {
		if table != "" && !slices.Contains(background, table) {
			return false
		}
	}
	return true
}

// rowChanges are the kinds of record that change one row, and rowLocks the one that only locks it.
//
// Source: PostgreSQL, heapam_xlog.h and heapdesc.c.
var rowChanges = []string{"INSERT", "INSERT+INIT", "UPDATE", "UPDATE+INIT", "HOT_UPDATE", "HOT_UPDATE+INIT", "DELETE", "MULTI_INSERT", "MULTI_INSERT+INIT"}

const rowLock = "LOCK"

// written reads what was written between two positions of Postgres' log, by database.
func (m *Meter) written(ctx context.Context, from, to string) (map[string]Database, error) {
	tables, err := m.readTables(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := m.conn.Query(ctx, `
		select xid::text, resource_manager, record_type, (record_length - fpi_length)::bigint,
			coalesce(substring(block_ref from 'rel [0-9]+/([0-9]+)/'), ''), coalesce(substring(block_ref from 'rel [0-9]+/[0-9]+/([0-9]+)'), ''),
			coalesce(substring(description from '^([0-9]+) tuples'), '1')::bigint
		from pg_get_wal_records_info($1::pg_lsn, $2::pg_lsn)`, from, to)
	if err != nil {
		return nil, err
	}
	transactions := map[string]*transaction{}
	var xid, manager, kind, database, file string
	var bytes, tuples int64
	_, err = pgx.ForEachRow(rows, []any{&xid, &manager, &kind, &bytes, &database, &file, &tuples}, func() error {
		key := xid
		if xid == "0" { // of no transaction, such as what a reader tidies up
			key += "/" + database
		}
		t := transactions[key]
		if t == nil {
			t = &transaction{rows: map[string]int64{}, bytes: map[string]int64{}}
			transactions[key] = t
		}
		if t.database == "" && m.names[database] != "" {
			t.database = database
		}
		table := tables[database+"/"+file]
		t.bytes[table] += bytes
		switch {
		case manager == "Transaction" && kind == "COMMIT":
			t.commits++
		case (manager == "Heap" || manager == "Heap2") && slices.Contains(rowChanges, kind):
			t.rows[table] += tuples
		case manager == "Heap" && kind == rowLock:
			t.locks++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := map[string]Database{}
	for _, t := range transactions {
		name := m.names[t.database]
		if name == "" {
			continue // of another database, or of the server itself
		}
		d := out[name]
		if t.isBackground() {
			d.Background.add(t)
		} else {
			d.add(t)
		}
		out[name] = d
	}
	return out, nil
}

// Plus is what two databases did together.
func (d Database) Plus(other Database) Database {
	return Database{
		Statements: d.Statements + other.Statements, Work: d.plus(other.Work), Background: d.Background.plus(other.Background),
	}
}

func (w Work) plus(other Work) Work {
	all := Work{Commits: w.Commits + other.Commits, Locks: w.Locks + other.Locks, Rows: maps.Clone(w.Rows), Bytes: maps.Clone(w.Bytes)}
	if all.Rows == nil {
		all.Rows, all.Bytes = map[string]int64{}, map[string]int64{}
	}
	for table, n := range other.Rows {
		all.Rows[table] += n
	}
	for table, n := range other.Bytes {
		all.Bytes[table] += n
	}
	return all
}

func (w *Work) add(t *transaction) {
	if w.Rows == nil {
		w.Rows, w.Bytes = map[string]int64{}, map[string]int64{}
	}
	w.Commits += t.commits
	w.Locks += t.locks
	for table, n := range t.rows {
		w.Rows[table] += n
	}
	for table, n := range t.bytes {
		w.Bytes[table] += n
	}
}

// readTables reads the names of all tables, by database and file: an index and what is too long for a row belong to their table.
func (m *Meter) readTables(ctx context.Context) (map[string]string, error) {
	tables := map[string]string{}
	for oid, name := range m.names {
		err := m.readTablesOf(ctx, name, func(file, table string) { tables[oid+"/"+file] = table })
		if err != nil {
			return nil, fmt.Errorf("read the tables of %s: %w", name, err)
		}
	}
	return tables, nil
}

func (m *Meter) readTablesOf(ctx context.Context, name string, add func(file, table string)) error {
	conn, err := pgx.Connect(ctx, m.cluster.DatabaseURL(name))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `
		select pg_relation_filenode(c.oid)::text, coalesce(owner.relname, of_index.relname, c.relname)
		from pg_class c
		left join pg_index i on i.indexrelid = c.oid
		left join pg_class of_index on of_index.oid = i.indrelid
		left join pg_class owner on owner.reltoastrelid = coalesce(of_index.oid, c.oid)
		where pg_relation_filenode(c.oid) is not null`)
	if err != nil {
		return err
	}
	var file, table string
	_, err = pgx.ForEachRow(rows, []any{&file, &table}, func() error {
		add(file, table)
		return nil
	})
	return err
}
