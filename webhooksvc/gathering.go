package webhooksvc

import (
	"context"
	"sync"
)

// gathering writes many items by few statements: what comes while all writers are busy waits and shares the next statement, and with it
// one commit. Few writers mean large groups. Nothing waits for others to come.
type gathering[T any] struct {
	write      func(ctx context.Context, group []T) // tells each item what became of it
	size       func(T) int                          // in bytes
	writersMax int
	countMax   int // of one group
	sizeMax    int // of one group, though one item may be larger
	pendingMax int // bounds what waits for a database that hangs

	mu      sync.Mutex
	pending []T
	writers int
}

// add lets an item be written soon. It reports false when too many wait.
func (g *gathering[T]) add(ctx context.Context, item T) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.pending) >= g.pendingMax {
		return false
	}
	g.pending = append(g.pending, item)
	if g.writers < g.writersMax {
		g.writers++
		go g.writeAll(context.WithoutCancel(ctx)) // it serves others too, and ends when nobody waits
	}
	return true
}

// writeAll writes groups until nothing waits.
func (g *gathering[T]) writeAll(ctx context.Context) {
	for {
		group := g.next()
		if len(group) == 0 {
			return
		}
		g.write(ctx, group)
	}
}

// next takes the items of one statement, in order of arrival. None means that the writer ends.
func (g *gathering[T]) next() []T {
	g.mu.Lock()
	defer g.mu.Unlock()
	count, size := 0, 0
	for count < len(g.pending) && count < g.countMax {
		if size += g.size(g.pending[count]); count > 0 && size > g.sizeMax {
			break
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
