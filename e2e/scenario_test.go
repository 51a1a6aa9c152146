package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/scenario"
	"github.com/dayof/dayof/e2e/e2etest"
	"github.com/dayof/dayof/internal/chassis/clock"
)

const events = "../devenv/scenario/testdata"

// TestScenarios replays each scenario as Stripe delivered it, in random orders, with every event doubled, and all at once. Each
// way must end the same.
func TestScenarios(t *testing.T) {
	t.Parallel()
	all, err := scenario.Load(events + "/stories.json")
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("first seed of the shuffled orders: %d", seed)
	plain := scenario.Options{Events: events, Clock: clock.System{}}
	ways := map[string]scenario.Options{
		"as delivered": plain,
		"doubled":      {Events: events, Clock: clock.System{}, Double: true},
		"at once":      {Events: events, Clock: clock.System{}, AtOnce: true},
		"all at once, doubled, shuffled": {
			Events: events, Clock: clock.System{}, AtOnce: true, Double: true, Shuffle: true, Seed: seed,
		},
	}
	for i := range uint64(e2etest.Scale(t, "DAYOF_TEST_SHUFFLES", 4)) {
		ways[fmt.Sprintf("shuffled by %d", seed+i)] = scenario.Options{
			Events: events, Clock: clock.System{}, Shuffle: true, Seed: seed + i, Double: i%2 == 1,
		}
	}
	system := client.NewClient(shared.File)
	for _, s := range all {
		for way, options := range ways {
			t.Run(s.Key+"/"+way, func(t *testing.T) {
				t.Parallel()
				assertScenario(t, scenario.Replay(e2etest.Within(t, 2*time.Minute), system, s, options))
			})
		}
	}
	t.Cleanup(func() { e2etest.AssertClean(t, shared) })
}

// TestScenariosNoticeDifferences shows that a replay can fail: a scenario that expects something else does.
func TestScenariosNoticeDifferences(t *testing.T) {
	t.Parallel()
	all, err := scenario.Load(events + "/stories.json")
	if err != nil {
		t.Fatal(err)
	}
	s := all[slices.IndexFunc(all, func(s scenario.Scenario) bool { return s.Key == "b" })]
	s.Expect = map[string]any{"order": "paid", "hold": "released", "weather": "fine"}
	r := scenario.Replay(e2etest.Within(t, 2*time.Minute), client.NewClient(shared.File), s, scenario.Options{Events: events, Clock: clock.System{}})
	if r.Error != "" || r.Passed || len(r.Differences) != 1 || r.Differences[0].Name != "order" || !slices.Equal(r.NotCompared, []string{"weather"}) {
		t.Errorf("got %+v", r)
	}
}

func assertScenario(t *testing.T, r scenario.Result) {
	t.Helper()
	if r.Error != "" {
		t.Fatalf("order %q: %s", r.OrderID, r.Error)
	}
	for _, d := range r.Differences {
		t.Errorf("order %s: %s is %v, want %v", r.OrderID, d.Name, d.Got, d.Want)
	}
	if r.Left != "" {
		t.Errorf("order %s: left to do: %s", r.OrderID, r.Left)
	}
	if !r.Passed && !t.Failed() {
		t.Errorf("order %s did not pass: %+v", r.OrderID, r)
	}
}
