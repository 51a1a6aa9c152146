package pgdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/tern/v2/migrate"
)

// versionTable holds the number of the last migration that ran.
const versionTable = "schema_version"

// Migrate brings the database up to the last of the migrations in the root of
// files: 001_order.sql, 002_hold.sql and so on, each in a transaction of its
// own. Any number of replicas may call it at once; one does the work and the
// others wait. Calling it again does nothing. It only goes forward, and a
// database that a newer release has migrated further is left as it is, because
// old and new code run side by side during a deployment.
func Migrate(ctx context.Context, pool *pgxpool.Pool, files fs.FS) error {
	return MigrateNamed(ctx, pool, versionTable, files)
}

// MigrateNamed is Migrate for a second set of migrations in the same database,
// such as those of a library; table keeps its version.
func MigrateNamed(ctx context.Context, pool *pgxpool.Pool, table string, files fs.FS) error {
	return withLockedConn(ctx, pool, "migrate", func(ctx context.Context, conn *pgx.Conn) error {
		migrator, err := migrate.NewMigrator(ctx, conn, "public."+table)
		if err != nil {
			return fmt.Errorf("prepare migrations: %w", err)
		}
		if err := migrator.LoadMigrations(files); err != nil {
			return fmt.Errorf("read migrations: %w", err)
		}
		current, err := migrator.GetCurrentVersion(ctx)
		if err != nil {
			return fmt.Errorf("read schema version: %w", err)
		}
		if int(current) >= len(migrator.Migrations) {
			return nil
		}
		if err := migrator.Migrate(ctx); err != nil {
			return fmt.Errorf("migrate: %w", explain(err))
		}
		return nil
	})
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
