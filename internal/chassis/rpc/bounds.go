package rpc

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
)

// bounds are what the requests of a server share.
type bounds struct {
	places   limit
	bytes    *budget
	streams  *budget
	draining chan struct{} // closed when the server drains
	proxies  Proxies
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

// peerShare is the part of a budget that the bodies of one peer may take, as a divisor.
const peerShare = 4

// budget is how many bytes of bodies may be in memory at once, those that are still arriving included, or how many streams there may be. A
// peer, which is the network of a client, gets a quarter of it at most, so that bodies which one peer sends slowly, or streams
// that it keeps, refuse nobody else's. Those who come by one proxy that is not trusted are one peer.
type budget struct {
	mu    sync.Mutex
	left  int64
	share int64
	peers map[string]int64 // taken by each peer that has taken any
}

func newBudget(size int64) *budget {
	return &budget{left: size, share: size / peerShare, peers: map[string]int64{}}
}

func (b *budget) take(peer string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.left || b.peers[peer]+n > b.share {
		return false
	}
	b.left -= n
	b.peers[peer] += n
	return true
}

func (b *budget) giveBack(peer string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += n
	if b.peers[peer] -= n; b.peers[peer] == 0 {
		delete(b.peers, peer)
	}
}

// peerOf is who sends a request, by the client's network, and that network.
func (b *bounds) peerOf(r *http.Request) (string, Network) {
	network := NetworkOf(b.proxies.client(r))
	if !network.Known() {
		return r.RemoteAddr, network
	}
	return network.String(), network
}

// errBudget ends the reading of a body for which there is no room.
var errBudget = errors.New("too many bytes of requests are in memory")

// heldBody is a body that is counted against a budget until giveBack. Only the goroutine of its request uses it.
type heldBody struct {
	io.ReadCloser
	budget    *budget
	peer      string
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
	if !h.budget.take(h.peer, int64(n)) {
		h.exhausted = true
		return 0, errBudget
	}
	h.held += int64(n)
	return n, err
}

func (h *heldBody) giveBack() {
	h.budget.giveBack(h.peer, h.held)
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
