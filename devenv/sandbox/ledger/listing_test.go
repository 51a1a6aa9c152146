package ledger_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// withSales is a ledger with transactions of three days.
func withSales(t *testing.T) *api {
	t.Helper()
	a := withLedger(t)
	for _, sale := range []struct {
		day       int
		reference string
		metadata  map[string]string
		postings  []posting
	}{
		{10, "capture:1", map[string]string{"order": "1", "kind": "sale"}, []posting{usd("world", "orders:1:payment", 100), usd("orders:1:payment", "organizers:g:payable", 90), usd("orders:1:payment", "fees", 10)}},
		{12, "capture:2", map[string]string{"order": "2", "kind": "sale"}, []posting{usd("world", "orders:2:payment", 50), usd("orders:2:payment", "organizers:h:payable", 45)}},
		{11, "receipt:3", map[string]string{"order": "3"}, []posting{{"world", "orders:3:payment", 7, "JPY"}}},
		{13, "", nil, []posting{usd("organizers:g:payable", "orders:1:refunds:re_1", 20)}},
	} {
		body := map[string]any{
			"postings": sale.postings, "metadata": sale.metadata, "timestamp": fmt.Sprintf("2024-01-%dT00:00:00Z", sale.day),
		}
		if sale.reference != "" {
			body["reference"] = sale.reference
		}
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", body))
	}
	a.want(http.StatusNoContent, a.call("POST", "/v2/l/accounts/organizers:g:payable/metadata", map[string]string{"country": "FR"}))
	return a
}

// column lists a property of all rows of a listing.
func column(t *testing.T, a *api, path, property string) string {
	t.Helper()
	var all []string
	eachRow(t, a, path, func(row map[string]any) { all = append(all, fmt.Sprint(row[property])) })
	return strings.Join(all, " ")
}

func TestTransactionFilters(t *testing.T) {
	a := withSales(t)
	for _, test := range []struct{ filter, want string }{
		{`{}`, "4 3 2 1"},
		{`{"$match":{"reference":"capture:2"}}`, "2"},
		{`{"$in":{"reference":["capture:1","receipt:3","none"]}}`, "3 1"},
		{`{"$like":{"reference":"capture:%"}}`, "2 1"},
		{`{"$match":{"metadata[kind]":"sale"}}`, "2 1"},
		{`{"$in":{"metadata[order]":["1","3"]}}`, "3 1"},
		{`{"$exists":{"metadata":"kind"}}`, "2 1"},
		{`{"$not":{"$exists":{"metadata":"kind"}}}`, "4 3"},
		{`{"$match":{"account":"fees"}}`, "1"},
		{`{"$match":{"source":"organizers:g:payable"}}`, "4"},
		{`{"$match":{"destination":"organizers:g:payable"}}`, "1"},
		{`{"$match":{"account":"orders::payment"}}`, "3 2 1"},
		{`{"$match":{"account":"orders:1:..."}}`, "4 1"},
		{`{"$match":{"account":"orders:"}}`, ""},
		{`{"$match":{"destination":"orders:...:re_1"}}`, ""},
		{`{"$and":[{"$gte":{"timestamp":"2024-01-11T00:00:00Z"}},{"$lt":{"timestamp":"2024-01-13T00:00:00Z"}}]}`, "3 2"},
		{`{"$or":[{"$match":{"id":1}},{"$gt":{"id":3}}]}`, "4 1"},
		{`{"$match":{"reverted":false}}`, "4 3 2 1"},
		{`{"$match":{"reverted":true}}`, ""},
	} {
		t.Run(test.filter, func(t *testing.T) {
			if got := column(t, a, "/v2/l/transactions"+query(test.filter)+"&pageSize=2", "id"); got != test.want {
				t.Errorf("transactions %q, want %q", got, test.want)
			}
			count := a.want(http.StatusNoContent, a.call("HEAD", "/v2/l/transactions"+query(test.filter), nil))
			if got, want := count.header.Get("Count"), fmt.Sprint(len(strings.Fields(test.want))); got != want {
				t.Errorf("count %s, want %s", got, want)
			}
		})
	}
	t.Run("in the body", func(t *testing.T) {
		got := a.want(http.StatusOK, a.call("GET", "/v2/l/transactions?pageSize=1", `{"$match":{"account":"orders::payment"}}`))
		wantValue(t, dig(t, got, "cursor", "data", 0, "id"), 3)
		next := a.want(http.StatusOK, a.call("GET", "/v2/l/transactions?cursor="+fmt.Sprint(dig(t, got, "cursor", "next")), nil))
		wantValue(t, dig(t, next, "cursor", "data", 0, "id"), 2)
		back := a.want(http.StatusOK, a.call("GET", "/v2/l/transactions?cursor="+fmt.Sprint(dig(t, next, "cursor", "previous")), nil))
		wantValue(t, dig(t, back, "cursor", "data", 0, "id"), 3)
		wantValue(t, dig(t, back, "cursor", "previous"), nil)
	})
	t.Run("by timestamp", func(t *testing.T) {
		if got := column(t, a, "/v2/l/transactions?sort=timestamp:asc&pageSize=1", "id"); got != "1 3 2 4" {
			t.Errorf("order %s", got)
		}
	})
	t.Run("page sizes", func(t *testing.T) {
		for given, want := range map[string]int{"": 15, "pageSize=0": 15, "pageSize=1000": 100, "pageSize=7": 7} {
			wantValue(t, dig(t, a.call("GET", "/v2/l/transactions?"+given, nil), "cursor", "pageSize"), want)
		}
	})
	t.Run("new transactions do not disturb the pages", func(t *testing.T) {
		first := a.want(http.StatusOK, a.call("GET", "/v2/l/transactions?pageSize=2", nil))
		a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", postings(usd("world", "later", 1))))
		next := a.want(http.StatusOK, a.call("GET", "/v2/l/transactions?cursor="+fmt.Sprint(dig(t, first, "cursor", "next")), nil))
		wantValue(t, dig(t, next, "cursor", "data", 0, "id"), 2)
	})
}

func TestAccounts(t *testing.T) {
	a := withSales(t)
	for _, test := range []struct{ parameters, filter, want string }{
		{"", `{}`, "fees orders:1:payment orders:1:refunds:re_1 orders:2:payment orders:3:payment organizers:g:payable organizers:h:payable world"},
		{"", `{"$match":{"address":"orders::payment"}}`, "orders:1:payment orders:2:payment orders:3:payment"},
		{"", `{"$match":{"address":"orders:..."}}`, "orders:1:payment orders:1:refunds:re_1 orders:2:payment orders:3:payment"},
		{"", `{"$and":[{"$match":{"address":"orders::payment"}},{"$not":{"$match":{"balance[USD/2]":0}}}]}`, "orders:2:payment"},
		{"", `{"$lt":{"balance[USD/2]":0}}`, "world"},
		{"", `{"$gte":{"balance[USD/2]":45}}`, "organizers:g:payable organizers:h:payable"},
		{"", `{"$match":{"metadata[country]":"FR"}}`, "organizers:g:payable"},
		{"", `{"$lt":{"first_usage":"2024-01-11T00:00:00Z"}}`, "fees orders:1:payment organizers:g:payable world"},
		{"&pit=2024-01-11T12:00:00Z", `{}`, "fees orders:1:payment orders:3:payment organizers:g:payable world"},
	} {
		t.Run(test.filter+test.parameters, func(t *testing.T) {
			if got := column(t, a, "/v2/l/accounts"+query(test.filter)+test.parameters+"&pageSize=3", "address"); got != test.want {
				t.Errorf("accounts %q, want %q", got, test.want)
			}
		})
	}
	t.Run("volumes on demand", func(t *testing.T) {
		got := a.want(http.StatusOK, a.call("GET", "/v2/l/accounts/organizers:g:payable", nil))
		wantValue(t, dig(t, got, "data", "volumes"), nil)
		got = a.want(http.StatusOK, a.call("GET", "/v2/l/accounts/organizers:g:payable?expand=volumes&expand=effectiveVolumes", nil))
		wantValue(t, dig(t, got, "data", "volumes", "USD/2"), "map[balance:70 input:90 output:20]")
		got = a.want(http.StatusOK, a.call("GET", "/v2/l/accounts/organizers:g:payable?expand=effectiveVolumes&pit=2024-01-12T00:00:00Z", nil))
		wantValue(t, dig(t, got, "data", "effectiveVolumes", "USD/2", "balance"), 90)
	})
	t.Run("metadata of then", func(t *testing.T) {
		account := a.want(http.StatusOK, a.call("GET", "/v2/l/accounts/organizers:g:payable", nil))
		then := fmt.Sprint(dig(t, account, "data", "updatedAt"))
		a.want(http.StatusNoContent, a.call("POST", "/v2/l/accounts/organizers:g:payable/metadata", map[string]string{"country": "BE", "vat": "1"}))
		a.want(http.StatusNoContent, a.call("DELETE", "/v2/l/accounts/organizers:g:payable/metadata/vat", nil))
		wantValue(t, dig(t, a.call("GET", "/v2/l/accounts/organizers:g:payable", nil), "data", "metadata"), "map[country:BE]")
		wantValue(t, dig(t, a.call("GET", "/v2/l/accounts/organizers:g:payable?pit="+then, nil), "data", "metadata"), "map[country:FR]")
	})
}

func TestBalancesAndVolumes(t *testing.T) {
	a := withSales(t)
	for _, test := range []struct{ parameters, filter, want string }{
		{"", `{}`, "map[JPY:0 USD/2:0]"},
		{"", `{"$match":{"address":"orders::payment"}}`, "map[JPY:7 USD/2:5]"},
		{"", `{"$match":{"address":"organizers:..."}}`, "map[USD/2:115]"},
		{"&pit=2024-01-12T00:00:00Z", `{"$match":{"address":"organizers:..."}}`, "map[USD/2:135]"},
		{"&pit=2024-01-10T00:00:00Z", `{"$match":{"address":"organizers:..."}}`, "map[USD/2:90]"},
		{"", `{"$match":{"address":"nobody"}}`, "map[]"},
		{"", `{"$match":{"metadata[country]":"FR"}}`, "map[USD/2:70]"},
	} {
		t.Run(test.filter+test.parameters, func(t *testing.T) {
			got := a.want(http.StatusOK, a.call("GET", "/v2/l/aggregate/balances"+query(test.filter)+test.parameters, nil))
			wantValue(t, dig(t, got, "data"), test.want)
		})
	}
	volumes := func(path string) string {
		var all []string
		eachRow(t, a, path, func(row map[string]any) {
			all = append(all, fmt.Sprintf("%v %v %v-%v=%v", row["account"], row["asset"], row["input"], row["output"], row["balance"]))
		})
		slices.Sort(all)
		return strings.Join(all, "\n")
	}
	for _, test := range []struct{ name, path, want string }{
		{
			"of an account", "/v2/l/volumes?pageSize=1&query=" + `{"$match":{"account":"organizers:g:payable"}}`,
			"organizers:g:payable USD/2 90-20=70",
		},
		{
			"grouped", "/v2/l/volumes?groupBy=1&pageSize=2",
			"fees USD/2 10-0=10\norders JPY 7-0=7\norders USD/2 170-145=25\norganizers USD/2 135-20=115\nworld JPY 0-7=-7\nworld USD/2 0-150=-150",
		},
		{
			"of some days", "/v2/l/volumes?groupBy=1&startTime=2024-01-12T00:00:00Z&endTime=2024-01-12T00:00:00Z",
			"orders USD/2 50-45=5\norganizers USD/2 45-0=45\nworld USD/2 0-50=-50",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := volumes(test.path); got != test.want {
				t.Errorf("volumes\n%s\nwant\n%s", got, test.want)
			}
		})
	}
	t.Run("back-dating changes the effective volumes after it", func(t *testing.T) {
		got := a.want(http.StatusOK, a.call("POST", "/v2/l/transactions", map[string]any{
			"postings": []posting{usd("world", "fees", 1)}, "timestamp": "2024-01-09T00:00:00Z",
		}))
		wantValue(t, dig(t, got, "data", "postCommitVolumes", "fees", "USD/2", "balance"), 11)
		wantValue(t, dig(t, got, "data", "postCommitEffectiveVolumes", "fees", "USD/2", "balance"), 1)
		first := a.want(http.StatusOK, a.call("GET", "/v2/l/transactions/1?expand=effectiveVolumes", nil))
		wantValue(t, dig(t, first, "data", "postCommitEffectiveVolumes", "fees", "USD/2", "balance"), 11)
		first = a.want(http.StatusOK, a.call("GET", "/v2/l/transactions/1?expand=volumes", nil))
		wantValue(t, dig(t, first, "data", "postCommitVolumes", "fees", "USD/2", "balance"), 10)
	})
}
