package deadletter

import (
	"context"
	"fmt"
	"time"

	"github.com/dayof/dayof/internal/chassis/alert"
)

// Insert makes letters of jobs that ended and raises their alerts, in the
// caller's transaction, which also takes the jobs from where they were. The
// fields that a letter gets later (ID, RetriedTime, ...) are ignored. The link of
// an alert is linkBase and the letter's id; an empty linkBase means no link.
//
// Idempotent: a job that has a letter gets no second one.
func Insert(ctx context.Context, tx alert.Execer, ended []Letter, linkBase string) error {
	n := len(ended)
	ids, kinds, queues, args := make([]int64, n), make([]string, n), make([]string, n), make([]string, n)
	reasons, messages, errors := make([]string, n), make([]string, n), make([]string, n)
	attempts, maxAttempts := make([]int, n), make([]int, n)
	created, dead := make([]time.Time, n), make([]time.Time, n)
	for i, l := range ended {
		ids[i], kinds[i], queues[i], args[i] = l.JobID, l.Kind, l.Queue, string(l.Args)
		reasons[i], messages[i], errors[i] = l.Reason, l.Error, string(l.Errors)
		attempts[i], maxAttempts[i] = l.Attempts, l.MaxAttempts
		created[i], dead[i] = l.CreatedTime, l.DeadTime
	}
	_, err := tx.Exec(ctx, `
		with letters as (
			insert into dead_letters (job_id, kind, queue, args, reason, error, errors, attempts, max_attempts, created_time, dead_time)
			select job_id, kind, queue, args::jsonb, reason, error, errors::jsonb, attempts, max_attempts, created_time, dead_time
			from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[],
				$9::integer[], $10::timestamptz[], $11::timestamptz[])
				as ended (job_id, kind, queue, args, reason, error, errors, attempts, max_attempts, created_time, dead_time)
			on conflict on constraint dead_letter_of_job_once do nothing
			returning id, job_id, kind, args, reason, error, attempts
		)
		insert into alerts (kind, subject, facts, link)
		select $12, case when starts_with(kind, $13) then kind else id::text end,
			jsonb_build_object('dead_letter_id', id, 'job_id', job_id, 'job_kind', kind, 'args', args,
				'reason', reason, 'error', error, 'attempts', attempts),
			case when $14 = '' then '' else $14 || id::text end
		from letters
		on conflict (kind, subject) where resolved_time is null do nothing`,
		ids, kinds, queues, args, reasons, messages, errors, attempts, maxAttempts, created, dead,
		AlertKind, PeriodicPrefix, linkBase)
	if err != nil {
		return fmt.Errorf("insert dead letters: %w", err)
	}
	return nil
}
