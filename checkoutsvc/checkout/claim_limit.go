package checkout

import (
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/internal/chassis/problem"
)

const (
	// claimsMax is how many claims of one order are looked up at Stripe in a window: a browser makes one per payment
	// that it has confirmed, and repeats it while it waits. otherClaimsMax is for intents that the order does not have.
	claimsMax      = 30
	otherClaimsMax = 3
	claimsWindow   = time.Minute
)

// claimLimit counts the claims of each order in this process. Each may cost a call at Stripe, whose limit is for all orders.
type claimLimit struct {
	mu     sync.Mutex
	window time.Time
	count  map[claimed]int
}

// claimed is what is counted: the claims of one order, those of its own intents and others apart.
type claimed struct {
	orderID string
	own     bool
}

// take reports whether a claim may be looked up now.
func (l *claimLimit) take(c claimed, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if window := now.Truncate(claimsWindow); !window.Equal(l.window) {
		l.window, l.count = window, map[claimed]int{}
	}
	most := otherClaimsMax
	if c.own {
		most = claimsMax
	}
	if l.count[c] >= most {
		return false
	}
	l.count[c]++
	return true
}

// errTooManyClaims refuses a claim beyond the limit.
func errTooManyClaims() error {
	p := problem.New(connect.CodeResourceExhausted, "TOO_MANY_CLAIMS", "the payment was asked for too often, wait a minute; the order completes by itself once it is paid")
	p.RetryAfter = claimsWindow
	return p
}
