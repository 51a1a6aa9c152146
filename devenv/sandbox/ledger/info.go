package ledger

import (
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
)

// health says that the database answers.
func health(s *Server, c *call) error {
	if err := s.pool.Ping(c.ctx()); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return c.render(http.StatusOK, map[string]string{"storage-driver-up-to-date": "OK"})
}

func info(s *Server, c *call) error {
	rows, err := s.pool.Query(c.ctx(), "select name from ledgers order by id")
	if err != nil {
		return fmt.Errorf("list ledgers: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list ledgers: %w", err)
	}
	return c.ok(http.StatusOK, map[string]any{
		"server":  "ledger",
		"version": s.version,
		"config": map[string]any{
			"storage":               map[string]any{"driver": "postgres", "ledgers": names},
			"schemaEnforcementMode": "audit",
		},
		"experimentalFeatures": []string{},
	})
}

func serverInfo(s *Server, c *call) error {
	return c.render(http.StatusOK, map[string]string{"server": "ledger", "version": s.version})
}

// ledgerInfo lists one migration, done when the ledger was made: there is one
// schema for all ledgers.
func ledgerInfo(s *Server, c *call) error {
	var addedAt time.Time
	if err := s.pool.QueryRow(c.ctx(), "select added_at from ledgers where id = $1", c.book.id).Scan(&addedAt); err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	return c.ok(http.StatusOK, map[string]any{
		"name": c.book.name,
		"storage": map[string]any{
			"migrations": []map[string]any{{"version": 1, "name": "ledger", "date": addedAt.UTC(), "state": "DONE"}},
		},
	})
}
