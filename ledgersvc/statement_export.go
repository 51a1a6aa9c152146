package ledgersvc

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/ledgersvc/csvfile"
	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// GetOrganizerStatement implements StatementService, from our copies.
func (s *statements) GetOrganizerStatement(ctx context.Context, req *ledgerv1.GetOrganizerStatementRequest) (*ledgerv1.GetOrganizerStatementResponse, error) {
	entries, next, err := s.organizerEntries(ctx, req.GetOrganizerId(), pageSize(req.GetPageSize()), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &ledgerv1.GetOrganizerStatementResponse{Entries: entriesToProto(entries), NextPageToken: next}, nil
}

// GetDayStatement implements StatementService, from our copies.
func (s *statements) GetDayStatement(ctx context.Context, req *ledgerv1.GetDayStatementRequest) (*ledgerv1.GetDayStatementResponse, error) {
	entries, next, err := s.dayEntries(ctx, req.GetDay(), pageSize(req.GetPageSize()), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &ledgerv1.GetDayStatementResponse{Entries: entriesToProto(entries), NextPageToken: next}, nil
}

// organizerEntries returns a page of an organiser's entries and the token of the next one.
func (s *statements) organizerEntries(ctx context.Context, organizerID string, size int32, token string) ([]journal.Entry, string, error) {
	list := "organizer " + organizerID
	after, err := page.Parse(token, list, beforeEntries)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.q.EntriesOfOrganizerAfter(ctx, s.pool, organizerID, after.TransactionID, size+1)
	if err != nil {
		return nil, "", fmt.Errorf("read entries of organizer: %w", err)
	}
	next := ""
	if len(rows) > int(size) {
		rows = rows[:size]
		next = page.Token(list, entryPosition{TransactionID: rows[size-1].LedgerTransactionID})
	}
	entries, err := journal.EntriesFromRows(ctx, s.pool, rows)
	return entries, next, err
}

// dayEntries returns a page of a day's entries and the token of the next one.
func (s *statements) dayEntries(ctx context.Context, text string, size int32, token string) ([]journal.Entry, string, error) {
	from, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return nil, "", problem.InvalidField("day", "must be a day such as 2026-05-01")
	}
	list := "day " + text
	after, err := page.Parse(token, list, timePosition{Time: from.Add(-time.Second)})
	if err != nil {
		return nil, "", err
	}
	params := ledgerdb.EntriesBetweenAfterParams{
		FromTime: from, UntilTime: from.AddDate(0, 0, 1), AfterTime: after.Time, AfterID: after.TransactionID, PageSize: size + 1,
	}
	rows, err := s.q.EntriesBetweenAfter(ctx, s.pool, params)
	if err != nil {
		return nil, "", fmt.Errorf("read entries of day: %w", err)
	}
	next := ""
	if len(rows) > int(size) {
		rows = rows[:size]
		last := rows[size-1]
		next = page.Token(list, timePosition{Time: last.EffectiveTime, TransactionID: last.LedgerTransactionID})
	}
	entries, err := journal.EntriesFromRows(ctx, s.pool, rows)
	return entries, next, err
}

// statementColumns are the first line of a statement's file.
var statementColumns = []string{
	"effective_time", "reference", "kind", "order_id", "ledger_transaction_id", "source", "destination", "asset", "minor_units", "amount", "currency",
}

// exportPageDefault is the size of a page of CSV when the request does not say.
const exportPageDefault = 1000

// ExportStatement implements StatementService.
func (s *statements) ExportStatement(ctx context.Context, req *ledgerv1.ExportStatementRequest) (*ledgerv1.ExportStatementResponse, error) {
	size := cmp.Or(req.GetPageSize(), exportPageDefault)
	var (
		lines [][]string
		next  string
		err   error
	)
	if account, ok := req.GetSubject().(*ledgerv1.ExportStatementRequest_Account); ok {
		lines, next, err = s.accountLines(ctx, account.Account, size, req.GetPageToken())
	} else {
		var entries []journal.Entry
		entries, next, err = s.statementEntries(ctx, req, size)
		for _, e := range entries {
			for _, p := range e.Postings {
				lines = append(lines, statementLine(e.Reference, journal.KindName(e.Kind), e.Facts.OrderID, e.TransactionID, e.EffectiveTime, p))
			}
		}
	}
	if err != nil {
		return nil, err
	}
	head := statementColumns
	if req.GetPageToken() != "" {
		head = nil
	}
	text, err := csvfile.Write(head, lines)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.ExportStatementResponse{Csv: text, NextPageToken: next}, nil
}

// statementEntries returns a page of the entries of an order, an organiser or a day.
func (s *statements) statementEntries(ctx context.Context, req *ledgerv1.ExportStatementRequest, size int32) ([]journal.Entry, string, error) {
	switch subject := req.GetSubject().(type) {
	case *ledgerv1.ExportStatementRequest_OrganizerId:
		return s.organizerEntries(ctx, subject.OrganizerId, size, req.GetPageToken())
	case *ledgerv1.ExportStatementRequest_Day:
		return s.dayEntries(ctx, subject.Day, size, req.GetPageToken())
	}
	if req.GetPageToken() != "" {
		return nil, "", problem.InvalidField("page_token", "an order is one page")
	}
	rows, err := s.q.EntriesOfOrder(ctx, s.pool, req.GetOrderId())
	if err != nil {
		return nil, "", fmt.Errorf("read entries of order: %w", err)
	}
	entries, err := journal.EntriesFromRows(ctx, s.pool, rows)
	return entries, "", err
}

// accountLines returns a page of an account's postings.
func (s *statements) accountLines(ctx context.Context, address string, size int32, token string) ([][]string, string, error) {
	list := "account " + address
	after, err := page.Parse(token, list, beforeEntries)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.q.AccountLinesAfter(ctx, s.pool, address, after.TransactionID, after.Position, size+1)
	if err != nil {
		return nil, "", fmt.Errorf("read postings of account: %w", err)
	}
	next := ""
	if len(rows) > int(size) {
		rows = rows[:size]
		next = page.Token(list, entryPosition{TransactionID: rows[size-1].LedgerTransactionID, Position: rows[size-1].Position})
	}
	references := make([]string, len(rows))
	for i, row := range rows {
		references[i] = row.Reference
	}
	entries, err := s.q.EntriesByReferences(ctx, s.pool, references)
	if err != nil {
		return nil, "", fmt.Errorf("read entries of account: %w", err)
	}
	about := make(map[int64]ledgerdb.Entry, len(entries))
	for _, e := range entries {
		about[e.LedgerTransactionID] = e
	}
	lines := make([][]string, len(rows))
	for i, row := range rows {
		e := about[row.LedgerTransactionID]
		lines[i] = statementLine(row.Reference, e.Kind, e.OrderID, row.LedgerTransactionID, row.EffectiveTime,
			journal.Posting{Source: row.Source, Destination: row.Destination, Asset: row.Asset, Amount: row.Amount})
	}
	return lines, next, nil
}

func statementLine(reference, kind, orderID string, number int64, at time.Time, p journal.Posting) []string {
	currency, amount := p.Asset, strconv.FormatInt(p.Amount, 10)
	if m, err := money.FromFormanceAsset(p.Asset, p.Amount); err == nil {
		currency, amount = m.Currency, m.Decimal()
	}
	return []string{
		csvfile.Time(at), reference, kind, orderID, strconv.FormatInt(number, 10), p.Source, p.Destination, p.Asset,
		strconv.FormatInt(p.Amount, 10), amount, currency,
	}
}
