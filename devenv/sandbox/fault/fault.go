// Package fault makes outside parties fail on purpose: one fault per party at a time, drawn from a seeded source, over
// real sockets.
//
// A fault never makes a party lie. It only takes away or delays what travels: see Mode for what is done and what is not.
package fault

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
)

// Mode is how a call goes wrong.
type Mode string

// Modes. "Done" says whether the party did what it was asked.
const (
	Refuse      Mode = "refuse"     // the connection is closed before the party receives the call; not done
	ServerError Mode = "5xx"        // status 503 (or Status); not done
	Refusal     Mode = "4xx"        // status 400 (or Status) with Code; not done; of Stripe only
	TooMany     Mode = "429"        // status 429 with Retry-After; not done
	Slow        Mode = "slow"       // LatencyMS later the party does it, also when the caller has gone meanwhile; done
	Hang        Mode = "hang"       // no answer until the caller gives up or the fault is cleared; not done
	LostReply   Mode = "lost_reply" // the connection is cut before a byte of the answer; done
	HalfBody    Mode = "half_body"  // the connection is cut in the middle of the body; done
	// Of Stripe only, and only for calls with an idempotency key: status 500 (or Status), kept under the key, so that every
	// repeat is answered by it.
	StoredError     Mode = "stored_5xx"      // not done
	StoredErrorDone Mode = "stored_5xx_done" // done
)

// atTheSocket are the modes of what happens between a caller and any party, in front of its handler.
var atTheSocket = []Mode{Refuse, ServerError, Refusal, TooMany, Slow, Hang, LostReply, HalfBody}

// stored are the modes that only the party itself can play, because it keeps the answer.
var stored = []Mode{StoredError, StoredErrorDone}

var modes = slices.Concat(atTheSocket, stored)

// Parties that can have a fault.
const (
	Ledger = "ledger"
	Stripe = "stripe"
	APNs   = "apns"
	Mail   = "mail"
)

var parties = []string{Ledger, Stripe, APNs, Mail}

const (
	slowDefaultMS     = 1000
	retryAfterDefault = 1
)

// Fault is what goes wrong at one party, and how often.
type Fault struct {
	Mode Mode `json:"mode"`
	// Rate is the share of matching calls that are hit, 0..1.
	Rate float64 `json:"rate"`
	// LatencyMS is waited before the fault strikes, in milliseconds; slow waits 1000 when it is 0.
	LatencyMS int `json:"latency_ms,omitempty"`
	// Count ends the fault after so many hits; 0 never. A spent fault is still listed, and cleared like others.
	Count int `json:"count,omitempty"`
	// Match hits only calls whose "METHOD path" (for mail: "CONNECT" with mode refuse, else "DATA from to,to") contains this text; empty hits all.
	Match string `json:"match,omitempty"`
	// Status replaces the 503 of mode 5xx, the 500 of those that are stored (it must be 500..599), and the 400 of mode 4xx (400..499).
	Status int `json:"status,omitempty"`
	// Code is the error code of mode 4xx.
	Code string `json:"code,omitempty"`
	// RetryAfterSeconds is the header of mode 429; 1 when it is 0.
	RetryAfterSeconds int `json:"retry_after_s,omitempty"`
}

func (f Fault) check(party string) error {
	switch {
	case !slices.Contains(modes, f.Mode):
		return fmt.Errorf("mode %q is none of %v", f.Mode, modes)
	case f.Rate < 0 || f.Rate > 1:
		return fmt.Errorf("rate %g is not between 0 and 1", f.Rate)
	case f.LatencyMS < 0 || f.Count < 0 || f.RetryAfterSeconds < 0:
		return fmt.Errorf("latency_ms %d, count %d and retry_after_s %d must not be negative", f.LatencyMS, f.Count, f.RetryAfterSeconds)
	case (f.Mode == Refusal || slices.Contains(stored, f.Mode)) && party != Stripe:
		return fmt.Errorf("mode %q is of %s only", f.Mode, Stripe)
	case f.Status != 0 && f.Mode == Refusal && f.Status/100 != 4:
		return fmt.Errorf("status %d is not between 400 and 499", f.Status)
	case f.Status != 0 && f.Mode != Refusal && f.Status/100 != 5:
		return fmt.Errorf("status %d is not between 500 and 599", f.Status)
	}
	return nil
}

// Faults holds the present fault of every party. It may be used by many goroutines.
type Faults struct {
	mu     sync.Mutex
	random *rand.Rand
	active map[string]*active
}

// active is a fault in force.
type active struct {
	Fault
	hits    int
	times   []time.Time   // of the latest hits
	cleared chan struct{} // closed when the fault ends: lets go of what hangs
}

// New makes a registry without faults; the seed repeats the draws.
func New(seed uint64) *Faults {
	return &Faults{
		random: rand.New(rand.NewPCG(seed, 0)),
		active: make(map[string]*active),
	}
}

// Set replaces the fault of a party.
func (f *Faults) Set(party string, fault Fault) error {
	if !slices.Contains(parties, party) {
		return fmt.Errorf("party %q is none of %v", party, parties)
	}
	if err := fault.check(party); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end(party)
	f.active[party] = &active{Fault: fault, cleared: make(chan struct{})}
	return nil
}

// Clear ends the fault of a party, if it has one.
func (f *Faults) Clear(party string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end(party)
}

// ClearAll ends all faults.
func (f *Faults) ClearAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, party := range slices.Collect(maps.Keys(f.active)) {
		f.end(party)
	}
}

func (f *Faults) end(party string) {
	if a := f.active[party]; a != nil {
		close(a.cleared)
		delete(f.active, party)
	}
}

// hitTimesMax bounds how many hits are remembered with their times.
const hitTimesMax = 1000

// Status is a fault in force and how often it has struck.
type Status struct {
	Fault
	Hits int `json:"hits"`
	// HitTimes are the times of the latest hits, at most 1000: how a caller retries.
	HitTimes []time.Time `json:"hit_times,omitempty"`
}

// List returns the faults in force by party.
func (f *Faults) List() map[string]Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[string]Status, len(f.active))
	for party, a := range f.active {
		out[party] = Status{Fault: a.Fault, Hits: a.hits, HitTimes: slices.Clone(a.times)}
	}
	return out
}

// Hit is one call that a fault strikes.
type Hit struct {
	Fault
	cleared <-chan struct{}
}

// Draw decides whether a call is struck: nil if not. The call is named by its method and path, or by an SMTP verb and its
// addresses. With modes given, faults of other modes are not drawn: a party that has several moments to fail asks at each
// for the modes that belong there, so that a call is drawn once.
func (f *Faults) Draw(party, call string, only ...Mode) *Hit {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.active[party]
	if a == nil || (len(only) > 0 && !slices.Contains(only, a.Mode)) {
		return nil
	}
	if (a.Count > 0 && a.hits >= a.Count) || !strings.Contains(call, a.Match) || f.random.Float64() >= a.Rate {
		return nil
	}
	a.hits++
	a.times = append(a.times, clock.System{}.Now())
	a.times = a.times[max(0, len(a.times)-hitTimesMax):]
	return &Hit{Fault: a.Fault, cleared: a.cleared}
}

// DrawStored is Draw for the modes whose answer the party keeps.
func (f *Faults) DrawStored(party, call string) *Hit { return f.Draw(party, call, stored...) }

// Wait spends the latency of the fault, or less when ctx ends.
func (h *Hit) Wait(ctx context.Context) {
	ms := h.LatencyMS
	if ms == 0 && h.Mode == Slow {
		ms = slowDefaultMS
	}
	if ms == 0 {
		return
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Hold blocks until ctx ends (the caller gave up) or the fault is cleared.
func (h *Hit) Hold(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-h.cleared:
	}
}
