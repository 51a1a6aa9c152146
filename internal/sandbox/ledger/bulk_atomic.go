package ledger

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/dayof/dayof/internal/sandbox/ledger/numscript"
)

// errAborted is what Postgres says to statements behind a failed one.
var errAborted = errors.New("ERROR: current transaction is aborted, commands ignored until end of transaction block (SQLSTATE 25P02)")

// errNotAhead ends looking ahead into a script that reads metadata.
var errNotAhead = errors.New("metadata is not read ahead")

// bulkAtomic does all elements in one SQL transaction; one failure undoes all,
// while the results of elements before it still look like successes.
func (s *Server) bulkAtomic(ctx context.Context, b book, elements []BulkElement, goOn bool) ([]elementResult, error) {
	var results []elementResult
	err := s.run(ctx, b, func(ctx context.Context, w *work) error {
		w.locked = make(holdingRows)
		a := atomicBulk{work: w, server: s, goOn: goOn, ahead: make(holdingRows)}
		a.lockAhead(ctx, elements)
		for _, e := range elements {
			if err := a.element(ctx, e); err != nil {
				return err
			}
		}
		results = a.results
		if a.failed {
			return errRollback
		}
		a.forgetUnused()
		return nil
	})
	return results, err
}

type atomicBulk struct {
	*work
	server  *Server
	goOn    bool
	failed  bool
	aborted bool // the SQL transaction refuses further statements
	results []elementResult
	// ahead are the rows locked before the first element, sources the holdings
	// among them whose rows stay even if nothing is posted.
	ahead   holdingRows
	sources map[numscript.Holding]bool
}

// lockAhead locks the holdings of all elements at once and in order, so that
// bulks and posts wait for each other instead of deadlocking. What cannot be
// foreseen, because a script reads metadata or is refused, is left to the
// elements.
func (a *atomicBulk) lockAhead(ctx context.Context, elements []BulkElement) {
	all := make(map[numscript.Holding]bool)
	a.sources = make(map[numscript.Holding]bool)
	for _, e := range elements {
		request, ok := e.Data.(TransactionRequest)
		if !ok {
			continue
		}
		in, err := a.server.checked(request)
		if err != nil {
			continue
		}
		for _, m := range movements(in.postings) {
			all[m.Holding] = true
		}
		if in.program == nil {
			continue
		}
		run, err := in.program.Bind(ctx, in.variables, func(context.Context, string, string) (string, bool, error) { return "", false, errNotAhead })
		if err != nil {
			continue
		}
		needs, err := run.Needs()
		if err != nil {
			continue
		}
		for _, h := range needs.Sources {
			all[h], a.sources[h] = true, true
		}
		for _, h := range needs.Others {
			all[h] = true
		}
	}
	if len(all) > 0 {
		a.queueLocks(slices.SortedFunc(maps.Keys(all), numscript.CompareHoldings), a.ahead)
	}
}

// forgetUnused removes rows that were made for the lock and then not needed.
func (a *atomicBulk) forgetUnused() {
	used := make(map[numscript.Holding]bool)
	for _, r := range a.results {
		if r.Data != nil {
			for _, m := range movements(r.Data.Postings) {
				used[m.Holding] = true
			}
		}
	}
	var unused []numscript.Holding
	for h, row := range a.ahead {
		if row.made && !used[h] && !a.sources[h] {
			unused = append(unused, h)
		}
	}
	a.queueForget(unused)
}

// element does one element. Only an error that calls for running the whole bulk
// again is returned.
func (a *atomicBulk) element(ctx context.Context, e BulkElement) error {
	var (
		out outcome
		err error
	)
	switch {
	case a.failed && !a.goOn:
		err = errCanceled
	case a.aborted:
		err = errAborted
	default:
		out, err = a.try(ctx, e)
	}
	switch {
	case err == nil:
		a.results = append(a.results, e.succeeded(out))
	case retryable(err):
		return err
	default:
		a.failed = true
		a.results = append(a.results, failedElement(err))
	}
	return nil
}

func (a *atomicBulk) try(ctx context.Context, e BulkElement) (outcome, error) {
	o, write, err := a.server.prepare(e)
	if err != nil {
		return outcome{}, err
	}
	if a.goOn {
		a.batch.Queue("savepoint element")
	}
	out, err := write(ctx, a.work, o)
	var refused *apiError
	switch {
	case err == nil || retryable(err):
	case errors.As(err, &refused) && refused.code != codeConflict:
		if a.goOn {
			if undoErr := a.undo(ctx); undoErr != nil {
				return outcome{}, undoErr
			}
		}
	default:
		a.aborted = true
	}
	return out, err
}

// undo takes back what a refused element did, so that the next ones see true
// balances.
func (a *atomicBulk) undo(ctx context.Context) error {
	if !a.open {
		return nil // nothing was sent
	}
	a.batch = newBatch()
	a.batch.Queue("rollback to savepoint element")
	clear(a.locked)
	return a.flush(ctx)
}
