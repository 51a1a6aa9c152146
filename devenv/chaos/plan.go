package chaos

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/internal/server"
)

const (
	// downTime is the longest that a killed replica stays away.
	downTime = 700 * time.Millisecond
	// freezeTime is the longest that a replica is frozen.
	freezeTime = 3 * time.Second
	// faultTime is the longest that a fault lasts.
	faultTime = 1500 * time.Millisecond
	// exhaustTime is the longest that an outsider has all of the server's connections.
	exhaustTime = 2 * time.Second
	// latencyMS is what passes before a fault strikes, in milliseconds.
	latencyMS = 300
	// pauseTime is the longest between two injections.
	pauseTime = 150 * time.Millisecond
)

// faultKind is how something breaks.
type faultKind string

const (
	kill      faultKind = "kill"      // a replica, as kill -9 does, and start it again a little later
	freeze    faultKind = "freeze"    // a replica, as SIGSTOP does: it does not know that time has passed
	fail      faultKind = "fail"      // an external service
	terminate faultKind = "terminate" // all backends of the database
	restart   faultKind = "restart"   // the database, at once (immediate), so that it has to recover
	exhaust   faultKind = "exhaust"   // the connections of the database: an outsider takes them all
)

// injection is one fault of a run.
type injection struct {
	kind    faultKind
	service string // of kill and freeze
	replica int
	party   string // of fail
	mode    fault.Mode
	rate    float64
	length  time.Duration // how long it is broken
	pause   time.Duration // after it
}

func (b injection) String() string {
	switch b.kind {
	case kill, freeze:
		return fmt.Sprintf("%s %s %d for %v", b.kind, b.service, b.replica, b.length)
	case fail:
		return fmt.Sprintf("fail %s by %s, rate %.2f, for %v", b.party, b.mode, b.rate, b.length)
	case exhaust:
		return fmt.Sprintf("exhaust connections for %v", b.length)
	case terminate, restart:
	}
	return string(b.kind) + " the database"
}

// modesOf are the ways in which calls of a party fail.
func modesOf(party string) []fault.Mode {
	modes := []fault.Mode{fault.Refuse, fault.ServerError, fault.TooMany, fault.Slow, fault.Hang, fault.LostReply, fault.HalfBody}
	if party == fault.Stripe {
		modes = append(modes, fault.StoredError, fault.StoredErrorDone, fault.Refusal)
	}
	return modes
}

// fault is what the party is told. What Stripe refuses is a refund for which it lacks the money, which passes.
func (b injection) fault() fault.Fault {
	f := fault.Fault{Mode: b.mode, Rate: b.rate, LatencyMS: latencyMS}
	if b.mode == fault.Refusal {
		f.Match, f.Code = "POST /v1/refunds", "balance_insufficient"
	}
	return f
}

// newPlan draws all injections of a configuration from its seed, beforehand and from a source of their own: what breaks, in
// which order and for how long depends on nothing else.
func newPlan(c Config) []injection {
	random := rand.New(rand.NewPCG(c.Seed, 1))
	upTo := func(most time.Duration) time.Duration {
		return time.Duration(random.IntN(int(most.Milliseconds())+1)) * time.Millisecond
	}
	var injections []injection
	for _, service := range server.Services() {
		for range c.Kills {
			injections = append(injections, injection{kind: kill, service: service, replica: random.IntN(c.Replicas), length: upTo(downTime)})
		}
		for range c.Freezes {
			injections = append(injections, injection{kind: freeze, service: service, replica: random.IntN(c.Replicas), length: upTo(freezeTime)})
		}
	}
	parties := []string{fault.Ledger, fault.Ledger, fault.Stripe, fault.APNs, fault.Mail}
	for range c.Faults {
		party := parties[random.IntN(len(parties))]
		modes := modesOf(party)
		injections = append(injections, injection{
			kind: fail, party: party, mode: modes[random.IntN(len(modes))], rate: float64(1+random.IntN(4)) / 4, length: upTo(faultTime),
		})
	}
	failures := []faultKind{restart, terminate, exhaust}
	for i := range c.DatabaseFailures {
		injections = append(injections, injection{kind: failures[i%len(failures)], length: exhaustTime/2 + upTo(exhaustTime/2)})
	}
	random.Shuffle(len(injections), func(i, j int) { injections[i], injections[j] = injections[j], injections[i] })
	for i := range injections {
		injections[i].pause = upTo(pauseTime)
	}
	return injections
}
