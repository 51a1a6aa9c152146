package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/dayof/dayof/internal/chassis/clock"
)

// TestHistories plays some hundred random lives of orders; DAYOF_TEST_HISTORIES says how many.
func TestHistories(t *testing.T) {
	t.Parallel()
	count := 150
	if text := os.Getenv("DAYOF_TEST_HISTORIES"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatalf("DAYOF_TEST_HISTORIES=%s is not a number", text)
		}
	}
	var out bytes.Buffer
	p := plan{count: count, seed: int(rand.Int32()), parallel: 8, batch: 250, system: 1000, replicas: 2, clock: clock.System{}, of: newSequence, out: &out}
	if err := p.run(t.Context()); err != nil {
		t.Errorf("%v; repeat with go run ./e2e/model -seed %d -count %d\n%s", err, p.seed, count, &out)
	}
	t.Log(out.String())
}

// TestSequencesThatFailed plays again what once did not end well; the seed says in which kind of system.
func TestSequencesThatFailed(t *testing.T) {
	t.Parallel()
	for seed, sequences := range map[int][]sequence{
		0: {
			// Stripe refused to give back more than was left, and the rest was kept.
			{currency: "EUR", price: 1, quantity: 2, payment: payGoodwill},
			// Stripe repeated its failure for as long as it was asked with the same key.
			{currency: "EUR", price: 1, quantity: 2, payment: payCard, steps: []step{
				{act: storedFailure}, {act: refundPart, part: 25}, {act: storedFailureDone}, {act: refundRest},
			}},
			// What passes was taken for final.
			{currency: "USD", price: 1, quantity: 2, payment: payCard, steps: []step{{act: refusal}, {act: refundRest}}},
		},
		2000: {
			// The conversion of the dispute waited for that of a charge that was in no books.
			{currency: "EUR", price: 2, quantity: 3, payment: payUnder, steps: []step{{act: dispute, part: 50}}},
		},
	} {
		var out bytes.Buffer
		p := plan{
			count: len(sequences), seed: seed, parallel: 1, batch: 250, system: 1000, replicas: 2, clock: clock.System{}, out: &out,
			of: func(number int) sequence { return sequences[number-seed] },
		}
		if err := p.run(t.Context()); err != nil {
			t.Errorf("%v\n%s", err, &out)
		}
	}
}

// TestNewHistory shows that a sequence is a function of its number.
func TestNewHistory(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for number := range 100 {
		text := newSequence(number).String()
		if again := newSequence(number).String(); again != text {
			t.Errorf("sequence %d is %s, then %s", number, text, again)
		}
		seen[text] = true
	}
	if len(seen) < 100 {
		t.Errorf("100 numbers give %d sequences", len(seen))
	}
}
