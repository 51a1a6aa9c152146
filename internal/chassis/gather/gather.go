// Package gather has callers that come at the same time share a statement and its commit.
package gather

import (
	"context"
	"sync"
)

// Gathering writes many items by few statements: what comes while all writers are busy waits and shares the next statement, and with it
// one commit. Few writers mean large groups. Nothing waits for others to come.
type Gathering[T any] struct {
	Write      func(ctx context.Context, group []T) // tells each item what became of it
	Size       func(T) int                          // in bytes; nil: nothing
	WritersMax int
	CountMax   int // of one group
	SizeMax    int // of one group, though one item may be larger; without Size it does not count
	PendingMax int // bounds what waits for a database that hangs

	mu      sync.Mutex
	pending []T
	writers int
}

// Add lets an item be written soon. It reports false when too many wait.
func (g *Gathering[T]) Add(ctx context.Context, item T) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.pending) >= g.PendingMax {
		return false
	}
	g.pending = append(g.pending, item)
	if g.writers < g.WritersMax {
		g.writers++
		go g.writeAll(context.WithoutCancel(ctx)) // it serves others too, and ends when nobody waits
	}
	return true
}

// writeAll writes groups until nothing waits.
func (g *Gathering[T]) writeAll(ctx context.Context) {
	for {
		group := g.next()
		if len(group) == 0 {
			return
		}
		g.Write(ctx, group)
	}
}

// next takes the items of one statement, in order of arrival. None means that the writer ends.
func (g *Gathering[T]) next() []T {
	g.mu.Lock()
	defer g.mu.Unlock()
	count, size := 0, 0
	for count < len(g.pending) && count < g.CountMax {
		if g.Size != nil {
			if size += g.Size(g.pending[count]); count > 0 && size > g.SizeMax {
				break
			}
		}
		count++
	}
	if count == 0 {
		g.writers--
		g.pending = nil // gives back the memory of a flood
		return nil
	}
	group := g.pending[:count:count]
	g.pending = g.pending[count:]
	return group
}

// Pending is how many items wait to be written.
func (g *Gathering[T]) Pending() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.pending)
}
