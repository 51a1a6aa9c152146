package pgdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/tern/v2/migrate"
)

const (
	// versionTable holds the number of the last migration that ran.
	versionTable = "schema_version"
	// withoutTx is the line by which a migration says that it runs outside of a
	// transaction; tern has it too.
	withoutTx = "---- tern: disable-tx ----"
)

// Migrate brings the database up to the last of the migrations in the root of
// files: 001_order.sql, 002_hold.sql and so on, each in a transaction of its
// own. Any number of replicas may call it at once; one does the work and the
// others wait. Calling it again does nothing. It only goes forward, and a
// database that a newer release has migrated further is left as it is, because
// old and new code run side by side during a deployment.
//
// The files are as tern has them. One with the line
//
//	---- tern: disable-tx ----
//
// is a single statement that runs outside of a transaction, such as CREATE INDEX
// CONCURRENTLY, on a second connection. A file that changes a setting says SET
// LOCAL: its connection goes back into the pool.
func Migrate(ctx context.Context, pool *pgxpool.Pool, files fs.FS) error {
	return MigrateNamed(ctx, pool, versionTable, files)
}

// Newest is the number of the last of the migrations in the root of files.
func Newest(files fs.FS) (int, error) {
	var read migrate.Migrator
	if err := read.LoadMigrations(files); err != nil {
		return 0, fmt.Errorf("read migrations: %w", err)
	}
	return len(read.Migrations), nil
}

// MigrateNamed is Migrate for a second set of migrations in the same database,
// such as those of a library; table keeps its version.
func MigrateNamed(ctx context.Context, pool *pgxpool.Pool, table string, files fs.FS) error {
	// tern reads the files and does not run them. Its lock is the session's: behind
	// a pooler in transaction mode it would be taken on one connection of the server
	// and released on another, and nobody could migrate until that pooler ends.
	var read migrate.Migrator
	if err := read.LoadMigrations(files); err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	for done := false; !done; {
		err := WithLock(ctx, pool, "migrate", func(ctx context.Context, tx pgx.Tx) (err error) {
			done, err = migrateStep(ctx, pool, tx, "public."+table, read.Migrations)
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate: %w", explain(err))
		}
	}
	return nil
}

// migrateStep does what comes next: it creates the table, or runs one migration.
// It returns true when there was nothing left to do. Statements with arguments are
// in the simple protocol, for the reason that tryWithLock gives.
func migrateStep(ctx context.Context, pool *pgxpool.Pool, tx pgx.Tx, table string, migrations []*migrate.Migration) (done bool, err error) {
	var exists bool
	if err := tx.QueryRow(ctx, "select to_regclass($1) is not null", pgx.QueryExecModeSimpleProtocol, table).Scan(&exists); err != nil {
		return false, fmt.Errorf("look for table %s: %w", table, err)
	}
	if !exists {
		_, err := tx.Exec(ctx, "create table "+table+" (version int4 not null); insert into "+table+" values (0)")
		return false, err
	}
	var version int
	if err := tx.QueryRow(ctx, "select version from "+table, pgx.QueryExecModeSimpleProtocol).Scan(&version); err != nil {
		return false, fmt.Errorf("read schema version: %w", err)
	}
	if version >= len(migrations) {
		return true, nil
	}
	if err := runMigration(ctx, pool, tx, migrations[version]); err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, "update "+table+" set version = $1", pgx.QueryExecModeSimpleProtocol, version+1)
	return false, err
}

// runMigration runs one migration in tx, or on a connection of its own while tx
// has the lock.
func runMigration(ctx context.Context, pool *pgxpool.Pool, tx pgx.Tx, m *migrate.Migration) (err error) {
	conn := tx.Conn()
	if strings.Contains("\n"+m.UpSQL+"\n", "\n"+withoutTx+"\n") {
		conn, err = pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
		if err != nil {
			return fmt.Errorf("connect for %s: %w", m.Name, err)
		}
		defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	}
	_, err = conn.Exec(ctx, m.UpSQL)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return migrate.MigrationPgError{MigrationName: m.Name, Sql: m.UpSQL, PgError: pgErr}
	}
	return err
}

// explain adds where in the file a migration failed: Postgres only gives a
// position, in characters.
func explain(err error) error {
	var migrationErr migrate.MigrationPgError
	if !errors.As(err, &migrationErr) {
		return err
	}
	pgErr := migrationErr.PgError
	if pgErr.Position == 0 {
		return withDetail(err, pgErr)
	}
	line, lineErr := migrate.ExtractErrorLine(migrationErr.Sql, int(pgErr.Position))
	if lineErr != nil {
		return withDetail(err, pgErr)
	}
	return fmt.Errorf("%w (line %d: %s)", withDetail(err, pgErr), line.LineNum, line.Text)
}

func withDetail(err error, pgErr *pgconn.PgError) error {
	if pgErr.Detail == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, pgErr.Detail)
}
