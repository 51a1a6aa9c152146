package waitingroom_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc/waitingroom"
)

var opens = time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)

func source(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// Whoever gathers before the room opens gets one of the first places, each another one, and those who come later follow in their order.
func TestPlaces(t *testing.T) {
	t.Parallel()
	r := source(t)
	for _, gathered := range []int64{0, 1, 2, 3, 17, 1000} {
		room := waitingroom.Room{OpenTime: opens, Pace: 60}
		if gathered > 0 {
			room.Join(gathered, opens.Add(-time.Hour))
		}
		if _, drawn := room.PlaceOf(0); drawn || !room.Due(opens) || room.Due(opens.Add(-time.Microsecond)) {
			t.Fatal("a room that is not open has drawn places, or is not due at its time")
		}
		room.Open(fmt.Append(nil, r.Uint64()), opens)
		late := room.Join(5, opens)
		taken := map[int64]bool{}
		for number := range gathered + 5 {
			place, drawn := room.PlaceOf(number)
			if again, _ := room.PlaceOf(number); !drawn || taken[place] || again != place || place < 0 || place >= gathered+5 {
				t.Fatalf("of %d: number %d has place %d, taken %v", gathered, number, place, taken[place])
			}
			if taken[place] = true; number >= late && place != number {
				t.Fatalf("number %d came after the opening and has place %d", number, place)
			}
		}
	}
}

// Over many rooms each number gets each place about as often.
func TestPlacesAreDrawnFairly(t *testing.T) {
	t.Parallel()
	r := source(t)
	const crowd, draws = 7, 14000
	var count [crowd][crowd]int
	for range draws {
		room := waitingroom.Room{OpenTime: opens}
		room.Join(crowd, opens)
		room.Open(fmt.Append(nil, r.Uint64()), opens)
		for number := range int64(crowd) {
			place, _ := room.PlaceOf(number)
			count[number][place]++
		}
	}
	for number := range count {
		for place, n := range count[number] {
			if n < draws/crowd-250 || n > draws/crowd+250 { // six standard deviations of 41
				t.Errorf("number %d had place %d %d times of %d", number, place, n, draws)
			}
		}
	}
}

// However the pace changes and people come: nobody who was let in has to wait again, no more are let in within a time than the paces
// allow and a second's worth for each who joins a quiet room, and a place's told wait is over when it says.
func TestAdmissions(t *testing.T) {
	t.Parallel()
	r := source(t)
	for range 2000 {
		room := waitingroom.Room{OpenTime: opens, Pace: int32(r.IntN(600))}
		room.Join(int64(1+r.IntN(50)), opens)
		room.Open([]byte("seed"), opens)
		now, before, allowed := opens, int64(0), 0.0
		for range 30 {
			step := time.Duration(r.Int64N(int64(10 * time.Second)))
			now = now.Add(step)
			allowed += step.Minutes() * float64(room.Pace)
			if got := room.AdmittedBy(now); got < before || float64(got) > allowed+1e-6 {
				t.Fatalf("%d let in, %d before, %.2f allowed by the pace", got, before, allowed)
			}
			switch r.IntN(3) {
			case 0:
				first := room.Join(int64(1+r.IntN(20)), now)
				if over := room.AdmittedBy(now) - first; over > int64(room.Pace)/60+1 {
					t.Fatalf("a quiet room lets in %d at once, at %d a minute", over, room.Pace)
				}
			case 1:
				room.SetPace(int32(r.IntN(600)), now)
			default:
				place := r.Int64N(room.Joined)
				wait, known := room.WaitOf(place, now)
				if known != (room.Pace > 0) {
					t.Fatalf("the wait at %d a minute is told: %v", room.Pace, known)
				}
				if known && wait < 24*time.Hour && room.AdmittedBy(now.Add(wait+time.Minute/time.Duration(room.Pace))) <= place {
					t.Fatalf("place %d waits longer than %s at %d a minute", place, wait, room.Pace)
				}
			}
			before = room.AdmittedBy(now)
		}
	}
}
