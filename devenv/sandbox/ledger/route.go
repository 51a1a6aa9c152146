package ledger

import (
	"net/http"
	"net/url"
	"strings"
)

// route is one operation of the API. A segment of the pattern in braces is a
// parameter.
type route struct {
	method   string
	segments []string
	inLedger bool // the ledger must exist
	handle   func(*Server, *call) error
}

// routes lists the API. The first match wins: /v2/_info is not a ledger.
func routes() []route {
	in, outside := true, false
	return []route{
		{http.MethodGet, segments("/_healthcheck"), outside, health},
		{http.MethodGet, segments("/_/healthcheck"), outside, health},
		{http.MethodGet, segments("/_info"), outside, info},
		{http.MethodGet, segments("/_/info"), outside, serverInfo},
		{http.MethodGet, segments("/v2/_info"), outside, info},

		{http.MethodGet, segments("/v2"), outside, listLedgers},
		{http.MethodPost, segments("/v2/{ledger}"), outside, createLedger},
		{http.MethodGet, segments("/v2/{ledger}"), outside, readLedger},
		{http.MethodPut, segments("/v2/{ledger}/metadata"), in, updateLedgerMetadata},
		{http.MethodDelete, segments("/v2/{ledger}/metadata/{key}"), in, deleteLedgerMetadata},
		{http.MethodGet, segments("/v2/{ledger}/_info"), in, ledgerInfo},
		{http.MethodGet, segments("/v2/{ledger}/stats"), in, stats},

		{http.MethodPost, segments("/v2/{ledger}/_bulk"), in, bulk},
		{http.MethodGet, segments("/v2/{ledger}/logs"), in, listLogs},

		{http.MethodPost, segments("/v2/{ledger}/transactions"), in, createTransaction},
		{http.MethodGet, segments("/v2/{ledger}/transactions"), in, listTransactions},
		{http.MethodHead, segments("/v2/{ledger}/transactions"), in, countTransactions},
		{http.MethodGet, segments("/v2/{ledger}/transactions/{id}"), in, readTransaction},
		{http.MethodPost, segments("/v2/{ledger}/transactions/{id}/revert"), in, revertTransaction},
		{http.MethodPost, segments("/v2/{ledger}/transactions/{id}/metadata"), in, addTransactionMetadata},
		{http.MethodDelete, segments("/v2/{ledger}/transactions/{id}/metadata/{key}"), in, deleteTransactionMetadata},

		{http.MethodGet, segments("/v2/{ledger}/accounts"), in, listAccounts},
		{http.MethodHead, segments("/v2/{ledger}/accounts"), in, countAccounts},
		{http.MethodGet, segments("/v2/{ledger}/accounts/{address}"), in, readAccount},
		{http.MethodPost, segments("/v2/{ledger}/accounts/{address}/metadata"), in, addAccountMetadata},
		{http.MethodDelete, segments("/v2/{ledger}/accounts/{address}/metadata/{key}"), in, deleteAccountMetadata},

		{http.MethodGet, segments("/v2/{ledger}/aggregate/balances"), in, aggregateBalances},
		{http.MethodGet, segments("/v2/{ledger}/volumes"), in, listVolumes},
	}
}

func segments(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }

// match finds the operation of a request. status is 0, 404 for an unknown path
// or 405 for a known path with another method.
func match(all []route, method string, given []string) (found route, params map[string]string, status int) {
	status = http.StatusNotFound
	for _, candidate := range all {
		p, ok := candidate.accepts(given)
		if !ok {
			continue
		}
		if candidate.method == method {
			return candidate, p, 0
		}
		status = http.StatusMethodNotAllowed
	}
	return route{}, nil, status
}

// accepts compares the path and returns its parameters, unescaped.
func (c route) accepts(given []string) (map[string]string, bool) {
	if len(c.segments) != len(given) {
		return nil, false
	}
	var params map[string]string
	for i, w := range c.segments {
		if !strings.HasPrefix(w, "{") {
			if w != given[i] {
				return nil, false
			}
			continue
		}
		text, err := url.PathUnescape(given[i])
		if err != nil || text == "" {
			return nil, false
		}
		if params == nil {
			params = make(map[string]string, 2)
		}
		params[strings.Trim(w, "{}")] = text
	}
	return params, true
}
