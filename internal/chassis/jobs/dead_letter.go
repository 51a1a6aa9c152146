package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
)

const (
	// deadJobAlert is the kind of the alert of a dead letter. Its subject is the
	// letter's id or, for periodic jobs, the kind, so that one which fails all
	// night is told once.
	deadJobAlert = "dead_job"
	// buryBatch is how many dead jobs one statement moves.
	buryBatch = 100
	// listMax is how many dead letters one list returns.
	listMax = 1000
)

// ErrNoDeadLetter is returned for an id that does not exist.
var ErrNoDeadLetter = errors.New("no such dead letter")

// ErrDeadLetterClosed is returned for a letter that was retried or dismissed.
var ErrDeadLetterClosed = errors.New("the dead letter is closed")

// DeadLetter is a job that ended without success.
type DeadLetter struct {
	ID            int64
	JobID         int64
	Kind          string
	Queue         string
	Args          json.RawMessage
	Reason        string          // "exhausted" or "cancelled"
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

// DeadLetterFilter selects dead letters; the zero filter is all open ones.
type DeadLetterFilter struct {
	ID      int64     // 0: any
	Kind    string    // "": any
	From    time.Time // dead since; zero: any
	Until   time.Time // dead before; zero: any
	Closed  bool      // also those that were retried or dismissed
	AfterID int64     // the next page
	Limit   int       // 0 or too large: 1000
}

// deadLetterColumns are in the order of DeadLetter's fields.
const deadLetterColumns = `id, job_id, kind, queue, args, reason, error, errors, attempts, max_attempts, created_time, dead_time,
	retried_time, retried_job_id, dismissed_time, note`

// DeadLetters lists dead letters in order of their ids.
func (r *Registry) DeadLetters(ctx context.Context, filter DeadLetterFilter) ([]DeadLetter, error) {
	if filter.Limit <= 0 || filter.Limit > listMax {
		filter.Limit = listMax
	}
	rows, err := r.pool.Query(ctx, `
		SELECT `+deadLetterColumns+` FROM dead_letters
		WHERE ($1 = 0 OR id = $1) AND ($2 = '' OR kind = $2)
		  AND ($3::timestamptz IS NULL OR dead_time >= $3) AND ($4::timestamptz IS NULL OR dead_time < $4)
		  AND ($5 OR retried_time IS NULL AND dismissed_time IS NULL)
		  AND id > $6
		ORDER BY id LIMIT $7`,
		filter.ID, filter.Kind, orNull(filter.From), orNull(filter.Until), filter.Closed, filter.AfterID, filter.Limit)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	letters, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DeadLetter])
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

// Retry puts a dead letter's job back to work, as a new job with the same
// arguments, queue and number of attempts, and resolves its alert. Doing it
// twice is ErrDeadLetterClosed and makes no second job. The kind need not be
// registered here: a tool may put back what a service works on.
func (r *Registry) Retry(ctx context.Context, id int64) error {
	// A client without workers inserts any kind.
	client, err := river.NewClient(newDriver(r.pool, r.config.PollOnly), &river.Config{Logger: r.config.Logger})
	if err != nil {
		return fmt.Errorf("dead letter %d: %w", id, err)
	}
	return r.closeLetter(ctx, id, func(tx pgx.Tx, letter DeadLetter) error {
		opts := &river.InsertOpts{Queue: letter.Queue, MaxAttempts: letter.MaxAttempts}
		inserted, err := client.InsertTx(ctx, tx, rawArgs{kind: letter.Kind, json: letter.Args}, opts)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE dead_letters SET retried_time = now(), retried_job_id = $2 WHERE id = $1`, id, inserted.Job.ID)
		return err
	})
}

// Dismiss closes a dead letter that needs no retry and resolves its alert. The
// note says why.
func (r *Registry) Dismiss(ctx context.Context, id int64, note string) error {
	return r.closeLetter(ctx, id, func(tx pgx.Tx, _ DeadLetter) error {
		_, err := tx.Exec(ctx, `UPDATE dead_letters SET dismissed_time = now(), note = $2 WHERE id = $1`, id, note)
		return err
	})
}

// closeLetter does something with an open letter under its lock.
func (r *Registry) closeLetter(ctx context.Context, id int64, f func(tx pgx.Tx, letter DeadLetter) error) error {
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+deadLetterColumns+` FROM dead_letters WHERE id = $1 FOR UPDATE`, id)
		if err != nil {
			return err
		}
		letter, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[DeadLetter])
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNoDeadLetter
		}
		if err != nil {
			return err
		}
		if letter.RetriedTime != nil || letter.DismissedTime != nil {
			return ErrDeadLetterClosed
		}
		if err := f(tx, letter); err != nil {
			return err
		}
		subject := strconv.FormatInt(id, 10)
		if strings.HasPrefix(letter.Kind, periodicPrefix) {
			subject = letter.Kind
		}
		return ResolveAlert(ctx, tx, deadJobAlert, subject)
	})
	if err != nil {
		return fmt.Errorf("dead letter %d: %w", id, err)
	}
	return nil
}

// buryDead moves jobs that ended without success from River's table, which
// forgets them, into dead_letters, and raises their alerts, in one statement:
// each of them once, whoever ended it and on whichever replica. It works from
// the rows because River tells no handler of jobs that its rescuer discards.
func (r *Registry) buryDead(ctx context.Context) error {
	for {
		tag, err := r.pool.Exec(ctx, `
			WITH gone AS (
				DELETE FROM river_job WHERE id IN (
					SELECT id FROM river_job WHERE state IN ('cancelled', 'discarded') AND finalized_at IS NOT NULL
					LIMIT $1 FOR UPDATE SKIP LOCKED)
				RETURNING *
			), letters AS (
				INSERT INTO dead_letters (job_id, kind, queue, args, reason, error, errors, attempts, max_attempts, created_time, dead_time)
				SELECT id, kind, queue, args,
					CASE state WHEN 'discarded' THEN 'exhausted' ELSE 'cancelled' END,
					-- River's own prefix says what the reason says
					regexp_replace(coalesce(errors[array_upper(errors, 1)] ->> 'error', ''), '^JobCancelError: ', ''),
					coalesce(to_jsonb(errors), '[]'), attempt, max_attempts, created_at, finalized_at
				FROM gone
				ON CONFLICT (job_id) DO NOTHING
				RETURNING id, job_id, kind, args, reason, error, attempts
			), told AS (
				INSERT INTO alerts (kind, subject, facts, link)
				SELECT $2, CASE WHEN starts_with(kind, $3) THEN kind ELSE id::text END,
					jsonb_build_object('dead_letter_id', id, 'job_id', job_id, 'job_kind', kind, 'args', args,
						'reason', reason, 'error', error, 'attempts', attempts),
					CASE WHEN $4 = '' THEN '' ELSE $4 || id::text END
				FROM letters
				ON CONFLICT (kind, subject) WHERE resolved_time IS NULL DO NOTHING
			)
			SELECT FROM gone`, buryBatch, deadJobAlert, periodicPrefix, r.config.DeadLetterURL)
		if err != nil {
			return fmt.Errorf("bury dead jobs: %w", err)
		}
		if tag.RowsAffected() < buryBatch {
			return nil
		}
	}
}
