package ledgersvc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"pgregory.net/rapid"

	"github.com/dayof/dayof/internal/chassis/problem"
)

// report makes all calls in a random order, some twice, and puts off those whose time has not come.
func (l *scenario) report(t *rapid.T, w *harness) {
	seed := rapid.Uint64().Draw(t, "disorder")
	random := rand.New(rand.NewPCG(seed, 0))
	queue := append([]fact(nil), l.facts...)
	for _, f := range l.facts {
		if random.IntN(3) == 0 {
			queue = append(queue, f)
		}
	}
	random.Shuffle(len(queue), func(i, j int) { queue[i], queue[j] = queue[j], queue[i] })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for turns := 0; len(queue) > 0; turns++ {
		f := queue[0]
		queue = queue[1:]
		err := f.call(keyed(ctx, f.key), w)
		switch problem.Reason(err) {
		case "":
		case "CAPTURE_NOT_POSTED", "REFUND_NOT_POSTED", "DISPUTE_NOT_WITHDRAWN", "TRANSFER_NOT_POSTED":
			queue = append(queue, f)
		default:
			t.Fatalf("%s: %v", f.key, err)
		}
		if turns > 100*len(l.facts) {
			t.Fatalf("%d facts never find their time", len(queue))
		}
	}
}

// accounts are patterns of all accounts that the scenario can touch. Others are not read, so that the thousandth scenario takes
// as long as the first.
func (l *scenario) accounts() []string {
	all := []string{
		"stripe:platform:...", "platform:...", "taxes:...", "organizers:" + l.org + ":...", "stripe:connect:" + l.acct,
		"bank:platform:ba_" + l.name,
	}
	for n := range l.orders {
		all = append(all, "orders:"+l.orderID(n+1)+":...")
	}
	return all
}

// check compares what the ledger gained with the model, and that no account has the wrong sign.
func (l *scenario) check(t *rapid.T, before, after map[string]string) {
	got := make(map[string]int64)
	for account, balance := range after {
		address, asset, _ := strings.Cut(account, " ")
		value := whole(t, balance)
		if value > 0 && neverAbove(address) || value < 0 && neverBelow(address) {
			t.Errorf("%s is %s", account, balance)
		}
		gain := value
		if earlier, ok := before[account]; ok {
			gain -= whole(t, earlier)
		}
		if gain == 0 {
			continue
		}
		bucket, sign := l.bucket(address)
		if bucket == "" || asset != l.asset {
			t.Errorf("%s gained %d in a scenario that has nothing to do with it", account, gain)
		}
		got[bucket] += sign * gain
	}
	for bucket, want := range l.want {
		if got[bucket] != want {
			t.Errorf("%s is %d, want %d", bucket, got[bucket], want)
		}
	}
	for bucket, g := range got {
		if _, ok := l.want[bucket]; !ok && g != 0 {
			t.Errorf("%s is %d, want 0", bucket, g)
		}
	}
}

// bucket says what of the model an account holds, and whether money in it is a negative balance.
func (l *scenario) bucket(address string) (name string, sign int64) {
	switch {
	case strings.HasPrefix(address, "stripe:platform:main:"):
		return "platform", -1
	case address == "stripe:connect:"+l.acct:
		return "connect", -1
	case address == "bank:platform:ba_"+l.name:
		return "bank", -1
	case strings.HasPrefix(address, "platform:costs:"):
		return "costs", 1
	case strings.HasPrefix(address, "platform:revenue:application_fees:"):
		return "revenue", 1
	case address == "taxes:de:vat":
		return "tax", 1
	case address == "organizers:"+l.org+":payable", address == "organizers:"+l.org+":receivable":
		return "owed", 1
	case address == "organizers:"+l.org+":connect", address == "organizers:"+l.org+":connect:receivable":
		return "owned", 1
	case strings.HasPrefix(address, "organizers:"+l.org+":payouts:"):
		return "transit", 1
	case strings.HasPrefix(address, "orders:order"+l.name) && strings.HasSuffix(address, ":payment"):
		return "waiting", 1
	case strings.HasPrefix(address, "orders:order"+l.name) && strings.Contains(address, ":refunds:"):
		return "refunds", 1 // never in the model: must be zero
	case strings.HasPrefix(address, "orders:order"+l.name) && strings.Contains(address, ":disputes:"):
		return "undecided", 1
	}
	return "", 0
}

// neverAbove says that a balance may not be above zero. A shard of a clearing account may be: only their sum is money.
func neverAbove(address string) bool {
	return strings.HasPrefix(address, "platform:costs:") || strings.HasSuffix(address, ":receivable")
}

// neverBelow says that a balance may not be below zero: what we owe, earned, or let through.
func neverBelow(address string) bool {
	return !neverAbove(address) && !strings.HasPrefix(address, "stripe:") && !strings.HasPrefix(address, "bank:") &&
		!strings.Contains(address, ":disputes:")
}

func whole(t *rapid.T, text string) int64 {
	var n int64
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
