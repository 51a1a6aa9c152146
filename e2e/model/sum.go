package main

import (
	"math/big"
	"slices"
	"strings"
)

func add(sums map[string]*big.Int, key string, amount *big.Int) {
	if sums[key] == nil {
		sums[key] = new(big.Int)
	}
	sums[key].Add(sums[key], amount)
}

// keysOf are the keys of all money of an intent, at Stripe or in the books: one per currency that it is kept in.
func (t *truth) keysOf(intent string) []string {
	var keys []string
	for _, sums := range []map[string]*big.Int{t.stripe, t.booked} {
		for key := range sums {
			if strings.HasPrefix(key, intent+" ") {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func equal(a, b *big.Int) bool { return number(a).Cmp(number(b)) == 0 }

func number(n *big.Int) *big.Int {
	if n == nil {
		return new(big.Int)
	}
	return n
}
