package ledger_test

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
)

// posting is one line of a request.
type posting struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Amount      int64  `json:"amount"`
	Asset       string `json:"asset"`
}

func usd(source, destination string, amount int64) posting {
	return posting{source, destination, amount, "USD/2"}
}

func postings(all ...posting) map[string]any { return map[string]any{"postings": all} }

// atOnce sends n requests at once and returns the answers.
func atOnce(n int, send func(i int) answer) []answer {
	answers := make([]answer, n)
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			<-start
			answers[i] = send(i)
		})
	}
	close(start)
	group.Wait()
	return answers
}

// tally counts answers by status and error code.
func tally(answers []answer) map[string]int {
	counts := make(map[string]int)
	for _, a := range answers {
		key := strconv.Itoa(a.status)
		if a.code() != "" {
			key += " " + a.code()
		}
		counts[key]++
	}
	return counts
}

func wantTally(t *testing.T, answers []answer, want map[string]int) {
	t.Helper()
	if got := tally(answers); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("answers %v, want %v", got, want)
	}
}

func (a *api) balance(account string) string {
	a.t.Helper()
	got := a.want(http.StatusOK, a.call("GET", "/v2/l/aggregate/balances", map[string]any{"$match": map[string]any{"address": account}}))
	return fmt.Sprint(got.body["data"])
}

func TestConcurrency(t *testing.T) {
	t.Run("ten spends of 10 from 50: five succeed", func(t *testing.T) {
		a := withLedger(t)
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "wallet", 50))))
		answers := atOnce(10, func(i int) answer {
			return a.call("POST", "/v2/l/transactions", postings(usd("wallet", fmt.Sprintf("shop:%d", i), 10)))
		})
		wantTally(t, answers, map[string]int{"200": 5, "400 INSUFFICIENT_FUND": 5})
		if got := a.balance("wallet"); got != "map[USD/2:0]" {
			t.Errorf("balance %s, want 0", got)
		}
	})
	t.Run("ten scripts of 10 from 50: five succeed", func(t *testing.T) {
		a := withLedger(t)
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "wallet", 50))))
		answers := atOnce(10, func(i int) answer {
			return a.call("POST", "/v2/l/transactions", map[string]any{"script": map[string]any{
				"plain": "vars {\naccount $shop\n}\nsend [USD/2 10] (\nsource = {\n@wallet\n@wallet2\n}\ndestination = $shop\n)",
				"vars":  map[string]any{"shop": fmt.Sprintf("shop:%d", i)},
			}})
		})
		wantTally(t, answers, map[string]int{"200": 5, "400 INSUFFICIENT_FUND": 5})
	})
	t.Run("reverts of one transaction: one succeeds", func(t *testing.T) {
		a := withLedger(t)
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "wallet", 50))))
		answers := atOnce(8, func(int) answer { return a.call("POST", "/v2/l/transactions/1/revert", nil) })
		wantTally(t, answers, map[string]int{"201": 1, "400 ALREADY_REVERT": 7})
	})
	t.Run("creation of one ledger: one succeeds", func(t *testing.T) {
		a := newAPI(t)
		answers := atOnce(8, func(int) answer { return a.call("POST", "/v2/l", nil) })
		wantTally(t, answers, map[string]int{"204": 1, "400 LEDGER_ALREADY_EXISTS": 7})
	})
	t.Run("one key without reference: one effect, all get it", func(t *testing.T) {
		a := withLedger(t)
		answers := atOnce(8, func(int) answer {
			return a.call("POST", "/v2/l/transactions", postings(usd("world", "wallet", 50)), "Idempotency-Key", "k")
		})
		wantTally(t, answers, map[string]int{"200": 8})
		hits := 0
		for _, got := range answers {
			if got.header.Get("Idempotency-Hit") == "true" {
				hits++
			}
			if got.text != answers[0].text {
				t.Errorf("answers differ: %s and %s", got.text, answers[0].text)
			}
		}
		if hits != 7 {
			t.Errorf("%d hits, want 7", hits)
		}
		if got := a.balance("wallet"); got != "map[USD/2:50]" {
			t.Errorf("balance %s, want 50", got)
		}
	})
	t.Run("one key with a reference: one effect, retries get it", func(t *testing.T) {
		a := withLedger(t)
		body := postings(usd("world", "wallet", 50))
		body["reference"] = "r"
		answers := atOnce(8, func(int) answer {
			return a.call("POST", "/v2/l/transactions", body, "Idempotency-Key", "k")
		})
		made := 0
		for _, got := range answers {
			switch {
			case got.status == http.StatusOK && got.header.Get("Idempotency-Hit") == "":
				made++
			case got.status == http.StatusOK, got.code() == "CONFLICT":
			default:
				t.Errorf("unexpected answer %d %s", got.status, got.text)
			}
		}
		if made != 1 {
			t.Errorf("%d calls made a transaction, want 1", made)
		}
		again := a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", body, "Idempotency-Key", "k"))
		if again.header.Get("Idempotency-Hit") != "true" {
			t.Error("a retry is no hit")
		}
	})
	t.Run("atomic bulks across the same accounts all succeed", func(t *testing.T) {
		a := withLedger(t)
		answers := atOnce(8, func(i int) answer {
			var elements []any
			for j := range 10 {
				// Each bulk goes through the accounts in another order.
				account := fmt.Sprintf("account:%d", (i*7+j*3)%10)
				elements = append(elements, map[string]any{"action": "CREATE_TRANSACTION", "data": postings(usd("world", account, 1))})
			}
			return a.call("POST", "/v2/l/_bulk?atomic=true", elements)
		})
		wantTally(t, answers, map[string]int{"200": 8})
		if got := a.balance("account:"); got != "map[USD/2:80]" {
			t.Errorf("balance %s, want 80", got)
		}
	})
}

// TestConflictOfParallelCallsWithOneKey holds a post between its lock and its commit, so that
// a second call with the same key and reference meets the reference first.
func TestConflictOfParallelCallsWithOneKey(t *testing.T) {
	a := withLedger(t)
	a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "wallet", 1))))
	body := postings(usd("world", "wallet", 50))
	body["reference"] = "r"
	// The volumes rows are locked from outside: both calls look the key up, find
	// nothing, and queue.
	release := a.lockVolumes()
	first := make(chan answer, 2)
	for range 2 {
		go func() { first <- a.call("POST", "/v2/l/transactions", body, "Idempotency-Key", "k") }()
	}
	a.waitForBlocked(2)
	release()
	wantTally(t, []answer{<-first, <-first}, map[string]int{"200": 1, "409 CONFLICT": 1})
	again := a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", body, "Idempotency-Key", "k"))
	if again.header.Get("Idempotency-Hit") != "true" {
		t.Error("a retry is no hit")
	}
}
