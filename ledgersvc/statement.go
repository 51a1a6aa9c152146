package ledgersvc

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"strings"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// pageSizeDefault is the size of a page when the request does not say; the schema has the largest.
const pageSizeDefault = 100

// statements implements StatementService.
type statements struct {
	pool    *pgxpool.Pool
	ledger  *ledger
	metrics *metrics
	q       ledgerdb.Queries
}

// GetEntry implements StatementService, from our copies: it answers while the ledger is away.
func (s *statements) GetEntry(ctx context.Context, req *ledgerv1.GetEntryRequest) (*ledgerv1.GetEntryResponse, error) {
	e, found, err := entryCopy(ctx, s.pool, req.GetReference())
	if orderID, free := strings.CutPrefix(req.GetReference(), journal.FreeSalePrefix); free && err == nil && !found {
		e, found, err = s.freeSaleOf(ctx, orderID)
	}
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, problem.New(connect.CodeNotFound, problem.ReasonOf(ledgerv1.Reason_REASON_ENTRY_NOT_FOUND), "no entry has this reference")
	}
	return &ledgerv1.GetEntryResponse{Entry: entryToProto(e)}, nil
}

// GetOrderStatement implements StatementService, from our copies.
func (s *statements) GetOrderStatement(ctx context.Context, req *ledgerv1.GetOrderStatementRequest) (*ledgerv1.GetOrderStatementResponse, error) {
	rows, err := s.q.EntriesOfOrder(ctx, s.pool, req.GetOrderId())
	if err != nil {
		return nil, fmt.Errorf("read entries of order: %w", err)
	}
	entries, err := journal.EntriesFromRows(ctx, s.pool, rows)
	if err != nil {
		return nil, err
	}
	free, found, err := s.freeSaleOf(ctx, req.GetOrderId())
	if err != nil {
		return nil, err
	}
	if found {
		entries = append([]journal.Entry{free}, entries...)
	}
	return &ledgerv1.GetOrderStatementResponse{Entries: entriesToProto(entries)}, nil
}

// GetAccountStatement implements StatementService: lines from our copies, balances from the ledger. While entries are
// being posted the two need not fit together.
func (s *statements) GetAccountStatement(ctx context.Context, req *ledgerv1.GetAccountStatementRequest) (*ledgerv1.GetAccountStatementResponse, error) {
	after, err := page.Parse(req.GetPageToken(), "account "+req.GetAccount(), beforeEntries)
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	lines, err := s.q.AccountLinesAfter(ctx, s.pool, req.GetAccount(), after.TransactionID, after.Position, size+1)
	if err != nil {
		return nil, fmt.Errorf("read postings of account: %w", err)
	}
	balances, err := s.ledger.balances(ctx, req.GetAccount())
	if err != nil {
		return nil, readProblem(err)
	}
	res := &ledgerv1.GetAccountStatementResponse{Balances: digits(balances)}
	if len(lines) > int(size) {
		last := lines[size-1]
		res.NextPageToken = page.Token("account "+req.GetAccount(), entryPosition{TransactionID: last.LedgerTransactionID, Position: last.Position})
		lines = lines[:size]
	}
	for _, l := range lines {
		line := journal.Posting{Source: l.Source, Destination: l.Destination, Asset: l.Asset, Amount: l.Amount}
		res.Lines = append(res.Lines, &ledgerv1.StatementLine{
			Posting: postingToProto(line, l.Reference), EffectiveTime: timestamppb.New(l.EffectiveTime),
		})
	}
	return res, nil
}

// GetTrialBalance implements StatementService, from the ledger.
func (s *statements) GetTrialBalance(ctx context.Context, _ *ledgerv1.GetTrialBalanceRequest) (*ledgerv1.GetTrialBalanceResponse, error) {
	sums, err := s.ledger.sums(ctx)
	if err != nil {
		return nil, readProblem(err)
	}
	for asset, sum := range sums {
		units, _ := new(big.Float).SetInt(sum).Float64()
		s.metrics.imbalance.WithLabelValues(asset).Set(units)
	}
	return &ledgerv1.GetTrialBalanceResponse{Balances: digits(sums)}, nil
}

// ListEntries implements StatementService, from our copies in the order of the ledger's numbers. A copy that is kept
// late, after its call had died, may belong before the end of a page that was read: whoever compares books reads the
// last minutes again.
func (s *statements) ListEntries(ctx context.Context, req *ledgerv1.ListEntriesRequest) (*ledgerv1.ListEntriesResponse, error) {
	kind := journal.KindName(req.GetKind())
	after, err := page.Parse(req.GetPageToken(), "entries "+kind, beforeEntries)
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	var rows []ledgerdb.Entry
	if kind == "" {
		rows, err = s.q.EntriesAfter(ctx, s.pool, after.TransactionID, size+1)
	} else {
		rows, err = s.q.EntriesOfKindAfter(ctx, s.pool, kind, after.TransactionID, size+1)
	}
	if err != nil {
		return nil, fmt.Errorf("list entries: %w", err)
	}
	res := &ledgerv1.ListEntriesResponse{}
	if len(rows) > int(size) {
		rows = rows[:size]
		res.NextPageToken = page.Token("entries "+kind, entryPosition{TransactionID: rows[size-1].LedgerTransactionID})
	}
	entries, err := journal.EntriesFromRows(ctx, s.pool, rows)
	if err != nil {
		return nil, err
	}
	res.Entries = entriesToProto(entries)
	return res, nil
}

func pageSize(asked int32) int32 { return cmp.Or(asked, pageSizeDefault) }

func digits(amounts map[string]*big.Int) map[string]string {
	out := make(map[string]string, len(amounts))
	for asset, amount := range amounts {
		out[asset] = amount.String()
	}
	return out
}
