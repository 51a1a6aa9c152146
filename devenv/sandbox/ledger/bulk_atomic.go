package ledger

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/dayof/dayof/devenv/sandbox/ledger/numscript"
)

// errAborted is what Postgres says to statements behind a failed one.
var errAborted = errors.New("ERROR: current transaction is aborted, commands ignored until end of transaction block (SQLSTATE 25P02)")

// bulkAtomic does all elements in one SQL transaction; one failure undoes all,
// while the results of elements before it still look like successes.
func (s *Server) bulkAtomic(ctx context.Context, b book, elements []BulkElement, goOn bool) ([]elementResult, error) {
	var results []elementResult
	err := s.run(ctx, b, func(ctx context.Context, w *work) error {
		a := atomicBulk{work: w, server: s, goOn: goOn, made: make(map[numscript.Holding]bool), sources: make(map[numscript.Holding]bool)}
		if err := a.lookAhead(ctx, elements); err != nil {
			return err
		}
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
	// made are the holdings whose rows were made by locking ahead, sources those
	// whose rows stay even if nothing is posted.
	made, sources map[numscript.Holding]bool
}

// lookAhead locks the holdings of all elements at once and in order, so that
// bulks and posts wait for each other instead of deadlocking, and looks up
// all keys. What cannot be foreseen, because a script reads metadata or is
// refused, is left to the elements.
func (a *atomicBulk) lookAhead(ctx context.Context, elements []BulkElement) error {
	holdings := a.holdingsOf(elements)
	if len(holdings) > 0 {
		a.queueLocks(slices.SortedFunc(maps.Keys(holdings), numscript.CompareHoldings), a.made)
	}
	a.priors = make(map[string]*prior)
	for _, e := range elements {
		if _, queued := a.priors[e.Key]; e.Key != "" && !queued {
			a.priors[e.Key] = new(prior)
			a.queueLookup(e.Key, a.priors[e.Key])
		}
	}
	return a.flush(ctx)
}

// holdingsOf returns the holdings that the elements will touch.
func (a *atomicBulk) holdingsOf(elements []BulkElement) map[numscript.Holding]bool {
	all := make(map[numscript.Holding]bool)
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
		run, err := in.program.Bind(in.variables)
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
	return all
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
	for h := range a.made {
		if !used[h] && !a.sources[h] {
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
		if err := a.flush(ctx); err != nil {
			a.aborted = true
			return outcome{}, err
		}
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
	a.batch = newBatch()
	a.batch.Queue("rollback to savepoint element")
	clear(a.rows)
	return a.flush(ctx)
}
