package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// kindWord is the word for a kind in alerts, reports and files, such as "fee_missing".
func kindWord(kind ledgerv1.DifferenceKind) string {
	return enumWord(kind.String(), "DIFFERENCE_KIND_")
}

// differencePageDefault is the size of a page of differences when the request does not say.
const differencePageDefault = 100

// ListDifferences implements ReconciliationService.
func (s *Service) ListDifferences(ctx context.Context, req *ledgerv1.ListDifferencesRequest) (*ledgerv1.ListDifferencesResponse, error) {
	rows, next, err := s.differences(ctx, req.GetFilter(), cmp.Or(req.GetPageSize(), differencePageDefault), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	res := &ledgerv1.ListDifferencesResponse{NextPageToken: next}
	for _, row := range rows {
		res.Differences = append(res.Differences, differenceToProto(row))
	}
	return res, nil
}

// differences returns a page of differences and the token of the next one.
func (s *Service) differences(ctx context.Context, filter *ledgerv1.DifferenceFilter, size int32, token string) ([]ledgerdb.ReconcileDifference, string, error) {
	list := page.List("differences", filter)
	before, err := page.Parse(token, list, page.AfterAll)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.q.DifferencesBefore(ctx, s.pool, ledgerdb.DifferencesBeforeParams{
		BeforeTime: before.Time, BeforeID: before.ID, State: int16(filter.GetState()), Kind: int16(filter.GetKind()),
		OrderID: filter.GetOrderId(), PageSize: size + 1,
	})
	if err != nil {
		return nil, "", fmt.Errorf("list differences: %w", err)
	}
	if len(rows) <= int(size) {
		return rows, "", nil
	}
	rows = rows[:size]
	last := rows[size-1]
	return rows, page.Token(list, page.Cursor{Time: last.FirstObservedTime, ID: last.ID}), nil
}

// ResolveDifference implements ReconciliationService.
func (s *Service) ResolveDifference(ctx context.Context, req *ledgerv1.ResolveDifferenceRequest) (*ledgerv1.ResolveDifferenceResponse, error) {
	scope, err := idem.ScopeFrom(ctx)
	if err != nil {
		return nil, err
	}
	fingerprint := resolveFingerprint(req)
	now := s.clock.Now()
	return idem.Do(ctx, s.pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*ledgerv1.ResolveDifferenceResponse, error) {
		err := s.resolveDifference(ctx, tx, req, scope.Caller, now)
		if err != nil {
			return nil, err
		}
		row, err := s.q.GetDifference(ctx, tx, req.GetDifferenceId())
		if err != nil {
			return nil, fmt.Errorf("get difference: %w", err)
		}
		return &ledgerv1.ResolveDifferenceResponse{Difference: differenceToProto(row)}, nil
	})
}

// resolveFingerprint says whether two requests are the same.
func resolveFingerprint(req *ledgerv1.ResolveDifferenceRequest) []byte {
	return idem.Fingerprint(fingerprintVersion, req.GetDifferenceId(), req.GetReason())
}

func (s *Service) resolveDifference(ctx context.Context, tx pgx.Tx, req *ledgerv1.ResolveDifferenceRequest, by string, now time.Time) error {
	changed, err := s.q.ResolveDifference(ctx, tx, &now, by, req.GetReason(), req.GetDifferenceId())
	if err != nil {
		return fmt.Errorf("resolve difference: %w", err)
	}
	if changed > 0 {
		return alert.Resolve(ctx, tx, alertDifference, req.GetDifferenceId())
	}
	if _, err := s.q.GetDifference(ctx, tx, req.GetDifferenceId()); errors.Is(err, pgx.ErrNoRows) {
		return problem.New(connect.CodeNotFound, problem.ReasonOf(ledgerv1.Reason_REASON_DIFFERENCE_NOT_FOUND), "no difference has this id")
	}
	return nil
}

func differenceToProto(row ledgerdb.ReconcileDifference) *ledgerv1.Difference {
	d := &ledgerv1.Difference{
		Id: row.ID, Kind: ledgerv1.DifferenceKind(row.Kind), Subject: row.Subject, OrderId: row.OrderID, OrganizerId: row.OrganizerID,
		PaymentIntentId: row.PaymentIntentID, StripeAccount: row.StripeAccount, Sides: row.Sides, SuggestedCause: row.Cause,
		State: ledgerv1.DifferenceState(row.State), FirstObservedTime: timestamppb.New(row.FirstObservedTime),
		LastObservedTime: timestamppb.New(row.LastObservedTime), ResolvedBy: row.ResolvedBy, ResolveReason: row.ResolveReason,
		FirstRunId: row.FirstRunID,
	}
	if row.ExpectedCurrency != "" {
		d.Expected = &moneyv1.Money{Currency: row.ExpectedCurrency, MinorUnits: row.ExpectedAmount}
	}
	if row.FoundCurrency != "" {
		d.Found = &moneyv1.Money{Currency: row.FoundCurrency, MinorUnits: row.FoundAmount}
	}
	if row.ResolveTime != nil {
		d.ResolveTime = timestamppb.New(*row.ResolveTime)
	}
	return d
}

// shownMoney is an amount for people; empty for nothing.
func shownMoney(currency string, minorUnits int64) string {
	if currency == "" {
		return ""
	}
	return money.Money{Currency: currency, MinorUnits: minorUnits}.Format()
}
