package ledgersvc

import (
	"context"
	"errors"
	"fmt"

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
		var page shared.V2TransactionsCursorResponseCursor
		err := l.call(ctx, "list transactions", func(ctx context.Context, sdk *formance.Formance) error {
			res, err := sdk.Ledger.V2.ListTransactions(ctx, request)
			if err != nil {
				return err
			}
			page = res.V2TransactionsCursorResponse.Cursor
			return nil
		})
		if err != nil {
			return fmt.Errorf("list the ledger's transactions: %w", err)
		}
		entries := make([]journal.Entry, len(page.Data))
		for i, t := range page.Data {
			entries[i] = journal.AnyEntryFromTransaction(t)
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
