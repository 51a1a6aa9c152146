package waitingroom

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"math/bits"
	"time"
)

// Room is where buyers of an event wait for their turn. Those who wait are numbered as they join; nothing else is kept of them.
type Room struct {
	EventID  string
	OpenTime time.Time
	Pace     int32 // admissions per minute
	Closed   bool
	Joined   int64 // numbers given out
	// Gathered is how many had joined when the room opened, whose places Seed draws; nil before.
	Gathered *int64
	Seed     []byte
	// Admitted is how many were let in until PaceTime, from which Pace counts.
	Admitted int64
	PaceTime time.Time
}

// Opened says whether places are drawn.
func (r *Room) Opened() bool { return r.Gathered != nil }

// Due says whether the room is to be opened.
func (r *Room) Due(now time.Time) bool { return !r.Opened() && !now.Before(r.OpenTime) }

// Open draws the places of those who have joined, by a seed that nobody knew before.
func (r *Room) Open(seed []byte, now time.Time) {
	gathered := r.Joined
	r.Gathered, r.Seed, r.PaceTime = &gathered, seed, now
}

// Join gives out some numbers and returns the first. What was not used of the pace by then is lost, but for a second's worth: else a
// quiet hour would let in a crowd at once.
func (r *Room) Join(n int64, now time.Time) (first int64) {
	first = r.Joined
	if most := first + r.second(); r.AdmittedBy(now) > most {
		r.Admitted, r.PaceTime = most, now
	}
	r.Joined += n
	return first
}

// second is how many are let in within a second, at least one.
func (r *Room) second() int64 { return (int64(r.Pace) + 59) / 60 }

// SetPace lets in as many per minute from now on. Who was let in stays so.
func (r *Room) SetPace(perMinute int32, now time.Time) {
	if r.Opened() && now.After(r.PaceTime) { // clocks of replicas differ
		r.Admitted, r.PaceTime = r.AdmittedBy(now), now
	}
	r.Pace = perMinute
}

// AdmittedBy is how many places were let in by a time.
func (r *Room) AdmittedBy(now time.Time) int64 {
	if !r.Opened() {
		return 0
	}
	if !now.After(r.PaceTime) {
		return r.Admitted
	}
	more := new(big.Int).Mul(big.NewInt(int64(now.Sub(r.PaceTime))), big.NewInt(int64(r.Pace)))
	return r.Admitted + more.Quo(more, big.NewInt(int64(time.Minute))).Int64()
}

// PlaceOf is the place of a number, from 0: by lot for those who were there when the room opened, and behind them in the order of their
// numbers. It has none before.
func (r *Room) PlaceOf(number int64) (place int64, drawn bool) {
	switch {
	case !r.Opened():
		return 0, false
	case number < *r.Gathered:
		return shuffled(r.Seed, *r.Gathered, number), true
	default:
		return number, true
	}
}

// WaitOf is for how long a place waits at the pace of now; false when nobody is let in.
func (r *Room) WaitOf(place int64, now time.Time) (time.Duration, bool) {
	if r.Pace == 0 {
		return 0, false
	}
	before := max(place+1-r.AdmittedBy(now), 0)
	return min(time.Duration(before/int64(r.Pace))*time.Minute+time.Duration(before%int64(r.Pace))*time.Minute/time.Duration(r.Pace), waitMax), true
}

// waitMax is the longest wait that is told.
const waitMax = 24 * time.Hour

// shuffled is where a shuffle of n cards puts a card: each seed gives another order, and each card's place costs a few hashes.
// Source: Hoang, Morris, Rogaway: An Enciphering Scheme Based on a Card Shuffle (CRYPTO 2012), "swap or not".
func shuffled(seed []byte, n, card int64) int64 {
	var block [8 + 1 + 8]byte
	for round := range shuffleRounds * bits.Len64(uint64(n)) {
		binary.BigEndian.PutUint64(block[:8], uint64(round))
		block[8] = 'k'
		binary.BigEndian.PutUint64(block[9:], 0)
		partner := int64(hash(seed, block[:])%uint64(n)) - card
		if partner < 0 {
			partner += n
		}
		block[8] = 'b'
		binary.BigEndian.PutUint64(block[9:], uint64(max(card, partner)))
		if hash(seed, block[:])&1 == 1 {
			card = partner
		}
	}
	return card
}

// shuffleRounds, for each bit of the number of cards, make the shuffle even.
const shuffleRounds = 6

func hash(seed, block []byte) uint64 {
	h := sha256.New()
	h.Write(seed)
	h.Write(block)
	return binary.BigEndian.Uint64(h.Sum(nil))
}
