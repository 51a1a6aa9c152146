package pgdb

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errPipelineAnswers is what a query gets that wants rows from a Pipeline.
var errPipelineAnswers = errors.New("pgdb: a pipeline only queues statements without an answer")

// Pipeline queues the writes of a transaction, so that they reach Postgres in one flush: it stands where generated
// :exec queries take a transaction. Nothing happens before Flush, which also returns the first error. The zero value is
// ready to use; a Pipeline is used once, by one goroutine.
type Pipeline struct {
	batch pgx.Batch
}

// Exec queues a statement. The tag is empty: nothing has happened yet.
func (p *Pipeline) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	p.batch.Queue(sql, args...)
	return pgconn.CommandTag{}, nil
}

// Then returns what queues one statement in the pipeline and, once it was executed, calls then with the number of rows it
// changed; an error of then ends the flush. It stands where a generated :execrows query takes a transaction; the number that
// the query itself returns means nothing.
func (p *Pipeline) Then(then func(rows int64) error) Queued { return Queued{p, then} }

// Queued queues a statement in a Pipeline: see Then.
type Queued struct {
	*Pipeline

	then func(rows int64) error
}

// Exec queues the statement.
func (q Queued) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	q.batch.Queue(sql, args...).Exec(func(tag pgconn.CommandTag) error { return q.then(tag.RowsAffected()) })
	return pgconn.CommandTag{}, nil
}

// Batch is for those who queue statements themselves.
func (p *Pipeline) Batch() *pgx.Batch { return &p.batch }

// Query refuses: a pipeline has no rows to give.
func (p *Pipeline) Query(context.Context, string, ...any) (pgx.Rows, error) {
	return nil, errPipelineAnswers
}

// QueryRow refuses: a pipeline has no rows to give.
func (p *Pipeline) QueryRow(context.Context, string, ...any) pgx.Row { return noRow{} }

// CopyFrom refuses: copied rows are not queued.
func (p *Pipeline) CopyFrom(context.Context, pgx.Identifier, []string, pgx.CopyFromSource) (int64, error) {
	return 0, errPipelineAnswers
}

// Flush sends what is queued in tx and waits for all answers.
func (p *Pipeline) Flush(ctx context.Context, tx pgx.Tx) error {
	if p.batch.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &p.batch).Close()
}

type noRow struct{}

func (noRow) Scan(...any) error { return errPipelineAnswers }
