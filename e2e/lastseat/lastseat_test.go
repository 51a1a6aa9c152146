package main

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/dayof/dayof/devenv/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestLastSeat plays some rounds; the command plays a thousand.
func TestLastSeat(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := plan{rounds: 4, buyers: 100, seed: rand.Uint64(), out: &out}
	if err := p.run(t.Context()); err != nil {
		t.Errorf("%v; repeat with go run ./e2e/lastseat -seed %d -rounds %d -buyers %d\n%s", err, p.seed, p.rounds, p.buyers, &out)
	}
	t.Log(out.String())
}
