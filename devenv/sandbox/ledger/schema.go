package ledger

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/internal/chassis/pgdb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Names of the constraints that the code reacts to.
const (
	constraintLedgerName     = "ledger_name_is_unique"
	constraintReference      = "transaction_reference_is_unique"
	constraintIdempotencyKey = "log_idempotency_key_is_unique"
)

// Migrate creates the tables of the sandbox ledger in a database of its own.
// Any number of processes may call it at once.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("open ledger migrations: %w", err)
	}
	return pgdb.Migrate(ctx, pool, files)
}
