package ledger_test

import (
	"errors"
	"math/big"
	"net/http"
	"testing"
	"time"

	formance "github.com/formancehq/formance-sdk-go/v3"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/operations"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/sdkerrors"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/shared"

	"github.com/dayof/dayof/devenv/sandbox/ledger"
)

func newSDK(t *testing.T) *formance.V2 {
	t.Helper()
	return newSDKClient(t).V2
}

// newSDKClient returns a client of a server with a ledger named l.
func newSDKClient(t *testing.T) *formance.Ledger {
	t.Helper()
	a := newAPIOf(t, ledger.Config{Gateway: true})
	client := formance.New(formance.WithServerURL(a.base), formance.WithClient(a.client)).Ledger
	if _, err := client.V2.CreateLedger(t.Context(), operations.V2CreateLedgerRequest{Ledger: "l"}); err != nil {
		t.Fatal(err)
	}
	return client
}

func sdkCode(t *testing.T, err error) string {
	t.Helper()
	var refused *sdkerrors.V2ErrorResponse
	if !errors.As(err, &refused) {
		t.Fatalf("error %v, want a V2ErrorResponse", err)
	}
	return string(refused.ErrorCode)
}

func sdkPosting(source, destination string, amount int64) shared.V2Posting {
	return shared.V2Posting{Source: source, Destination: destination, Amount: big.NewInt(amount), Asset: "EUR/2"}
}

// TestSDK makes the calls that ledgersvc makes, with the client library that it
// uses, below the path of the gateway.
func TestSDK(t *testing.T) {
	t.Run("an existing ledger", func(t *testing.T) {
		v2 := newSDK(t)
		_, err := v2.CreateLedger(t.Context(), operations.V2CreateLedgerRequest{Ledger: "l"})
		if got := sdkCode(t, err); got != "LEDGER_ALREADY_EXISTS" {
			t.Errorf("code %s", got)
		}
		read, err := v2.GetLedger(t.Context(), operations.V2GetLedgerRequest{Ledger: "l"})
		if err != nil || read.V2GetLedgerResponse.Data.Name != "l" {
			t.Errorf("read %+v, %v", read, err)
		}
	})
	t.Run("info", func(t *testing.T) {
		info, err := newSDKClient(t).GetInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := info.V2ConfigInfoResponse.Version; got != "v2.4.12" {
			t.Errorf("version %s", got)
		}
	})
	t.Run("a script with reference and key, replayed", func(t *testing.T) {
		v2 := newSDK(t)
		request := operations.V2CreateTransactionRequest{
			Ledger: "l", IdempotencyKey: new("capture:pi_1"),
			V2PostTransaction: shared.V2PostTransaction{
				Reference: new("capture:pi_1"), Timestamp: new(time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)),
				Metadata: map[string]string{"order": "o1"},
				Script: &shared.V2PostTransactionScript{
					Plain: new("vars {\n account $clearing\n account $order\n monetary $gross\n}\nsend $gross (\n source = $clearing allowing unbounded overdraft\n destination = $order\n)"),
					Vars:  map[string]string{"clearing": "stripe:platform:main:3", "order": "orders:o1:payment", "gross": "EUR/2 11000"},
				},
			},
		}
		first, err := v2.CreateTransaction(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		again, err := v2.CreateTransaction(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if hit := http.Header(again.Headers).Get("Idempotency-Hit"); hit != "true" {
			t.Errorf("Idempotency-Hit %q on a replay", hit)
		}
		made := first.V2CreateTransactionResponse.Data
		if again.V2CreateTransactionResponse.Data.ID.Cmp(made.ID) != 0 || !made.Timestamp.Equal(*request.V2PostTransaction.Timestamp) {
			t.Errorf("made %+v, then %+v", made, again.V2CreateTransactionResponse.Data)
		}
		request.V2PostTransaction.Metadata = map[string]string{"order": "o2"}
		_, err = v2.CreateTransaction(t.Context(), request)
		if got := sdkCode(t, err); got != "VALIDATION" {
			t.Errorf("another body under the key: code %s", got)
		}
		request.IdempotencyKey = new("another")
		_, err = v2.CreateTransaction(t.Context(), request)
		if got := sdkCode(t, err); got != "CONFLICT" {
			t.Errorf("another key, same reference: code %s", got)
		}
	})
	t.Run("postings, insufficient funds and revert", func(t *testing.T) {
		v2 := newSDK(t)
		made, err := v2.CreateTransaction(t.Context(), operations.V2CreateTransactionRequest{
			Ledger: "l", V2PostTransaction: shared.V2PostTransaction{Force: new(true), Postings: []shared.V2Posting{
				sdkPosting("stripe", "order", 100), sdkPosting("order", "payable", 100),
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = v2.CreateTransaction(t.Context(), operations.V2CreateTransactionRequest{
			Ledger: "l", V2PostTransaction: shared.V2PostTransaction{Postings: []shared.V2Posting{sdkPosting("payable", "x", 101)}},
		})
		if got := sdkCode(t, err); got != "INSUFFICIENT_FUND" {
			t.Errorf("code %s", got)
		}
		revert := operations.V2RevertTransactionRequest{
			Ledger: "l", ID: made.V2CreateTransactionResponse.Data.ID, Force: new(true), IdempotencyKey: new("undo"),
			V2RevertTransactionRequest: &shared.V2RevertTransactionRequest{Metadata: map[string]string{"why": "test"}},
		}
		undone, err := v2.RevertTransaction(t.Context(), revert)
		if err != nil {
			t.Fatal(err)
		}
		if got := undone.V2RevertTransactionResponse.Data.Metadata["com.formance.spec/state/reverts"]; got != "1" {
			t.Errorf("reverts %q", got)
		}
		if _, err := v2.RevertTransaction(t.Context(), revert); err != nil {
			t.Errorf("replay: %v", err)
		}
		revert.IdempotencyKey = nil
		_, err = v2.RevertTransaction(t.Context(), revert)
		if got := sdkCode(t, err); got != "ALREADY_REVERT" {
			t.Errorf("code %s", got)
		}
	})
	t.Run("reads", func(t *testing.T) { testSDKReads(t, newSDK(t)) })
	t.Run("an atomic bulk", func(t *testing.T) { testSDKBulk(t, newSDK(t)) })
}

func testSDKReads(t *testing.T, v2 *formance.V2) {
	t.Helper()
	for n, order := range []string{"o1", "o2", "o3"} {
		if _, err := v2.CreateTransaction(t.Context(), operations.V2CreateTransactionRequest{
			Ledger: "l", V2PostTransaction: shared.V2PostTransaction{
				Reference: new("capture:" + order), Metadata: map[string]string{"order": order}, Force: new(true),
				Postings: []shared.V2Posting{sdkPosting("stripe", "orders:"+order, int64(n+1))},
			},
		}); err != nil {
			t.Fatal(err)
		}
	}
	for name, query := range map[string]map[string]any{
		"reference": {"$match": map[string]any{"reference": "capture:o2"}},
		"metadata":  {"$match": map[string]any{"metadata[order]": "o2"}},
		"account":   {"$match": map[string]any{"account": "orders:o2"}},
	} {
		listed, err := v2.ListTransactions(t.Context(), operations.V2ListTransactionsRequest{Ledger: "l", Query: query})
		if err != nil {
			t.Fatalf("by %s: %v", name, err)
		}
		if data := listed.V2TransactionsCursorResponse.Cursor.Data; len(data) != 1 || *data[0].Reference != "capture:o2" {
			t.Errorf("by %s: %+v", name, data)
		}
	}
	account, err := v2.GetAccount(t.Context(), operations.V2GetAccountRequest{Ledger: "l", Address: "stripe", Expand: new("volumes")})
	if err != nil {
		t.Fatal(err)
	}
	if got := account.V2AccountResponse.Data.Volumes["EUR/2"].Balance; got.Int64() != -6 {
		t.Errorf("balance of the clearing %v", got)
	}
	_, err = v2.GetAccount(t.Context(), operations.V2GetAccountRequest{Ledger: "l", Address: "nobody"})
	if got := sdkCode(t, err); got != "NOT_FOUND" {
		t.Errorf("an account that was never touched: code %s", got)
	}
	balances, err := v2.GetBalancesAggregated(t.Context(), operations.V2GetBalancesAggregatedRequest{
		Ledger: "l", Query: map[string]any{"$match": map[string]any{"address": "orders:"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := balances.V2AggregateBalancesResponse.Data["EUR/2"]; got.Int64() != 6 {
		t.Errorf("orders hold %v", got)
	}
	volumes, err := v2.GetVolumesWithBalances(t.Context(), operations.V2GetVolumesWithBalancesRequest{Ledger: "l", GroupBy: new(int64(1))})
	if err != nil {
		t.Fatal(err)
	}
	if data := volumes.V2VolumesWithBalanceCursorResponse.Cursor.Data; len(data) != 2 || data[0].Account != "orders" || data[0].Balance.Int64() != 6 {
		t.Errorf("volumes %+v", data)
	}
}

func testSDKBulk(t *testing.T, v2 *formance.V2) {
	t.Helper()
	element := func(key string, postings ...shared.V2Posting) shared.V2BulkElement {
		return shared.CreateV2BulkElementCreateTransaction(shared.V2BulkElementCreateTransaction{
			Action: "CREATE_TRANSACTION", Ik: &key, Data: &shared.V2PostTransaction{Reference: &key, Postings: postings},
		})
	}
	send := func(elements ...shared.V2BulkElement) *operations.V2CreateBulkResponse {
		t.Helper()
		answer, err := v2.CreateBulk(t.Context(), operations.V2CreateBulkRequest{Ledger: "l", Atomic: new(true), RequestBody: elements})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	bad := send(element("a", sdkPosting("world", "x", 5)), element("b", sdkPosting("nobody", "y", 1)))
	if bad.StatusCode != http.StatusBadRequest || bad.V2BulkResponse.Data[1].V2BulkElementResultErrorSchemas.ErrorCode != "INSUFFICIENT_FUND" {
		t.Errorf("status %d, %+v", bad.StatusCode, bad.V2BulkResponse.Data)
	}
	good := send(element("a", sdkPosting("world", "x", 5)), element("b", sdkPosting("x", "y", 5)))
	if good.StatusCode != http.StatusOK || len(good.V2BulkResponse.Data) != 2 {
		t.Fatalf("status %d, %+v", good.StatusCode, good.V2BulkResponse)
	}
	first := good.V2BulkResponse.Data[0].V2BulkElementResultCreateTransactionSchemas.Data.ID
	again := send(element("a", sdkPosting("world", "x", 5)))
	if got := again.V2BulkResponse.Data[0].V2BulkElementResultCreateTransactionSchemas.Data.ID; got.Cmp(first) != 0 {
		t.Errorf("replayed element has id %v, want %v", got, first)
	}
	empty, err := v2.CreateBulk(t.Context(), operations.V2CreateBulkRequest{Ledger: "l"})
	if err != nil || empty.StatusCode != http.StatusOK {
		t.Errorf("nil elements: %+v, %v", empty, err)
	}
}
