package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/internal/chassis/alert"
)

const (
	// AlertKind is the kind of the alert of a dead letter. Its subject is the
	// letter's id or, for periodic jobs, the kind, so that one that fails all
	// night is reported once.
	AlertKind = "dead_job"
	// PeriodicPrefix begins the kinds of periodic jobs.
	PeriodicPrefix = "periodic/"
	// listMax is how many dead letters one list returns.
	listMax = 1000
)

// Reasons of dead letters.
const (
	ReasonExhausted = "exhausted" // its attempts are used up
	ReasonCancelled = "cancelled" // it said that another attempt cannot help
)

// ErrNotFound is returned for an id that does not exist.
var ErrNotFound = errors.New("no such dead letter")

// ErrClosed is returned for a letter that was retried or dismissed.
var ErrClosed = errors.New("the dead letter is closed")

// Letter is a job that ended without success.
type Letter struct {
	ID            int64
	JobID         int64
	Kind          string
	Queue         string
	Args          json.RawMessage
	Reason        string          // ReasonExhausted or ReasonCancelled
	Error         string          // of the last attempt
	Errors        json.RawMessage // of all attempts: a list of {at, attempt, error, trace}
	Attempts      int             // spent
	MaxAttempts   int
	CreatedTime   time.Time
	DeadTime      time.Time
	RetriedTime   *time.Time
	RetriedJobID  *int64
	DismissedTime *time.Time
	Note          string
}

// columns are in the order of Letter's fields.
const columns = `id, job_id, kind, queue, args, reason, error, errors, attempts, max_attempts, created_time, dead_time,
	retried_time, retried_job_id, dismissed_time, note`

// Filter selects dead letters; the zero filter is all open ones.
type Filter struct {
	ID      int64     // 0: any
	Kind    string    // "": any
	From    time.Time // dead since; zero: any
	Until   time.Time // dead before; zero: any
	Closed  bool      // also those that were retried or dismissed
	AfterID int64     // the next page
	Limit   int       // 0 or too large: 1000
}

// List returns dead letters in order of their ids.
func List(ctx context.Context, db alert.Querier, filter Filter) ([]Letter, error) {
	if filter.Limit <= 0 || filter.Limit > listMax {
		filter.Limit = listMax
	}
	rows, err := db.Query(ctx, `
		select `+columns+` from dead_letters
		where ($1 = 0 or id = $1) and ($2 = '' or kind = $2)
		  and ($3::timestamptz is null or dead_time >= $3) and ($4::timestamptz is null or dead_time < $4)
		  and ($5 or retried_time is null and dismissed_time is null)
		  and id > $6
		order by id limit $7`,
		filter.ID, filter.Kind, orNull(filter.From), orNull(filter.Until), filter.Closed, filter.AfterID, filter.Limit)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	letters, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Letter])
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return letters, nil
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Requeue makes a new job of a letter in tx and returns its id.
type Requeue func(ctx context.Context, tx pgx.Tx, letter Letter) (jobID int64, err error)

// Retry puts a letter's job back to work, once, and resolves its alert: a second
// Retry is ErrClosed and makes no second job.
func Retry(ctx context.Context, pool *pgxpool.Pool, id int64, requeue Requeue) error {
	return closeLetter(ctx, pool, id, func(tx pgx.Tx, letter Letter) error {
		jobID, err := requeue(ctx, tx, letter)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update dead_letters set retried_time = now(), retried_job_id = $2 where id = $1`, id, jobID)
		return err
	})
}

// Dismiss closes a letter that needs no retry and resolves its alert. The note
// says why.
func Dismiss(ctx context.Context, pool *pgxpool.Pool, id int64, note string) error {
	return closeLetter(ctx, pool, id, func(tx pgx.Tx, _ Letter) error {
		_, err := tx.Exec(ctx, `update dead_letters set dismissed_time = now(), note = $2 where id = $1`, id, note)
		return err
	})
}

// closeLetter does something with an open letter under its lock.
func closeLetter(ctx context.Context, pool *pgxpool.Pool, id int64, f func(tx pgx.Tx, letter Letter) error) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `select `+columns+` from dead_letters where id = $1 for update`, id)
		if err != nil {
			return err
		}
		letter, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Letter])
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if letter.RetriedTime != nil || letter.DismissedTime != nil {
			return ErrClosed
		}
		if err := f(tx, letter); err != nil {
			return err
		}
		subject := strconv.FormatInt(id, 10)
		if strings.HasPrefix(letter.Kind, PeriodicPrefix) {
			subject = letter.Kind
		}
		return alert.Resolve(ctx, tx, AlertKind, subject)
	})
	if err != nil {
		return fmt.Errorf("dead letter %d: %w", id, err)
	}
	return nil
}
