package ledger_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/sandbox/ledger"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// refusal is a call that must fail, in a ledger where world has paid 100 to a.
type refusal struct {
	name, method, path string
	body               any
	headers            []string
	status             int
	code               string
}

func TestRefusals(t *testing.T) {
	a := withLedger(t)
	a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", map[string]any{
		"postings": []posting{usd("world", "a", 100), {"world", "a", 5, "JPY"}}, "reference": "taken", "metadata": map[string]string{"k": "v"},
	}, "Idempotency-Key", "used"))
	const transactions, bad, internal = "/v2/l/transactions", "VALIDATION", "INTERNAL"
	amount := func(text string) string {
		return `{"postings":[{"source":"world","destination":"a","amount":` + text + `,"asset":"USD/2"}]}`
	}
	script := func(plain string, vars any) map[string]any {
		return map[string]any{"script": map[string]any{"plain": plain, "vars": vars}}
	}
	const sendVar = "vars {\n monetary $m\n}\nsend $m (\n source = @world\n destination = @a\n)"
	for _, test := range []refusal{
		{"a ledger that nobody created", "GET", "/v2/nobody/transactions", nil, nil, 404, "LEDGER_NOT_FOUND"},
		{"a ledger to read that nobody created", "GET", "/v2/nobody", nil, nil, 404, "NOT_FOUND"},
		{"a ledger twice", "POST", "/v2/l", nil, nil, 400, "LEDGER_ALREADY_EXISTS"},
		{"a ledger with a bad name", "POST", "/v2/a%20b", nil, nil, 400, bad},
		{"no postings", "POST", transactions, map[string]any{}, nil, 400, "NO_POSTINGS"},
		{"postings and a script", "POST", transactions, map[string]any{"postings": []posting{usd("world", "a", 1)}, "script": map[string]any{"plain": sendVar}}, nil, 400, bad},
		{"a body that is not JSON", "POST", transactions, "{", nil, 400, bad},
		{"a bad address", "POST", transactions, postings(usd("world", "a b", 1)), nil, 400, bad},
		{"an empty segment", "POST", transactions, postings(usd("world", "a::b", 1)), nil, 400, bad},
		{"a bad asset", "POST", transactions, postings(posting{"world", "a", 1, "usd"}), nil, 400, bad},
		{"a negative amount", "POST", transactions, amount("-1"), nil, 400, bad},
		{"an amount with a fraction", "POST", transactions, amount("1.5"), nil, 400, bad},
		{"an amount with an exponent", "POST", transactions, amount("1e3"), nil, 400, bad},
		{"an amount in quotes", "POST", transactions, amount(`"12"`), nil, 400, bad},
		{"an amount that no database can hold", "POST", transactions, amount("1" + strings.Repeat("0", 200_000)), nil, 500, internal},
		{"metadata that is a number", "POST", transactions, `{"postings":[{"source":"world","destination":"a","amount":1,"asset":"USD"}],"metadata":{"n":1}}`, nil, 400, bad},
		{"a bad timestamp", "POST", transactions, `{"postings":[{"source":"world","destination":"a","amount":1,"asset":"USD"}],"timestamp":"yesterday"}`, nil, 400, bad},
		{"too little money", "POST", transactions, postings(usd("a", "b", 101)), nil, 400, "INSUFFICIENT_FUND"},
		{"spending before being paid", "POST", transactions, postings(usd("b", "c", 1), usd("world", "b", 1)), nil, 400, "INSUFFICIENT_FUND"},
		{"a reference that is taken", "POST", transactions, map[string]any{"postings": []posting{usd("world", "a", 1)}, "reference": "taken"}, nil, 409, "CONFLICT"},
		{"a key used for something else", "POST", transactions, postings(usd("world", "a", 1)), []string{"Idempotency-Key", "used"}, 400, bad},
		{"a key used for another operation", "POST", "/v2/l/accounts/a/metadata", map[string]string{"k": "v"}, []string{"Idempotency-Key", "used"}, 400, bad},
		{"a key that is too long", "POST", transactions, postings(usd("world", "a", 1)), []string{"Idempotency-Key", strings.Repeat("k", 256)}, 500, internal},
		{"a script that does not compile", "POST", transactions, script("send", nil), nil, 400, "COMPILATION_FAILED"},
		{"a missing variable", "POST", transactions, script(sendVar, nil), nil, 400, "COMPILATION_FAILED"},
		{"a variable too many", "POST", transactions, script(sendVar, map[string]string{"m": "USD/2 1", "x": "1"}), nil, 400, "COMPILATION_FAILED"},
		{"a variable of the wrong type", "POST", transactions, script(sendVar, map[string]string{"m": "1"}), nil, 400, "COMPILATION_FAILED"},
		{"metadata of script and request", "POST", transactions, map[string]any{
			"script": map[string]any{"plain": "set_tx_meta(\"k\", \"v\")\nsend [USD/2 1] (\n source = @world\n destination = @a\n)"}, "metadata": map[string]string{"k": "w"},
		}, nil, 400, "METADATA_OVERRIDE"},
		{"a script without money, forced", "POST", transactions, map[string]any{
			"script": map[string]any{"plain": "send [USD/2 1] (\n source = @b\n destination = @a\n)"}, "force": true,
		}, nil, 400, "INSUFFICIENT_FUND"},
		{"a transaction that is not there", "GET", transactions + "/99", nil, nil, 404, "NOT_FOUND"},
		{"a transaction that is not a number", "GET", transactions + "/x", nil, nil, 400, bad},
		{"a revert of nothing", "POST", transactions + "/99/revert", nil, nil, 404, "NOT_FOUND"},
		{"metadata of nothing", "POST", transactions + "/99/metadata", map[string]string{"k": "v"}, nil, 404, "NOT_FOUND"},
		{"metadata that is not there", "DELETE", transactions + "/1/metadata/absent", nil, nil, 404, "NOT_FOUND"},
		{"an account that nobody used", "GET", "/v2/l/accounts/nobody", nil, nil, 404, "NOT_FOUND"},
		{"a filter on an unknown property", "GET", transactions, map[string]any{"$match": map[string]any{"amount": 1}}, nil, 400, bad},
		{"a filter with an unknown operator", "GET", transactions, map[string]any{"$near": map[string]any{"id": 1}}, nil, 400, bad},
		{"a cursor of nothing", "GET", transactions + "?cursor=x!", nil, nil, 400, bad},
		{"a page below zero", "GET", transactions + "?pageSize=-1", nil, nil, 400, bad},
		{"a bad point in time", "GET", "/v2/l/accounts?pit=yesterday", nil, nil, 400, bad},
		{"an unknown order", "GET", transactions + "?sort=amount", nil, nil, 500, internal},
		{"an order that is not paged", "GET", transactions + "?sort=reference", nil, nil, 400, bad},
		{"any balance below zero, of two assets", "GET", "/v2/l/accounts", map[string]any{"$lt": map[string]any{"balance": 0}}, nil, 500, internal},
		{"an unknown route", "GET", "/v2/l/nothing", nil, nil, 404, ""},
		{"a wrong method", "PATCH", transactions, nil, nil, 405, ""},
		{"a bulk both atomic and parallel", "POST", "/v2/l/_bulk?atomic=true&parallel=true", []any{}, nil, 412, bad},
		{"a bulk of an unknown action", "POST", "/v2/l/_bulk", []any{map[string]any{"action": "DROP", "data": map[string]any{}}}, nil, 400, bad},
		{"a bulk of 101", "POST", "/v2/l/_bulk", make101(), nil, 413, "BULK_SIZE_EXCEEDED"},
		{"features", "POST", "/v2/other", map[string]any{"features": map[string]string{"HASH_LOGS": "DISABLED"}}, nil, 400, bad},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := a.call(test.method, test.path, test.body, test.headers...)
			if got.status != test.status || got.code() != test.code {
				t.Errorf("answer %d %q, want %d %q: %.300s", got.status, got.code(), test.status, test.code, got.text)
			}
			if test.code != "" && (got.body["errorMessage"] == nil || got.header.Get("Content-Type") != "application/json") {
				t.Errorf("answer of type %s: %.300s", got.header.Get("Content-Type"), got.text)
			}
		})
	}
	if got := a.balance("a"); got != "map[JPY:5 USD/2:100]" {
		t.Errorf("refused calls moved money: %s", got)
	}
}

func make101() []any {
	all := make([]any, 101)
	for i := range all {
		all[i] = map[string]any{"action": "CREATE_TRANSACTION", "data": postings(usd("world", "a", 1))}
	}
	return all
}

// dig takes a value out of an answer: keys and indices.
func dig(t *testing.T, got answer, path ...any) any {
	t.Helper()
	var v any = got.body
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				t.Fatalf("no %v of %v in %s", step, path, got.text)
			}
			v = m[step]
		case int:
			list, ok := v.([]any)
			if !ok || step >= len(list) {
				t.Fatalf("no element %d of %v in %s", step, path, got.text)
			}
			v = list[step]
		}
	}
	return v
}

func wantValue(t *testing.T, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func query(filter string) string { return "?query=" + url.QueryEscape(filter) }

func TestTransactions(t *testing.T) {
	t.Run("money passes through an account", func(t *testing.T) {
		a := withLedger(t)
		got := a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "o", 10), usd("o", "x", 7), usd("o", "y", 3))))
		wantValue(t, dig(t, got, "data", "postCommitVolumes", "o", "USD/2"), "map[balance:0 input:10 output:10]")
		wantValue(t, dig(t, got, "data", "preCommitVolumes", "o", "USD/2"), "map[balance:0 input:0 output:0]")
	})
	t.Run("amounts of any size, as text when asked", func(t *testing.T) {
		a := withLedger(t)
		big := "1" + strings.Repeat("0", 10_000)
		body := `{"postings":[{"source":"world","destination":"a","amount":` + big + `,"asset":"USD/2"}]}`
		got := a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", body, "Formance-Bigint-As-String", "true"))
		if dig(t, got, "data", "postings", 0, "amount") != big || dig(t, got, "data", "postCommitVolumes", "world", "USD/2", "balance") != "-"+big {
			t.Errorf("amount or balance is not the text %.20s...", big)
		}
	})
	t.Run("a failed call leaves the key and the reference free", func(t *testing.T) {
		a := withLedger(t)
		spend := map[string]any{"postings": []posting{usd("a", "b", 1)}, "reference": "r"}
		a.wantCode("INSUFFICIENT_FUND", a.call("POST", "/v2/l/transactions", spend, "Idempotency-Key", "k"))
		earn := map[string]any{"postings": []posting{usd("world", "a", 1)}, "reference": "r"}
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", earn, "Idempotency-Key", "k"))
	})
	t.Run("what counts as the same input", func(t *testing.T) {
		a := withLedger(t)
		first := a.want(http.StatusOK, a.call("POST", "/v2/l/transactions",
			`{"postings":[{"source":"world","destination":"a","amount":1,"asset":"USD/2"}],"metadata":{"a":"1","b":"2"},"reference":""}`, "Idempotency-Key", "k"))
		again := a.want(http.StatusOK, a.call("POST", "/v2/l/transactions",
			`{ "metadata":{"b":"2","a":"1"}, "unknown":true, "postings":[{"asset":"USD/2","amount":1,"destination":"a","source":"world"}]}`, "Idempotency-Key", "k"))
		if again.text != first.text || again.header.Get("Idempotency-Hit") != "true" || first.header.Get("Idempotency-Hit") != "" {
			t.Errorf("replay %s\nof %s", again.text, first.text)
		}
		a.wantCode("VALIDATION", a.call("POST", "/v2/l/transactions",
			`{"postings":[{"source":"world","destination":"a","amount":1,"asset":"USD/2"}],"metadata":{"a":"1"}}`, "Idempotency-Key", "k"))
	})
	t.Run("a replay answers with the state of then", func(t *testing.T) {
		a := withLedger(t)
		first := a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "a", 1)), "Idempotency-Key", "k"))
		a.want(http.StatusNoContent, a.call("POST", "/v2/l/transactions/1/metadata", map[string]string{"k": "v"}))
		a.want(http.StatusCreated, a.call("POST", "/v2/l/transactions/1/revert", nil))
		again := a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "a", 1)), "Idempotency-Key", "k"))
		if again.text != first.text {
			t.Errorf("replay %s\nof %s", again.text, first.text)
		}
	})
	t.Run("a duplicate reference burns an id, missing funds do not", func(t *testing.T) {
		a := withLedger(t)
		body := map[string]any{"postings": []posting{usd("world", "a", 1)}, "reference": "r"}
		wantValue(t, dig(t, a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", body)), "data", "id"), 1)
		a.wantCode("CONFLICT", a.call("POST", "/v2/l/transactions", body))
		a.wantCode("INSUFFICIENT_FUND", a.call("POST", "/v2/l/transactions", postings(usd("b", "a", 1))))
		wantValue(t, dig(t, a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "a", 1)))), "data", "id"), 3)
	})
	t.Run("a dry run leaves accounts behind, but not a transaction", func(t *testing.T) {
		a := withLedger(t)
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "a", 1))))
		got := a.want(http.StatusOK, a.call("POST", "/v2/l/transactions?dryRun=true", postings(usd("world", "dry", 1)), "Idempotency-Key", "k"))
		wantValue(t, dig(t, got, "data", "postCommitVolumes", "dry", "USD/2", "balance"), 1)
		a.want(http.StatusOK, a.call("GET", "/v2/l/accounts/dry", nil))
		wantValue(t, dig(t, a.call("GET", "/v2/l/transactions", nil), "cursor", "data"), dig(t, a.call("GET", "/v2/l/transactions?pageSize=1", nil), "cursor", "data"))
		wantValue(t, a.balance("dry"), "map[]")
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "other", 1)), "Idempotency-Key", "k"))
	})
	t.Run("a revert of a revert", func(t *testing.T) {
		a := withLedger(t)
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", map[string]any{"postings": []posting{usd("world", "a", 10), usd("a", "b", 4)}, "timestamp": "2024-01-01T00:00:00Z"}))
		back := a.want(http.StatusCreated, a.call("POST", "/v2/l/transactions/1/revert?atEffectiveDate=true", nil))
		wantValue(t, dig(t, back, "data", "timestamp"), "2024-01-01T00:00:00Z")
		wantValue(t, dig(t, back, "data", "postings", 0, "source"), "b")
		wantValue(t, dig(t, back, "data", "metadata"), "map[com.formance.spec/state/reverts:1]")
		a.wantCode("ALREADY_REVERT", a.call("POST", "/v2/l/transactions/1/revert", nil))
		forth := a.want(http.StatusCreated, a.call("POST", "/v2/l/transactions/2/revert", map[string]any{
			"metadata": map[string]string{"why": "mistake", "com.formance.spec/state/reverts": "7"},
		}))
		wantValue(t, dig(t, forth, "data", "metadata"), "map[com.formance.spec/state/reverts:2 why:mistake]")
		a.wantCode("ALREADY_REVERT", a.call("POST", "/v2/l/transactions/1/revert", nil))
		wantValue(t, a.balance("a"), "map[USD/2:6]")
	})
	t.Run("a revert needs the money, or force", func(t *testing.T) {
		a := withLedger(t)
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "a", 10))))
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("a", "b", 4))))
		a.wantCode("INSUFFICIENT_FUND", a.call("POST", "/v2/l/transactions/1/revert", nil))
		wantValue(t, dig(t, a.call("GET", "/v2/l/transactions/1", nil), "data", "reverted"), false)
		a.want(http.StatusCreated, a.call("POST", "/v2/l/transactions/1/revert?force=true", nil))
		wantValue(t, a.balance("a"), "map[USD/2:-4]")
	})
	t.Run("times are UTC microseconds", func(t *testing.T) {
		a := withLedger(t)
		got := a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", map[string]any{
			"postings": []posting{usd("world", "a", 1)}, "timestamp": "2031-05-01T12:00:00.1234567+02:00",
		}))
		wantValue(t, dig(t, got, "data", "timestamp"), "2031-05-01T10:00:00.123457Z")
	})
	t.Run("an account that an earlier write waited for", func(t *testing.T) {
		now := clock.NewFake(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
		a := newAPIOf(t, ledger.Config{Clock: now})
		a.want(http.StatusNoContent, a.call("POST", "/v2/l", nil))
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "a", 1))))
		now.Advance(-time.Second) // this one began before, and its lock came late
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "a", 1))))
		now.Advance(time.Minute)
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "a", 1))))
		got := a.call("GET", "/v2/l/accounts/a", nil)
		for _, field := range []string{"firstUsage", "insertionDate", "updatedAt"} {
			if at := dig(t, got, "data", field); at != "2026-05-01T11:59:59Z" {
				t.Errorf("%s is %v", field, at)
			}
		}
	})
	t.Run("metadata of an account with a bad address", func(t *testing.T) {
		a := withLedger(t)
		a.want(http.StatusNoContent, a.call("POST", "/v2/l/accounts/bad%20acct/metadata", map[string]string{"k": "v"}))
		wantValue(t, dig(t, a.call("GET", "/v2/l/accounts/bad%20acct", nil), "data", "metadata"), "map[k:v]")
	})
}
