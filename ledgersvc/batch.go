package ledgersvc

import (
	"context"
	"slices"
	"sync"
	"time"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// batchWorkers is how many requests of entries that meet are in progress at once: while the ledger commits one, the next
// waits at its locks, and one that hangs does not stop the others.
const batchWorkers = 2

// batches gathers entries that meet in one account, such as the sales of an organiser whose sale has begun, into atomic
// bulks.
//
// Such entries wait for each other's row locks at the ledger anyway. So only a few requests of theirs are in progress at
// once, and what arrives meanwhile goes together in the next one, which takes the locks once. Nobody waits for a
// timer, and an entry that meets nobody is posted by itself, at once.
//
// A bulk is worth something only if all of it went well; after any other answer each of its entries is posted by
// itself, with the key that it had in the bulk. So one bad entry cannot fail its neighbours, and an unknown outcome is found out
// for each.
type batches struct {
	ledger *ledger
	most   int // entries in one bulk; below 2 every entry is posted by itself

	mu   sync.Mutex
	open map[string]*meeting // by the account where its entries meet
}

// meeting is the entries that meet in one account.
type meeting struct {
	workers int // requests in progress
	waiting []*gathered
}

// gathered is what one caller posts, an entry or several that go together, on its way with others.
type gathered struct {
	plans   []plan
	done    chan struct{}   // closed when the request has ended
	entries []journal.Entry // set then; nil: the caller must post them
	alone   bool            // set then: nobody went with it, and its caller is the worker
}

func newBatches(l *ledger, most int) *batches {
	return &batches{ledger: l, most: most, open: make(map[string]*meeting)}
}

// meetingPoint is the account in which an entry meets most others: for a sale its first tax, which all organisers of a
// country share, else what the organiser is owed; for Stripe's fee what we paid in fees so far, or the organiser who
// pays it. Entries of other kinds are too rare to meet.
func meetingPoint(p plan) (address string, meets bool) {
	switch p.kind {
	case ledgerv1.EntryKind_ENTRY_KIND_SALE:
		for _, m := range p.moves {
			if m.to.role == "tax" {
				return m.to.address, true
			}
		}
		return p.moves[1].to.address, true
	case ledgerv1.EntryKind_ENTRY_KIND_STRIPE_FEE:
		return p.moves[0].from[0].address, true
	default:
		return "", false
	}
}

// post posts what one caller posts in one request, or the first of it where bulks are off: by itself, or with others who meet it where
// its first entry meets most. Errors are those of ledger.post.
func (b *batches) post(ctx context.Context, plans []plan) ([]journal.Entry, error) {
	plans = plans[:min(len(plans), max(b.most, 1))]
	address, meets := meetingPoint(plans[0])
	if b.most < 2 || !meets {
		return b.ledger.postAll(ctx, plans)
	}
	if g := b.enter(address, plans); g != nil {
		select {
		case <-g.done:
		case <-ctx.Done():
			go b.abandon(address, g)
			return nil, &awayError{call: "post with others", err: ctx.Err()}
		}
		switch {
		case g.entries != nil:
			return g.entries, nil
		case !g.alone:
			return b.ledger.postAll(ctx, plans)
		}
	}
	defer b.leave(address)
	return b.ledger.postAll(ctx, plans)
}

// abandon frees the worker that an entry is given after its caller has gone.
func (b *batches) abandon(address string, g *gathered) {
	<-g.done
	if g.alone {
		b.leave(address)
	}
}

// enter makes the caller a worker, or puts it among those who wait for one; nil means that the caller is a worker.
func (b *batches) enter(address string, plans []plan) *gathered {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.open[address]
	if m == nil {
		m = new(meeting)
		b.open[address] = m
	}
	if m.workers < batchWorkers {
		m.workers++
		return nil
	}
	g := &gathered{plans: plans, done: make(chan struct{})}
	m.waiting = append(m.waiting, g)
	return g
}

// leave hands a worker to those who wait for it: to one of them, or to a bulk of several.
func (b *batches) leave(address string) {
	b.mu.Lock()
	m := b.open[address]
	batch := m.waiting[:b.fitting(m.waiting)]
	m.waiting = m.waiting[len(batch):]
	if len(batch) == 0 {
		m.workers--
		if m.workers == 0 {
			delete(b.open, address)
		}
	}
	b.mu.Unlock()
	switch len(batch) {
	case 0:
	case 1:
		batch[0].alone = true
		close(batch[0].done)
	default:
		go b.together(address, batch)
	}
}

// fitting is how many of those who wait go into one bulk.
func (b *batches) fitting(waiting []*gathered) int {
	entries := 0
	for i, g := range waiting {
		if entries += len(g.plans); i > 0 && entries > b.most {
			return i
		}
	}
	return len(waiting)
}

// together posts a bulk as a worker of its own.
func (b *batches) together(address string, batch []*gathered) {
	defer b.leave(address)
	// Callers may hang up; their entries go on with those of the others.
	ctx, cancel := context.WithTimeout(context.Background(), b.patience())
	defer cancel()
	var plans []plan // equal entries are asked for once
	for _, g := range batch {
		for _, p := range g.plans {
			if !slices.ContainsFunc(plans, func(other plan) bool { return other.reference == p.reference }) {
				plans = append(plans, p)
			}
		}
	}
	posted, err := b.ledger.postAll(ctx, plans)
	entries := make(map[string]journal.Entry, len(posted))
	for _, e := range posted {
		entries[e.Reference] = e
	}
	for _, g := range batch {
		if err == nil {
			// A reference that two of them mean differently is checked by each for itself.
			for _, p := range g.plans {
				g.entries = append(g.entries, entries[p.reference])
			}
		}
		close(g.done)
	}
}

// patience bounds a bulk: its wait for a place in flight and its request.
func (b *batches) patience() time.Duration { return 2 * b.ledger.config.AttemptTimeout }
