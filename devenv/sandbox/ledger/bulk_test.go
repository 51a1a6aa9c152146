package ledger_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func create(all ...posting) map[string]any {
	return map[string]any{"action": "CREATE_TRANSACTION", "data": postings(all...)}
}

func spendScript(amount int) map[string]any {
	return map[string]any{"action": "CREATE_TRANSACTION", "data": map[string]any{"script": map[string]any{
		"plain": "vars {\n monetary $m\n}\nsend $m (\n source = @a\n destination = @b\n)",
		"vars":  map[string]any{"m": fmt.Sprintf("USD/2 %d", amount)},
	}}}
}

func revertOf(id int) map[string]any {
	return map[string]any{"action": "REVERT_TRANSACTION", "data": map[string]any{"id": id}}
}

func withKey(key string, element map[string]any) map[string]any {
	element["ik"] = key
	return element
}

// outcomes renders the results of a bulk: the error code or the action of each.
func outcomes(t *testing.T, got answer) string {
	t.Helper()
	results, _ := dig(t, got, "data").([]any)
	words := make([]string, len(results))
	for i := range results {
		words[i] = fmt.Sprint(dig(t, got, "data", i, "responseType"))
		if code := dig(t, got, "data", i, "errorCode"); code != nil {
			words[i] = fmt.Sprint(code)
		}
	}
	return strings.Join(words, " ")
}

func TestBulk(t *testing.T) {
	const made, funds = "CREATE_TRANSACTION", "INSUFFICIENT_FUND"
	three := []any{create(usd("world", "a", 10)), create(usd("a", "b", 11)), create(usd("world", "c", 1))}
	for _, test := range []struct {
		name, parameters string
		elements         []any
		status           int
		want             string
		balances         string // of a and c together
	}{
		{"in sequence, stops at a failure", "", three, 400, made + " " + funds + " INTERNAL", "map[USD/2:10]"},
		{"goes on after a failure", "?continueOnFailure=true", three, 400, made + " " + funds + " " + made, "map[USD/2:11]"},
		{"atomic, rolls back", "?atomic=true", three, 400, made + " " + funds + " INTERNAL", "map[]"},
		{"atomic, goes on but rolls back", "?atomic=true&continueOnFailure=true", three, 400, made + " " + funds + " " + made, "map[]"},
		{"atomic scripts see each other", "?atomic=true", []any{create(usd("world", "a", 10)), spendScript(4), spendScript(6)}, 200, made + " " + made + " " + made, "map[USD/2:0]"},
		{"atomic scripts that overspend", "?atomic=true", []any{create(usd("world", "a", 10)), spendScript(4), spendScript(7)}, 400, made + " " + made + " " + funds, "map[]"},
		{
			"atomic, goes on behind a bad script, later elements see the earlier", "?atomic=true&continueOnFailure=true",
			[]any{create(usd("world", "a", 10)), map[string]any{"action": made, "data": map[string]any{"script": map[string]any{"plain": "send"}}}, spendScript(10), spendScript(1)},
			400, made + " COMPILATION_FAILED " + made + " " + funds, "map[]",
		},
		{"a bad address is an error of the element", "?continueOnFailure=true", []any{create(usd("world", "a b", 10)), create(usd("world", "a", 1))}, 400, "INTERNAL " + made, "map[USD/2:1]"},
		{"an element without postings", "", []any{create()}, 400, "COMPILATION_FAILED", "map[]"},
		{
			"a transaction that is reverted already", "?continueOnFailure=true",
			[]any{create(usd("world", "a", 10)), revertOf(1), revertOf(1)},
			400, made + " REVERT_TRANSACTION ALREADY_REVERT", "map[USD/2:0]",
		},
		{"a transaction that is not there, atomic", "?atomic=true", []any{revertOf(77)}, 400, "NOT_FOUND", "map[]"},
		{
			"metadata of a transaction that is not there", "",
			[]any{map[string]any{"action": "ADD_METADATA", "data": map[string]any{"targetType": "TRANSACTION", "targetId": 77, "metadata": map[string]string{"k": "v"}}}},
			400, "NOT_FOUND", "map[]",
		},
		{
			"a key that was used for something else", "?continueOnFailure=true",
			[]any{withKey("k", create(usd("world", "a", 10))), withKey("k", create(usd("world", "a", 11)))},
			400, made + " VALIDATION", "map[USD/2:10]",
		},
		{"nothing", "", []any{}, 200, "", "map[]"},
		{"null", "", nil, 200, "", "map[]"},
		{
			"all actions", "?atomic=true",
			[]any{
				create(usd("world", "a", 10)),
				map[string]any{"action": "ADD_METADATA", "data": map[string]any{"targetType": "TRANSACTION", "targetId": 1, "metadata": map[string]string{"k": "v"}}},
				map[string]any{"action": "ADD_METADATA", "data": map[string]any{"targetType": "ACCOUNT", "targetId": "a", "metadata": map[string]string{"k": "v"}}},
				map[string]any{"action": "DELETE_METADATA", "data": map[string]any{"targetType": "ACCOUNT", "targetId": "a", "key": "k"}},
				map[string]any{"action": "REVERT_TRANSACTION", "data": map[string]any{"id": 1}},
			},
			200, made + " ADD_METADATA ADD_METADATA DELETE_METADATA REVERT_TRANSACTION", "map[USD/2:0]",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := withLedger(t)
			var body any = test.elements
			if test.elements == nil {
				body = "null"
			}
			got := a.want(test.status, a.call("POST", "/v2/l/_bulk"+test.parameters, body))
			if words := outcomes(t, got); words != test.want {
				t.Errorf("results %q, want %q: %s", words, test.want, got.text)
			}
			balances := a.want(http.StatusOK, a.call("GET", "/v2/l/aggregate/balances"+query(`{"$or":[{"$match":{"address":"a"}},{"$match":{"address":"c"}}]}`), nil))
			wantValue(t, dig(t, balances, "data"), test.balances)
		})
	}
	t.Run("in parallel, each once", func(t *testing.T) {
		a := withLedger(t)
		elements := make([]any, 40)
		for i := range elements {
			elements[i] = map[string]any{"action": made, "ik": fmt.Sprint(i), "data": map[string]any{
				"postings": []posting{usd("world", "a", 1)}, "reference": fmt.Sprint("r", i),
			}}
		}
		for range 2 {
			got := a.want(http.StatusOK, a.call("POST", "/v2/l/_bulk?parallel=true", elements))
			references := make(map[any]bool)
			for i := range elements {
				references[dig(t, got, "data", i, "data", "reference")] = true
			}
			wantValue(t, len(references), len(elements))
		}
		wantValue(t, a.balance("a"), "map[USD/2:40]")
	})
	t.Run("keys are shared with single calls", func(t *testing.T) {
		a := withLedger(t)
		single := a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "a", 1)), "Idempotency-Key", "k"))
		element := create(usd("world", "a", 1))
		element["ik"] = "k"
		for _, parameters := range []string{"", "?atomic=true"} {
			got := a.want(http.StatusOK, a.call("POST", "/v2/l/_bulk"+parameters, []any{element}))
			wantValue(t, dig(t, got, "data", 0, "data"), dig(t, single, "data"))
		}
		wantValue(t, a.balance("a"), "map[USD/2:1]")
	})
	t.Run("a key twice within a bulk", func(t *testing.T) {
		for _, parameters := range []string{"", "?atomic=true"} {
			a := withLedger(t)
			element := create(usd("world", "a", 1))
			element["ik"] = "k"
			got := a.want(http.StatusOK, a.call("POST", "/v2/l/_bulk"+parameters, []any{element, create(usd("world", "a", 5)), element, element}))
			wantValue(t, dig(t, got, "data", 2), dig(t, got, "data", 0))
			wantValue(t, dig(t, got, "data", 3), dig(t, got, "data", 0))
			wantValue(t, a.balance("a"), "map[USD/2:6]")
			other := create(usd("world", "a", 2))
			other["ik"] = "k2"
			another := create(usd("world", "a", 3))
			another["ik"] = "k2"
			got = a.want(http.StatusBadRequest, a.call("POST", "/v2/l/_bulk"+parameters, []any{other, another}))
			wantValue(t, outcomes(t, got), made+" VALIDATION")
		}
	})
	t.Run("a rolled back bulk leaves its keys free", func(t *testing.T) {
		a := withLedger(t)
		element := create(usd("world", "a", 1))
		element["ik"] = "k"
		a.want(http.StatusBadRequest, a.call("POST", "/v2/l/_bulk?atomic=true", []any{element, create(usd("b", "c", 1))}))
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "a", 2)), "Idempotency-Key", "k"))
	})
	t.Run("a duplicate reference within an atomic bulk", func(t *testing.T) {
		a := withLedger(t)
		element := map[string]any{"action": made, "data": map[string]any{"postings": []posting{usd("world", "a", 1)}, "reference": "r"}}
		got := a.want(http.StatusBadRequest, a.call("POST", "/v2/l/_bulk?atomic=true", []any{element, element}))
		wantValue(t, outcomes(t, got), made+" CONFLICT")
		wantValue(t, a.balance("a"), "map[]")
	})
	t.Run("a stream", func(t *testing.T) {
		a := withLedger(t)
		const contentType = "application/vnd.formance.ledger.api.v2.bulk+json-stream"
		element := `{"action":"CREATE_TRANSACTION","data":{"postings":[{"source":"world","destination":"a","amount":1,"asset":"USD/2"}]}}`
		got := a.want(http.StatusOK, a.call("POST", "/v2/l/_bulk", element+"\n"+element, "Content-Type", contentType))
		wantValue(t, outcomes(t, got), made+" "+made)
		got = a.want(http.StatusBadRequest, a.call("POST", "/v2/l/_bulk", strings.Replace(element, "world", "b", 1), "Content-Type", contentType))
		wantValue(t, outcomes(t, got), funds)
		a.wantCode("VALIDATION", got)
	})
}
