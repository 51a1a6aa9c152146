package passsvc

import (
	"errors"
	"sync"
	"time"
)

const (
	// outageMin is how many pushes in a row get no useful answer before the breaker opens.
	outageMin = 10
	// outagePause is how long it stays open then; it doubles up to outagePauseMax.
	outagePause    = 2 * time.Second
	outagePauseMax = time.Minute
	// outagesReported is the opening in a row that raises an alert.
	outagesReported = 4
	// oddMin is how many pushes in a row must be refused before that counts as our mistake, once others have shown that
	// certificate, topic, headers and payload are right.
	oddMin = 10
	// massiveMin is how many tokens may be called bad by a connection that has never succeeded, before that counts as
	// our mistake: wrong host or certificate.
	massiveMin = 10
)

// errBreakerOpen marks pushes that were not tried.
var errBreakerOpen = errors.New("circuit breaker is open")

// pushHealth is the circuit breaker of a pass type: whether APNs takes what we send. A general breaker knows only failures
// in a row; here the answers say more. While it is open nothing is claimed; half-open, single pushes probe until one
// succeeds. Everything stays queued meanwhile.
type pushHealth struct {
	mu        sync.Mutex
	verified  bool      // this connection has succeeded: bad tokens are the tokens' fault
	bad       int       // tokens called bad before that
	odd       int       // refusals in a row of single pushes
	outage    int       // answers in a row that were none
	outages   int       // times in a row that the breaker opened because of it
	tripped   bool      // no success since the breaker opened last
	openUntil time.Time // when the first push may probe
	pending   incident  // what is to be reported
}

// incident is a change of health that somebody should hear of.
type incident struct {
	refused   bool // APNs refuses us
	massive   bool // by calling all tokens bad
	away      bool // it has not answered for a while
	recovered bool
	status    int
	reason    string
}

// reset forgets what was verified with an earlier certificate.
func (h *pushHealth) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.verified, h.bad, h.odd = false, 0, 0
}

// isOpen reports whether nothing should be sent at now.
func (h *pushHealth) isOpen(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Before(h.openUntil)
}

// isClosed reports whether all pushes may be sent at now.
func (h *pushHealth) isClosed(now time.Time) bool { return !h.isOpen(now) && !h.isHalfOpen() }

// isHalfOpen reports whether one push should be tried before others.
func (h *pushHealth) isHalfOpen() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tripped
}

// record learns from an answer, and returns what it means for its push: a refusal that says nothing about the other pushes
// is one to try again later.
func (h *pushHealth) record(r pushResult, now time.Time, pause time.Duration) outcome {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := classify(r)
	switch v {
	case outcomeSent, outcomeGone:
		// A dead token is recognised only by who is asked rightly.
		h.pending = incident{recovered: h.pending.recovered || h.tripped}
		h.verified, h.tripped, h.openUntil, h.odd, h.outage, h.outages = true, false, time.Time{}, 0, 0, 0
	case outcomeBusy:
		h.outage = 0
	case outcomeBad:
		h.outage = 0
		if h.verified {
			return v
		}
		if h.bad++; h.bad >= massiveMin {
			h.trip(now.Add(pause), incident{refused: true, massive: true, status: r.status, reason: r.reason})
		}
	case outcomeRefused:
		if h.odd++; h.verified && h.odd < oddMin && isOdd(r) {
			return outcomeRetry
		}
		h.trip(now.Add(pause), incident{refused: true, status: r.status, reason: r.reason})
	case outcomeRetry:
		if h.outage++; h.outage < outageMin && !h.tripped || now.Before(h.openUntil) {
			return v
		}
		h.outages++
		h.outage = 0
		h.trip(now.Add(min(outagePause<<min(h.outages-1, 10), outagePauseMax)), incident{away: h.outages >= outagesReported, status: r.status, reason: r.reason})
	}
	return v
}

// trip opens the breaker until a time. Called under the lock.
func (h *pushHealth) trip(until time.Time, i incident) {
	h.tripped, h.openUntil, h.pending = true, until, i
}

// incident returns what is to be reported now.
func (h *pushHealth) incident() incident {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pending
}

// reported records that an incident was written down.
func (h *pushHealth) reported(i incident) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pending == i {
		h.pending = incident{}
	}
}

// isVerified reports whether tokens called bad are bad: this connection has succeeded.
func (h *pushHealth) isVerified() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.verified
}
