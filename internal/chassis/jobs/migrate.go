package jobs

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/dayof/dayof/internal/chassis/pgdb"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Migrate creates or updates River's tables and ours (job_ticks, job_runners, and
// those of packages deadletter and alert) in a service's database. Replicas may
// call it at the same time.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("migrate river: %w", err)
	}
	for done := false; !done; {
		// River's migrator takes no lock: two of them at once fail on each other.
		err := pgdb.WithLock(ctx, pool, "migrate river", func(ctx context.Context, tx pgx.Tx) error {
			one := &rivermigrate.MigrateOpts{MaxSteps: 1}
			ran, err := migrator.MigrateTx(ctx, tx, rivermigrate.DirectionUp, one) //nolint:staticcheck // deprecated for several in one transaction; here each has its own
			if err != nil {
				return err
			}
			done = len(ran.Versions) == 0
			return nil
		})
		if err != nil {
			return fmt.Errorf("migrate river: %w", err)
		}
	}
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	return pgdb.MigrateNamed(ctx, pool, "jobs_schema_version", files)
}
