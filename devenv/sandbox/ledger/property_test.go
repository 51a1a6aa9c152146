package ledger_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// TestProperties leads random lives of a ledger and compares each answer with a
// model of balances kept in this test. Afterwards: all balances of an asset add
// up to zero, nobody but world owes anything unless a force or an overdraft
// said so, pages show every transaction once, and the log is chained.
//
// A failure prints the seed that repeats it (-rapid.seed).
func TestProperties(t *testing.T) {
	a := newAPI(t)
	var ledgers atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		l := &life{T: rt, api: a, path: fmt.Sprintf("/v2/life%d", ledgers.Add(1)), balances: make(map[holding]int64)}
		l.expect(http.StatusNoContent, a.call("POST", l.path, nil))
		l.mayOwe = rapid.Bool().Draw(rt, "may owe")
		actions := []func(){l.post, l.ordered, l.revert, l.repeat, l.atomicBulk}
		if l.mayOwe {
			actions = append(actions, l.overdraft)
		}
		for range rapid.IntRange(1, 15).Draw(rt, "actions") {
			rapid.SampledFrom(actions).Draw(rt, "action")()
		}
		l.checkVolumes()
		l.checkPages()
		checkChain(rt, a, l.path)
	})
}

type holding struct{ account, asset string }

// made is a transaction that the ledger accepted.
type made struct {
	id       string
	postings []posting
	reverted bool
}

// life is one ledger and what the test believes about it.
type life struct {
	*rapid.T
	api      *api
	path     string
	mayOwe   bool
	balances map[holding]int64
	made     []made
	keys     int
	// the last accepted call with its key, for repeat
	last func() answer
}

func (l *life) expect(status int, got answer) answer {
	l.Helper()
	if got.status != status {
		l.Fatalf("status %d, want %d: %s", got.status, status, got.text)
	}
	return got
}

func (l *life) drawPostings() []posting {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) posting {
		accounts := rapid.SampledFrom([]string{"world", "world", "a", "b", "orders:1:payment"})
		return posting{
			Source: accounts.Draw(t, "source"), Destination: accounts.Draw(t, "destination"),
			Amount: rapid.Int64Range(0, 50).Draw(t, "amount"), Asset: rapid.SampledFrom([]string{"USD/2", "JPY"}).Draw(t, "asset"),
		}
	}), 1, 4).Draw(l.T, "postings")
}

// moved returns the balances after the postings, and whether they may happen.
func moved(before map[holding]int64, all []posting, force bool) (after map[holding]int64, ok bool) {
	after = make(map[holding]int64)
	maps.Copy(after, before)
	for _, p := range all {
		from, to := holding{p.Source, p.Asset}, holding{p.Destination, p.Asset}
		if p.Source != "world" && !force && p.Amount > 0 && after[from] < p.Amount {
			return before, false
		}
		after[from] -= p.Amount
		after[to] += p.Amount
	}
	return after, true
}

// send makes a call with a fresh key and compares the answer with the model.
func (l *life) send(path string, body any, ok bool, all []posting) {
	l.Helper()
	l.keys++
	key := fmt.Sprintf("key-%d", l.keys)
	call := func() answer { return l.api.call("POST", l.path+path, body, "Idempotency-Key", key) }
	got := call()
	if !ok {
		l.expect(http.StatusBadRequest, got)
		if got.code() != "INSUFFICIENT_FUND" {
			l.Fatalf("error code %q: %s", got.code(), got.text)
		}
		return
	}
	if got.status != http.StatusOK && got.status != http.StatusCreated {
		l.Fatalf("status %d, want success: %s", got.status, got.text)
	}
	l.last = func() answer {
		again := call()
		if again.header.Get("Idempotency-Hit") != "true" || again.text != got.text {
			l.Fatalf("replay %s\nof %s", again.text, got.text)
		}
		return again
	}
	data, _ := got.body["data"].(map[string]any)
	l.made = append(l.made, made{id: fmt.Sprint(data["id"]), postings: all})
}

func (l *life) post() {
	all := l.drawPostings()
	force := l.mayOwe && rapid.Bool().Draw(l.T, "force")
	after, ok := moved(l.balances, all, force)
	l.send("/transactions", map[string]any{"postings": all, "force": force}, ok, all)
	l.balances = after
}

// ordered spends from two accounts, the first as far as it goes.
func (l *life) ordered() {
	amount := rapid.Int64Range(1, 60).Draw(l.T, "amount")
	fromA := min(amount, max(0, l.balances[holding{"a", "USD/2"}]))
	fromB := amount - fromA
	var all []posting
	if fromA > 0 {
		all = append(all, usd("a", "shop", fromA))
	}
	if fromB > 0 {
		all = append(all, usd("b", "shop", fromB))
	}
	after, ok := moved(l.balances, all, false)
	l.send("/transactions", map[string]any{"script": map[string]any{
		"plain": "vars {\n monetary $m\n account $b\n}\nsend $m (\n source = {\n @a\n $b\n }\n destination = @shop\n)",
		"vars":  map[string]any{"m": map[string]any{"asset": "USD/2", "amount": amount}, "b": "b"},
	}}, ok, all)
	l.balances = after
}

func (l *life) overdraft() {
	amount, limit := rapid.Int64Range(0, 60).Draw(l.T, "amount"), rapid.Int64Range(0, 60).Draw(l.T, "limit")
	ok := amount <= max(0, l.balances[holding{"a", "USD/2"}]+limit)
	all := []posting{usd("a", "shop", amount)}
	l.send("/transactions", map[string]any{"script": map[string]any{
		"plain": fmt.Sprintf("send [USD/2 %d] (\n source = @a allowing overdraft up to [USD/2 %d]\n destination = @shop\n)", amount, limit),
	}}, ok, all)
	if ok {
		l.balances, _ = moved(l.balances, all, true)
	}
}

func (l *life) revert() {
	if len(l.made) == 0 {
		return
	}
	original := &l.made[rapid.IntRange(0, len(l.made)-1).Draw(l.T, "reverted")]
	path := "/transactions/" + original.id + "/revert"
	if original.reverted {
		got := l.expect(http.StatusBadRequest, l.api.call("POST", l.path+path, nil))
		if got.code() != "ALREADY_REVERT" {
			l.Fatalf("error code %q: %s", got.code(), got.text)
		}
		return
	}
	force := l.mayOwe && rapid.Bool().Draw(l.T, "force")
	if force {
		path += "?force=true"
	}
	var all []posting
	for _, p := range slices.Backward(original.postings) {
		all = append(all, posting{Source: p.Destination, Destination: p.Source, Amount: p.Amount, Asset: p.Asset})
	}
	after, _ := moved(l.balances, all, true)
	ok := true
	for _, p := range all { // what counts is how the payers end
		if !force && p.Source != "world" && after[holding{p.Source, p.Asset}] < 0 {
			ok = false
		}
	}
	original.reverted = ok
	l.send(path, nil, ok, all)
	if ok {
		l.balances = after
	}
}

func (l *life) repeat() {
	if l.last != nil {
		l.last()
	}
}

// atomicBulk does all of some transactions or none.
func (l *life) atomicBulk() {
	var elements []any
	after, ok := l.balances, true
	var sets [][]posting
	for range rapid.IntRange(1, 4).Draw(l.T, "elements") {
		all := l.drawPostings()
		elements = append(elements, map[string]any{"action": "CREATE_TRANSACTION", "data": postings(all...)})
		sets = append(sets, all)
		if ok {
			after, ok = moved(after, all, false)
		}
	}
	got := l.api.call("POST", l.path+"/_bulk?atomic=true", elements)
	if !ok {
		l.expect(http.StatusBadRequest, got)
		return
	}
	l.expect(http.StatusOK, got)
	l.balances = after
	results, _ := got.body["data"].([]any)
	for i, result := range results {
		element, _ := result.(map[string]any)
		data, _ := element["data"].(map[string]any)
		l.made = append(l.made, made{id: fmt.Sprint(data["id"]), postings: sets[i]})
	}
}

// pages follows the cursor of a listing to its end.
func (l *life) pages(path string, visit func(row map[string]any)) {
	l.Helper()
	eachRow(l.T, l.api, l.path+path, visit)
}

func (l *life) checkVolumes() {
	l.Helper()
	seen := make(map[holding]int64)
	sums := make(map[string]int64)
	l.pages("/volumes?pageSize=4", func(row map[string]any) {
		h := holding{fmt.Sprint(row["account"]), fmt.Sprint(row["asset"])}
		var balance int64
		if _, err := fmt.Sscan(fmt.Sprint(row["balance"]), &balance); err != nil {
			l.Fatal(err)
		}
		if _, twice := seen[h]; twice {
			l.Fatalf("%v twice", h)
		}
		seen[h] = balance
		sums[h.asset] += balance
		if balance != l.balances[h] {
			l.Fatalf("balance of %v is %d, want %d", h, balance, l.balances[h])
		}
		if balance < 0 && h.account != "world" && !l.mayOwe {
			l.Fatalf("%v owes %d", h, balance)
		}
	})
	for h, b := range l.balances {
		if _, listed := seen[h]; !listed && b != 0 {
			l.Fatalf("%v with %d is not listed", h, b)
		}
	}
	aggregate := l.expect(http.StatusOK, l.api.call("GET", l.path+"/aggregate/balances", nil))
	totals, _ := aggregate.body["data"].(map[string]any)
	for asset, sum := range sums {
		if sum != 0 || fmt.Sprint(totals[asset]) != "0" {
			l.Fatalf("balances in %s add up to %d and %v", asset, sum, totals[asset])
		}
	}
}

func (l *life) checkPages() {
	l.Helper()
	var got []string
	l.pages("/transactions?pageSize=3", func(row map[string]any) {
		id := fmt.Sprint(row["id"])
		got = append(got, id)
		for _, m := range l.made {
			if m.id == id && m.reverted != (row["reverted"] == true) {
				l.Fatalf("transaction %s: reverted %v", id, row["reverted"])
			}
		}
	})
	var want []string
	for _, m := range slices.Backward(l.made) {
		want = append(want, m.id)
	}
	if !slices.Equal(got, want) {
		l.Fatalf("transactions %s, want %s", strings.Join(got, " "), strings.Join(want, " "))
	}
}
