package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// book is what a request needs to know of its ledger. It never changes.
type book struct {
	id   int32
	name string
}

// transactionSequence and logSequence give the ids; they leave gaps where a
// write failed late.
func (b book) transactionSequence() string { return fmt.Sprintf("transaction_id_%d", b.id) }
func (b book) logSequence() string         { return fmt.Sprintf("log_id_%d", b.id) }

// defaultFeatures is what the real ledger has without --experimental-features.
func defaultFeatures() map[string]string {
	return map[string]string{
		"ACCOUNT_METADATA_HISTORY": "SYNC",
		"HASH_LOGS":                "SYNC",
		"MOVES_HISTORY":            "ON",
		"MOVES_HISTORY_POST_COMMIT_EFFECTIVE_VOLUMES": "SYNC",
		"TRANSACTION_METADATA_HISTORY":                "SYNC",
	}
}

const defaultBucket = "_default"

// nameFormat holds for ledgers and buckets.
const nameFormat = "^[0-9a-zA-Z_-]{1,63}$"

var nameRegexp = regexp.MustCompile(nameFormat)

func reservedName(name string) bool {
	return slices.Contains([]string{"_", "_info", "_healthcheck"}, name)
}

// Configuration is the body of a ledger's creation.
type Configuration struct {
	Bucket   string            `json:"bucket"`
	Metadata Metadata          `json:"metadata"`
	Features map[string]string `json:"features"`
}

// bookJSON is a ledger as it travels.
type bookJSON struct {
	Bucket   string            `json:"bucket"`
	Metadata Metadata          `json:"metadata"`
	Features map[string]string `json:"features"`
	ID       int32             `json:"id"`
	Name     string            `json:"name"`
	AddedAt  time.Time         `json:"addedAt"`
}

// open returns the ledger of that name, LEDGER_NOT_FOUND if there is none.
func (s *Server) open(ctx context.Context, name string) (book, error) {
	s.mu.RLock()
	b, known := s.ledgers[name]
	s.mu.RUnlock()
	if known {
		return b, nil
	}
	b.name = name
	err := s.pool.QueryRow(ctx, "select id from ledgers where name = $1", name).Scan(&b.id)
	if errors.Is(err, pgx.ErrNoRows) {
		return book{}, &apiError{http.StatusNotFound, codeLedgerNotFound, "not found"}
	}
	if err != nil {
		return book{}, fmt.Errorf("open ledger: %w", err)
	}
	s.mu.Lock()
	s.ledgers[name] = b
	s.mu.Unlock()
	return b, nil
}

func createLedger(s *Server, c *call) error {
	name := c.params["ledger"]
	data, err := c.body()
	if err != nil {
		return err
	}
	var config Configuration
	if len(data) > 0 {
		if err := json.Unmarshal(data, &config); err != nil {
			return decodeError(err)
		}
	}
	features := defaultFeatures()
	maps.Copy(features, config.Features)
	if !maps.Equal(features, defaultFeatures()) {
		return invalid("experimental features are disabled")
	}
	if config.Bucket == "" {
		config.Bucket = defaultBucket
	}
	if err := checkName(name); err != nil {
		return err
	}
	if !nameRegexp.MatchString(config.Bucket) {
		return invalid("invalid ledger configuration: invalid bucket name '%s': name must match format '%s'", config.Bucket, nameFormat)
	}
	if err := s.insertLedger(c.ctx(), name, config, features); err != nil {
		return err
	}
	return c.noContent()
}

// checkName refuses a name that no ledger may have.
func checkName(name string) error {
	switch {
	case !nameRegexp.MatchString(name):
		return invalid("invalid ledger configuration: invalid ledger name '%s': name must match format '%s'", name, nameFormat)
	case reservedName(name):
		return invalid("invalid ledger configuration: invalid ledger name '%s': name '%s' is reserved", name, name)
	}
	return nil
}

// insertLedger makes the row and the two sequences. Of parallel calls with one
// name exactly one succeeds.
func (s *Server) insertLedger(ctx context.Context, name string, config Configuration, features map[string]string) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		b := book{name: name}
		var bucketExists bool
		err := tx.QueryRow(ctx, "select exists (select from ledgers where bucket = $1)", config.Bucket).Scan(&bucketExists)
		if err != nil {
			return fmt.Errorf("look for the bucket: %w", err)
		}
		err = tx.QueryRow(ctx, `
			insert into ledgers (name, bucket, metadata, features, added_at) values ($1, $2, $3, $4, $5)
			on conflict on constraint `+constraintLedgerName+` do nothing
			returning id`,
			name, config.Bucket, config.Metadata.orEmpty(), features, s.clock.Now()).Scan(&b.id)
		if errors.Is(err, pgx.ErrNoRows) {
			return &apiError{http.StatusBadRequest, codeLedgerExists, "ledger already exists"}
		}
		if err != nil {
			return fmt.Errorf("insert ledger: %w", err)
		}
		if !bucketExists {
			if err := s.makeBucket(ctx, tx); err != nil {
				return fmt.Errorf("make bucket: %w", err)
			}
		}
		for _, sequence := range []string{b.transactionSequence(), b.logSequence()} {
			if _, err := tx.Exec(ctx, "create sequence "+sequence); err != nil {
				return fmt.Errorf("create sequence: %w", err)
			}
		}
		_, err = tx.Exec(ctx, "insert into log_chains (ledger_id, log_id) values ($1, 0)", b.id)
		if err != nil {
			return fmt.Errorf("insert log chain: %w", err)
		}
		return nil
	})
}

// bookColumns are the columns of scanBook.
const bookColumns = "bucket, metadata, features, id, name, added_at"

func scanBook(row pgx.CollectableRow, extra ...any) (bookJSON, error) {
	var b bookJSON
	err := row.Scan(append([]any{&b.Bucket, &b.Metadata, &b.Features, &b.ID, &b.Name, &b.AddedAt}, extra...)...)
	b.AddedAt = b.AddedAt.UTC()
	return b, err
}

func readLedger(s *Server, c *call) error {
	rows, err := s.pool.Query(c.ctx(), "select "+bookColumns+" from ledgers where name = $1", c.params["ledger"])
	if err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	b, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (bookJSON, error) { return scanBook(row) })
	if errors.Is(err, pgx.ErrNoRows) {
		return notFound("not found")
	}
	if err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	return c.ok(http.StatusOK, b)
}

func updateLedgerMetadata(s *Server, c *call) error {
	metadata, err := c.metadataBody()
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(c.ctx(), "update ledgers set metadata = metadata || $2 where id = $1", c.book.id, metadata)
	if err != nil {
		return fmt.Errorf("update ledger metadata: %w", err)
	}
	return c.noContent()
}

func deleteLedgerMetadata(s *Server, c *call) error {
	_, err := s.pool.Exec(c.ctx(), "update ledgers set metadata = metadata - $2::text where id = $1", c.book.id, c.params["key"])
	if err != nil {
		return fmt.Errorf("delete ledger metadata: %w", err)
	}
	return c.noContent()
}

func stats(s *Server, c *call) error {
	var transactions, accounts int64
	err := s.pool.QueryRow(c.ctx(), `
		select (select count(*) from transactions where ledger_id = $1),
		       (select count(*) from accounts where ledger_id = $1)`, c.book.id).Scan(&transactions, &accounts)
	if err != nil {
		return fmt.Errorf("read stats: %w", err)
	}
	return c.ok(http.StatusOK, map[string]int64{"transactions": transactions, "accounts": accounts})
}
