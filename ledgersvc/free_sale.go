package ledgersvc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// recordFreeSale records the sale of an order that costs nothing. It is no transaction of the ledger, which keeps none without postings, so
// our row is the entry: nobody holds a valid ticket that the books do not know.
//
// Idempotent by the order: the second time it is the same entry.
func (s *Service) recordFreeSale(ctx context.Context, sale *ledgerv1.FreeSale) (*ledgerv1.RecordSaleResponse, error) {
	sold, err := instant("free_sale.sale_time", sale.GetSaleTime())
	if !money.Supported(sale.GetCurrency()) {
		err = problem.All(err, problem.InvalidField("free_sale.currency", "must be an ISO 4217 code such as EUR"))
	}
	if err != nil {
		return nil, err
	}
	now := s.clock.Now()
	row := ledgerdb.FreeSale{
		OrderID: sale.GetOrderId(), OrganizerID: sale.GetOrganizerId(), Currency: sale.GetCurrency(), SaleTime: sold.Truncate(time.Microsecond), RecordTime: now,
	}
	fingerprint := idem.Fingerprint(fingerprintVersion, row.OrderID, row.OrganizerID, row.Currency, row.SaleTime)
	return idem.Do(ctx, s.pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*ledgerv1.RecordSaleResponse, error) {
		kept, err := s.q.KeepFreeSale(ctx, tx, ledgerdb.KeepFreeSaleParams(row))
		if err != nil {
			return nil, fmt.Errorf("keep free sale: %w", err)
		}
		if kept.OrganizerID != row.OrganizerID || kept.Currency != row.Currency || !kept.SaleTime.Equal(row.SaleTime) {
			return nil, problem.New(connect.CodeAlreadyExists, problem.ReasonOf(ledgerv1.Reason_REASON_LEDGER_CONFLICT),
				"the free sale of this order was recorded otherwise; an operator must look at it")
		}
		return &ledgerv1.RecordSaleResponse{Entry: entryToProto(freeSaleEntry(kept))}, nil
	})
}

// freeSaleEntry is a free sale as an entry without postings.
func freeSaleEntry(row ledgerdb.FreeSale) journal.Entry {
	return journal.Entry{
		Reference: journal.FreeSalePrefix + row.OrderID, Kind: ledgerv1.EntryKind_ENTRY_KIND_SALE,
		Facts:         journal.Facts{OrderID: row.OrderID, OrganizerID: row.OrganizerID},
		EffectiveTime: row.SaleTime, PostTime: row.RecordTime,
	}
}

// freeSaleOf returns the entry of an order's free sale.
func (s *statements) freeSaleOf(ctx context.Context, orderID string) (journal.Entry, bool, error) {
	row, err := s.q.FreeSaleOfOrder(ctx, s.pool, orderID)
	if errors.Is(err, pgx.ErrNoRows) {
		return journal.Entry{}, false, nil
	}
	if err != nil {
		return journal.Entry{}, false, fmt.Errorf("read free sale: %w", err)
	}
	return freeSaleEntry(row), true, nil
}
