package passsvc

import (
	"errors"
	"sync"
	"time"
)

const (
	// outageMin is how many pushes in a row get no useful answer before a lane rests.
	outageMin = 10
	// outagePause is how long it rests then; it doubles up to outagePauseMax.
	outagePause    = 2 * time.Second
	outagePauseMax = time.Minute
	// outagesTold is the rest in a row at which somebody is told.
	outagesTold = 4
	// massiveMin is how many tokens may be called bad by a connection that has never succeeded, before that counts as
	// our mistake: wrong host or certificate.
	massiveMin = 10
)

// errLaneRests marks deliveries that were not tried.
var errLaneRests = errors.New("the lane rests")

// laneHealth is the breaker of a lane: whether APNs takes what we send. A general breaker knows only failures in a row;
// here the answers say more. While it rests nothing is claimed; then single pushes probe until one succeeds. Everything
// stays queued meanwhile.
type laneHealth struct {
	mu      sync.Mutex
	proven  bool      // this connection has succeeded: bad tokens are the tokens' fault
	bad     int       // tokens called bad before that
	outage  int       // answers in a row that were none
	outages int       // rests in a row because of it
	ill     bool      // no success since the last rest began
	until   time.Time // end of the rest
	open    incident  // what is to be told
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

// reset forgets what an earlier certificate proved.
func (h *laneHealth) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.proven, h.bad = false, 0
}

// resting tells whether nothing should be sent at now.
func (h *laneHealth) resting(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Before(h.until)
}

// probing tells whether one push should be tried before others.
func (h *laneHealth) probing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ill
}

// note learns from an answer.
func (h *laneHealth) note(r pushResult, now time.Time, pause time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch judge(r) {
	case verdictSent, verdictGone:
		// A dead token is recognised only by who is asked rightly.
		h.open = incident{recovered: h.open.recovered || h.ill}
		h.proven, h.ill, h.until, h.outage, h.outages = true, false, time.Time{}, 0, 0
	case verdictBusy:
		h.outage = 0
	case verdictBad:
		h.outage = 0
		if h.proven {
			return
		}
		if h.bad++; h.bad >= massiveMin {
			h.rest(now.Add(pause), incident{refused: true, massive: true, status: r.status, reason: r.reason})
		}
	case verdictRefused:
		h.rest(now.Add(pause), incident{refused: true, status: r.status, reason: r.reason})
	case verdictRetry:
		if h.outage++; h.outage < outageMin && !h.ill || now.Before(h.until) {
			return
		}
		h.outages++
		h.outage = 0
		h.rest(now.Add(min(outagePause<<min(h.outages-1, 10), outagePauseMax)), incident{away: h.outages >= outagesTold, status: r.status, reason: r.reason})
	}
}

// rest begins a rest. Called under the lock.
func (h *laneHealth) rest(until time.Time, i incident) {
	h.ill, h.until, h.open = true, until, i
}

// incident returns what is to be told now.
func (h *laneHealth) incident() incident {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open
}

// told notes that an incident was written down.
func (h *laneHealth) told(i incident) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open == i {
		h.open = incident{}
	}
}

// distrusted tells whether bad tokens have to wait for proof that they are.
func (h *laneHealth) distrusted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.proven
}
