package rpc

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
)

// bounds are what the requests of a server share.
type bounds struct {
	places limit
	bytes  *budget
}

// limit is a number of places; nil has no end of them. A place is for work: it is taken when the body of a request has
// arrived, so that nobody occupies one by sending nothing.
type limit chan struct{}

func (l limit) take() bool {
	if l == nil {
		return true
	}
	select {
	case l <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l limit) giveBack() {
	if l != nil {
		<-l
	}
}

// budget is how many bytes of bodies may be in memory at once, those that are still arriving included.
type budget struct{ left atomic.Int64 }

func newBudget(size int64) *budget {
	b := &budget{}
	b.left.Store(size)
	return b
}

func (b *budget) take(n int64) bool {
	if b.left.Add(-n) >= 0 {
		return true
	}
	b.left.Add(n)
	return false
}

func (b *budget) giveBack(n int64) { b.left.Add(n) }

// errBudget ends the reading of a body for which there is no room.
var errBudget = errors.New("too many bytes of requests are in memory")

// heldBody is a body that is counted against a budget until giveBack. Only the goroutine of its request uses it.
type heldBody struct {
	io.ReadCloser
	budget    *budget
	limit     int64 // in bytes; beyond it the body is too large
	held      int64
	exhausted bool // the budget is
}

// Read implements io.Reader.
func (h *heldBody) Read(p []byte) (int, error) {
	if h.exhausted {
		return 0, errBudget
	}
	n, err := h.ReadCloser.Read(p)
	if h.held+int64(n) > h.limit {
		return 0, &http.MaxBytesError{Limit: h.limit}
	}
	if !h.budget.take(int64(n)) {
		h.exhausted = true
		return 0, errBudget
	}
	h.held += int64(n)
	return n, err
}

func (h *heldBody) giveBack() {
	h.budget.giveBack(h.held)
	h.held = 0
}

// readAhead reads a body to its end, or up to size bytes, and returns a body that is read from memory as far as that.
func readAhead(body *heldBody, size int64) (io.ReadCloser, error) {
	var ahead bytes.Buffer
	_, err := io.Copy(&ahead, io.LimitReader(body, size))
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&ahead, body), body}, nil
}

// limitBodyTime ends a request whose body does not arrive in time. net/http lifts the deadline once the body is read,
// so it does not end a long call; where there is no body it would.
func limitBodyTime(w http.ResponseWriter, r *http.Request, timeout time.Duration) {
	if r.ContentLength == 0 {
		return
	}
	// An error means a ResponseWriter without deadlines, as in a test.
	_ = http.NewResponseController(w).SetReadDeadline(clock.System{}.Now().Add(timeout))
}
