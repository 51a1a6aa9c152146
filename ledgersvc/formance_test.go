package ledgersvc_test

import (
	"net/http"
	"testing"

	formance "github.com/formancehq/formance-sdk-go/v3"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/operations"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/shared"
)

// transactions reads all transactions of the ledger through the SDK, past the service: first amount by reference.
func (b *books) transactions(tb testing.TB) map[string]string {
	tb.Helper()
	held := make(map[string]string)
	b.eachTransaction(tb, func(tx shared.V2Transaction) {
		if tx.Reference == nil {
			tb.Errorf("transaction %v has no reference", tx.ID)
			return
		}
		if _, twice := held[*tx.Reference]; twice {
			tb.Errorf("reference %s is held twice", *tx.Reference)
		}
		held[*tx.Reference] = tx.Postings[0].Amount.String()
	})
	return held
}

// eachTransaction calls f for all transactions of the ledger.
func (b *books) eachTransaction(tb testing.TB, f func(tx shared.V2Transaction)) {
	tb.Helper()
	sdk := b.sdk()
	size := int64(100)
	request := operations.V2ListTransactionsRequest{Ledger: b.ledger, PageSize: &size}
	for {
		res, err := sdk.Ledger.V2.ListTransactions(tb.Context(), request)
		if err != nil {
			tb.Fatal(err)
		}
		page := res.V2TransactionsCursorResponse.Cursor
		for _, tx := range page.Data {
			f(tx)
		}
		if page.Next == nil {
			return
		}
		request = operations.V2ListTransactionsRequest{Ledger: b.ledger, Cursor: page.Next}
	}
}

// sdk is a client that reaches the books under the SDK's own path or a bare ledger's.
func (b *books) sdk() *formance.Formance {
	return formance.New(formance.WithServerURL(b.url), formance.WithClient(&http.Client{Transport: bare{}}))
}

// bare takes the gateway's prefix off the path: a real server without a gateway and the sandbox both serve /v2.
type bare struct{}

func (bare) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Path = r.URL.Path[len("/api/ledger"):]
	return http.DefaultTransport.RoundTrip(r)
}

// balances reads balances through the SDK, past the service, by account and asset: of the accounts that fit one of the
// patterns, or of all.
func (b *books) balances(tb testing.TB, patterns ...string) map[string]string {
	tb.Helper()
	all := make(map[string]string)
	sdk := b.sdk()
	size := int64(100)
	request := operations.V2GetVolumesWithBalancesRequest{Ledger: b.ledger, PageSize: &size}
	var fits []any
	for _, pattern := range patterns {
		fits = append(fits, map[string]any{"$match": map[string]any{"account": pattern}})
	}
	if len(fits) > 0 {
		request.Query = map[string]any{"$or": fits}
	}
	for {
		res, err := sdk.Ledger.V2.GetVolumesWithBalances(tb.Context(), request)
		if err != nil {
			tb.Fatal(err)
		}
		page := res.V2VolumesWithBalanceCursorResponse.Cursor
		for _, v := range page.Data {
			all[v.Account+" "+v.Asset] = v.Balance.String()
		}
		if page.Next == nil {
			return all
		}
		request = operations.V2GetVolumesWithBalancesRequest{Ledger: b.ledger, Cursor: page.Next}
	}
}
