package chaos

import (
	"slices"
	"testing"
)

// TestPlan draws the same injections from the same seed, others from another, and as many as were asked for.
func TestPlan(t *testing.T) {
	t.Parallel()
	c := Config{Seed: 7, Replicas: 2, Kills: 20, Freezes: 5, Faults: 10, DatabaseFailures: 3}
	one, two := newPlan(c), newPlan(c)
	if !slices.Equal(one, two) {
		t.Errorf("one seed has two plans:\n%v\n%v", one, two)
	}
	c.Seed++
	if slices.Equal(one, newPlan(c)) {
		t.Error("two seeds have one plan")
	}
	count := map[string]int{}
	for _, b := range one {
		count[string(b.kind)+" "+b.service]++
	}
	for _, want := range []struct {
		name  string
		count int
	}{
		{"kill checkout", 20},
		{"kill pass", 20},
		{"kill ledger", 20},
		{"kill webhook", 20},
		{"freeze ledger", 5},
		{"fail ", 10},
		{"restart ", 1},
		{"terminate ", 1},
		{"exhaust ", 1},
	} {
		if count[want.name] != want.count {
			t.Errorf("%s: %d injections, want %d", want.name, count[want.name], want.count)
		}
	}
}
