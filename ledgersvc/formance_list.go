package ledgersvc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"

	formance "github.com/formancehq/formance-sdk-go/v3"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/operations"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/shared"

	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/reconcile"
)

// ledgerPage is the size of a page of the ledger's lists; it is their largest.
const ledgerPage = 100

// listAnswered is list for package reconcile, whose runs leave out what the ledger answers with a failure: the error then wraps
// reconcile.ErrAnswered.
func (l *ledger) listAnswered(ctx context.Context, query map[string]any, f func([]journal.Entry) error) error {
	err := l.list(ctx, query, f)
	away, isAway := errors.AsType[*awayError](err)
	_, isRefused := errors.AsType[*refusedError](err)
	if isRefused || isAway && away.answered() {
		return fmt.Errorf("%w: %w", reconcile.ErrAnswered, err)
	}
	return err
}

// list gives f the ledger's transactions that fit a filter in pages, the newest first.
func (l *ledger) list(ctx context.Context, query map[string]any, f func([]journal.Entry) error) error {
	size := int64(ledgerPage)
	request := operations.V2ListTransactionsRequest{Ledger: l.config.Ledger, PageSize: &size, Query: query}
	for {
		var page transactionPage
		err := l.call(ctx, "list transactions", func(ctx context.Context, sdk *formance.Formance) (err error) {
			var body []byte
			if _, err := sdk.Ledger.V2.ListTransactions(withBody(ctx, &body), request); err != nil {
				return err
			}
			page, err = readTransactionPage(body)
			return err
		})
		if err != nil {
			return fmt.Errorf("list the ledger's transactions: %w", err)
		}
		entries := make([]journal.Entry, len(page.Data))
		for i, t := range page.Data {
			entries[i] = journal.AnyEntryFromTransaction(t.shared())
		}
		if err := f(entries); err != nil {
			return err
		}
		if !page.HasMore || page.Next == nil || *page.Next == "" {
			return nil
		}
		request = operations.V2ListTransactionsRequest{Ledger: l.config.Ledger, Cursor: page.Next}
	}
}

// transactionPage is what we read of a page of transactions. The SDK's types read each level of the JSON anew, which took five sixths of
// the CPU while a reconciliation read the ledger.
type transactionPage struct {
	HasMore bool                `json:"hasMore"`
	Next    *string             `json:"next"`
	Data    []listedTransaction `json:"data"`
}

type listedTransaction struct {
	ID         *big.Int          `json:"id"`
	InsertedAt *time.Time        `json:"insertedAt"`
	Metadata   map[string]string `json:"metadata"`
	Postings   []listedPosting   `json:"postings"`
	Reference  *string           `json:"reference"`
	Timestamp  time.Time         `json:"timestamp"`
}

// listedPosting is shared.V2Posting without its method.
type listedPosting shared.V2Posting

func readTransactionPage(body []byte) (transactionPage, error) {
	var answer struct {
		Cursor *transactionPage `json:"cursor"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return transactionPage{}, fmt.Errorf("read page: %w", err)
	}
	if answer.Cursor == nil || answer.Cursor.Data == nil {
		return transactionPage{}, errors.New("the answer has no page")
	}
	return *answer.Cursor, nil
}

func (t listedTransaction) shared() shared.V2Transaction {
	postings := make([]shared.V2Posting, len(t.Postings))
	for i, p := range t.Postings {
		postings[i] = shared.V2Posting(p)
	}
	return shared.V2Transaction{
		ID: t.ID, InsertedAt: t.InsertedAt, Metadata: t.Metadata, Postings: postings, Reference: t.Reference, Timestamp: t.Timestamp,
	}
}
