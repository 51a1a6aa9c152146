package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/dayof/dayof/internal/chassis/clock"
)

// TestPermutations replays each scenario in some of its orders; DAYOF_TEST_ORDERS says in how many.
func TestPermutations(t *testing.T) {
	t.Parallel()
	count := 2
	if text := os.Getenv("DAYOF_TEST_ORDERS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatalf("DAYOF_TEST_ORDERS=%s is not a number", text)
		}
	}
	var out bytes.Buffer
	p := plan{
		events: "../../devenv/scenario/testdata", count: count, seed: rand.Uint64(), parallel: 8, batch: 250, replicas: 2,
		clock: clock.System{}, out: &out,
	}
	if err := p.run(t.Context()); err != nil {
		t.Errorf("%v; repeat with go run ./e2e/permutations -seed %d -count %d\n%s", err, p.seed, count, &out)
	}
	t.Log(out.String())
}
