package reconcile

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// StartReconciliation implements ReconciliationService.
func (s *Service) StartReconciliation(ctx context.Context, req *ledgerv1.StartReconciliationRequest) (*ledgerv1.StartReconciliationResponse, error) {
	now := s.clock.Now()
	const notATime = "must be a time in the years 1 to 9999"
	switch {
	case !req.GetFromTime().IsValid():
		return nil, problem.InvalidField("from_time", notATime)
	case !req.GetUntilTime().IsValid():
		return nil, problem.InvalidField("until_time", notATime)
	}
	from, until := req.GetFromTime().AsTime(), req.GetUntilTime().AsTime()
	if !from.Before(until) {
		return nil, problem.InvalidField("until_time", "must be later than from_time")
	}
	if !s.canReconcile() {
		return nil, problem.New(connect.CodeFailedPrecondition, problem.ReasonOf(ledgerv1.Reason_REASON_RECONCILIATION_NOT_CONFIGURED),
			"ledgersvc does not know Stripe or checkoutsvc; set DAYOF_STRIPE_KEY and DAYOF_CHECKOUT_URL")
	}

	return idem.Do(ctx, s.pool, now, startFingerprint(from, until), func(ctx context.Context, tx pgx.Tx) (*ledgerv1.StartReconciliationResponse, error) {
		id, err := s.beginRun(ctx, tx, ledgerv1.RunKind_RUN_KIND_ON_DEMAND, from, until, now)
		if err != nil {
			return nil, err
		}
		run, err := s.q.GetRun(ctx, tx, id)
		if err != nil {
			return nil, fmt.Errorf("get run: %w", err)
		}
		return &ledgerv1.StartReconciliationResponse{Run: runToProto(run)}, nil
	})
}

// startFingerprint says whether two requests are the same.
func startFingerprint(from, until time.Time) []byte {
	return idem.Fingerprint(fingerprintVersion, from, until)
}

// GetReconciliationRun implements ReconciliationService.
func (s *Service) GetReconciliationRun(ctx context.Context, req *ledgerv1.GetReconciliationRunRequest) (*ledgerv1.GetReconciliationRunResponse, error) {
	run, err := s.q.GetRun(ctx, s.pool, req.GetRunId())
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, problem.New(connect.CodeNotFound, problem.ReasonOf(ledgerv1.Reason_REASON_RUN_NOT_FOUND), "no run has this id")
	}
	if err != nil {
		return nil, fmt.Errorf("get run: %w", err)
	}
	return &ledgerv1.GetReconciliationRunResponse{Run: runToProto(run)}, nil
}

// runPageDefault is the size of a page of runs when the request does not say.
const runPageDefault = 50

// ListReconciliationRuns implements ReconciliationService.
func (s *Service) ListReconciliationRuns(ctx context.Context, req *ledgerv1.ListReconciliationRunsRequest) (*ledgerv1.ListReconciliationRunsResponse, error) {
	list := fmt.Sprintf("runs %d", req.GetKind())
	before, err := page.Parse(req.GetPageToken(), list, page.AfterAll)
	if err != nil {
		return nil, err
	}
	size := cmp.Or(req.GetPageSize(), runPageDefault)
	rows, err := s.q.RunsBefore(ctx, s.pool, before.Time, before.ID, int16(req.GetKind()), size+1)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	res := &ledgerv1.ListReconciliationRunsResponse{}
	if len(rows) > int(size) {
		rows = rows[:size]
		res.NextPageToken = page.Token(list, page.Cursor{Time: rows[size-1].CreateTime, ID: rows[size-1].ID})
	}
	for _, row := range rows {
		res.Runs = append(res.Runs, runToProto(row))
	}
	return res, nil
}

func runToProto(row ledgerdb.ReconcileRun) *ledgerv1.Run {
	run := &ledgerv1.Run{
		Id: row.ID, Kind: ledgerv1.RunKind(row.Kind), State: ledgerv1.RunState(row.State), FromTime: timestamppb.New(row.FromTime),
		UntilTime: timestamppb.New(row.UntilTime), CreateTime: timestamppb.New(row.CreateTime), OrderLineCount: row.OrderLines,
		LedgerTransactionCount: row.LedgerTransactions, StripeTransactionCount: row.StripeTransactions, DifferenceCount: row.Differences,
		OpenedCount: row.Opened, ClosedCount: row.Closed, InFlightCount: row.InFlight, ForeignCount: row.ForeignItems, Truncated: row.Truncated, Error: row.Error,
		UnreadCount: row.UnreadItems, UnreadSubjects: row.UnreadSubjects,
	}
	for _, m := range foreignMoney(row) {
		run.ForeignAmounts = append(run.ForeignAmounts, &moneyv1.Money{Currency: m.Currency, MinorUnits: m.MinorUnits})
	}
	if row.EndTime != nil {
		run.EndTime = timestamppb.New(*row.EndTime)
	}
	return run
}

// foreignMoney is what others moved on the account, by currency.
func foreignMoney(row ledgerdb.ReconcileRun) []money.Money {
	var s sums
	if err := json.Unmarshal(row.ForeignMoney, &s); err != nil {
		return nil // written by finish alone
	}
	var all []money.Money
	for _, asset := range s.assets() {
		all = append(all, *sums{asset: s[asset]}.amount(nil))
	}
	return all
}
