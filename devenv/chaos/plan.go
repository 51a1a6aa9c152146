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
	// pauseTime is the longest between two blows.
	pauseTime = 150 * time.Millisecond
)

// deed is how something breaks.
type deed string

const (
	kill      deed = "kill"      // a replica, as kill -9 does, and start it again a little later
	freeze    deed = "freeze"    // a replica, as SIGSTOP does: it does not know that time has passed
	fail      deed = "fail"      // a party of the outside world
	terminate deed = "terminate" // all backends of the database
	restart   deed = "restart"   // the database, at once (immediate), so that it has to recover
	exhaust   deed = "exhaust"   // the connections of the database: an outsider takes them all
)

// blow is one thing that breaks.
type blow struct {
	deed    deed
	service string // of kill and freeze
	replica int
	party   string // of fail
	mode    fault.Mode
	rate    float64
	length  time.Duration // how long it is broken
	pause   time.Duration // after it
}

func (b blow) String() string {
	switch b.deed {
	case kill, freeze:
		return fmt.Sprintf("%s %s %d for %v", b.deed, b.service, b.replica, b.length)
	case fail:
		return fmt.Sprintf("fail %s by %s, rate %.2f, for %v", b.party, b.mode, b.rate, b.length)
	case exhaust:
		return fmt.Sprintf("exhaust connections for %v", b.length)
	case terminate, restart:
	}
	return string(b.deed) + " the database"
}

// newPlan draws all blows of a configuration from its seed, beforehand and from a source of their own: what breaks, in
// which order and for how long depends on nothing else.
func newPlan(c Config) []blow {
	random := rand.New(rand.NewPCG(c.Seed, 1))
	upTo := func(most time.Duration) time.Duration {
		return time.Duration(random.IntN(int(most.Milliseconds())+1)) * time.Millisecond
	}
	var blows []blow
	for _, service := range server.Services() {
		for range c.Kills {
			blows = append(blows, blow{deed: kill, service: service, replica: random.IntN(c.Replicas), length: upTo(downTime)})
		}
		for range c.Freezes {
			blows = append(blows, blow{deed: freeze, service: service, replica: random.IntN(c.Replicas), length: upTo(freezeTime)})
		}
	}
	parties := []string{fault.Ledger, fault.Ledger, fault.Stripe, fault.APNs, fault.Mail}
	modes := []fault.Mode{fault.Refuse, fault.ServerError, fault.TooMany, fault.Slow, fault.Hang, fault.LostReply, fault.HalfBody}
	for range c.Faults {
		blows = append(blows, blow{
			deed: fail, party: parties[random.IntN(len(parties))], mode: modes[random.IntN(len(modes))],
			rate: float64(1+random.IntN(4)) / 4, length: upTo(faultTime),
		})
	}
	failures := []deed{restart, terminate, exhaust}
	for i := range c.DatabaseFailures {
		blows = append(blows, blow{deed: failures[i%len(failures)], length: exhaustTime/2 + upTo(exhaustTime/2)})
	}
	random.Shuffle(len(blows), func(i, j int) { blows[i], blows[j] = blows[j], blows[i] })
	for i := range blows {
		blows[i].pause = upTo(pauseTime)
	}
	return blows
}
