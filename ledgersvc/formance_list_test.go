package ledgersvc

import (
	"encoding/json"
	"testing"

	"github.com/formancehq/formance-sdk-go/v3/pkg/models/shared"
	"github.com/google/go-cmp/cmp"

	"github.com/dayof/dayof/ledgersvc/journal"
)

// A page of transactions means to us what the SDK reads from it, also where the ledger leaves fields out or has more than we know.
func TestTransactionPageIsThatOfTheSDK(t *testing.T) {
	t.Parallel()
	body := []byte(`{"cursor":{"pageSize":100,"hasMore":true,"next":"abc","data":[
		{"id":7,"timestamp":"2026-03-01T10:00:00.123456Z","insertedAt":"2026-03-01T10:00:01Z","reference":"capture:pi_1","reverted":false,
			"metadata":{"kind":"sale","order_id":"o1","fingerprint":"00ff"},"postCommitVolumes":{"a":{"EUR/2":{"input":1,"output":0,"balance":1}}},
			"postings":[{"source":"a","destination":"b","asset":"EUR/2","amount":4900},{"source":"b","destination":"c","asset":"EUR/2","amount":0}]},
		{"id":6,"timestamp":"2026-03-01T09:00:00Z","metadata":{},"reverted":true,"later":{"unknown":[1]},
			"postings":[{"source":"world","destination":"x","asset":"USD","amount":123456789012345678901234567890}]}]}}`)
	page, err := readTransactionPage(body)
	if err != nil {
		t.Fatal(err)
	}
	var sdk shared.V2TransactionsCursorResponse
	if err := json.Unmarshal(body, &sdk); err != nil {
		t.Fatal(err)
	}
	var got, want []journal.Entry
	for _, transaction := range page.Data {
		got = append(got, journal.AnyEntryFromTransaction(transaction.shared()))
	}
	for _, transaction := range sdk.Cursor.Data {
		want = append(want, journal.AnyEntryFromTransaction(transaction))
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 2 {
		t.Errorf("entries (-SDK +ours):\n%s", diff)
	}
	if page.HasMore != sdk.Cursor.HasMore || *page.Next != *sdk.Cursor.Next {
		t.Errorf("page = %v, %s", page.HasMore, *page.Next)
	}
}

// An answer without a page is no empty page: a reconciliation would take it for a ledger without transactions.
func TestAnswerWithoutPageIsAnError(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `{}`, `{"cursor":null}`, `{"cursor":{"hasMore":false}}`, `{"cursor":{"data":null}}`, `[]`} {
		if _, err := readTransactionPage([]byte(body)); err == nil {
			t.Errorf("%q was read as a page", body)
		}
	}
}
