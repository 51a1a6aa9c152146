package ledgersvc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// alertDifference is the kind of the alert that each difference raises once.
const alertDifference = "reconcile_difference"

// record keeps what came of a subject: a difference once per incident with its alert, a watch on what is in flight, or
// that all is well, which closes what was open.
func (r *reconciliation) record(ctx context.Context, x *subject, v verdict) error {
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if v.inFlight != "" {
			r.result.InFlight++
			return r.q.Watch(ctx, tx, x.name, x.account, v.inFlight, r.clock.Now())
		}
		keep := ""
		if v.difference != nil {
			seen, err := r.see(ctx, tx, x, v.difference)
			if err != nil {
				return err
			}
			keep = seen
		}
		now := r.clock.Now()
		gone, err := r.q.CloseGone(ctx, tx, &now, x.name, keep)
		if err != nil {
			return err
		}
		r.result.Closed += int64(len(gone))
		for _, id := range gone {
			if err := jobs.ResolveAlert(ctx, tx, alertDifference, id); err != nil {
				return err
			}
		}
		return r.q.Unwatch(ctx, tx, x.name)
	})
	if err != nil {
		return fmt.Errorf("record %s: %w", x.name, err)
	}
	return nil
}

// see writes a difference, and raises its alert when it is new. It returns the row's id.
func (r *reconciliation) see(ctx context.Context, tx pgx.Tx, x *subject, d *difference) (id string, err error) {
	about := x.facts()
	row := ledgerdb.SeeDifferenceParams{
		ID: newID(), Kind: int16(d.kind), Subject: x.name, OrderID: x.orderID(), OrganizerID: about.OrganizerID,
		PaymentIntentID: about.PaymentIntentID, StripeAccount: x.account, Sides: x.sides(), Cause: d.cause,
		FirstRunID: r.run.ID, SeenTime: r.clock.Now(),
	}
	if d.expected != nil {
		row.ExpectedCurrency, row.ExpectedAmount = d.expected.Currency, d.expected.MinorUnits
	}
	if d.found != nil {
		row.FoundCurrency, row.FoundAmount = d.found.Currency, d.found.MinorUnits
	}
	digest := sha256.Sum256(fmt.Appendf(nil, "%s %d / %s %d", row.ExpectedCurrency, row.ExpectedAmount, row.FoundCurrency, row.FoundAmount))
	row.Digest = hex.EncodeToString(digest[:8])
	seen, err := r.q.SeeDifference(ctx, tx, row)
	if err != nil {
		return "", err
	}
	if seen.State == int16(ledgerv1.DifferenceState_DIFFERENCE_STATE_OPEN) {
		r.result.Differences++
	}
	if seen.ID != row.ID {
		return seen.ID, nil
	}
	r.result.Opened++
	return seen.ID, jobs.RaiseAlert(ctx, tx, alertDifference, seen.ID, map[string]any{
		"difference": kindWord(d.kind), "about": x.name, "order_id": row.OrderID, "sides": row.Sides, "suggested_cause": row.Cause,
	}, r.config.Reconcile.ConsoleURL+"/differences/"+seen.ID)
}

// kindWord is the word for a kind in alerts, reports and files, such as "fee_missing".
func kindWord(kind ledgerv1.DifferenceKind) string {
	return enumWord(kind.String(), "DIFFERENCE_KIND_")
}

// facts are what is known about the subject beside its amounts.
func (x *subject) facts() journal.Facts {
	f := journal.Facts{PaymentIntentID: x.intent}
	for _, line := range slices.Concat(x.lines, x.parents) {
		return journal.Facts{OrganizerID: line.GetOrganizerId(), PaymentIntentID: line.GetPaymentIntentId()}
	}
	for _, e := range x.entries {
		if e.Facts != (journal.Facts{}) {
			return e.Facts
		}
	}
	for _, c := range x.copies {
		return c.Facts
	}
	if x.kind == "capture" {
		f.PaymentIntentID = x.id()
	}
	return f
}

// ListDifferences implements ReconciliationService.
func (s *Service) ListDifferences(ctx context.Context, req *ledgerv1.ListDifferencesRequest) (*ledgerv1.ListDifferencesResponse, error) {
	rows, next, err := s.differences(ctx, req.GetFilter(), pageSize(req.GetPageSize()), req.GetPageToken())
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
	list := fmt.Sprintf("differences %d %d %s", filter.GetState(), filter.GetKind(), filter.GetOrderId())
	before, err := page.Parse(token, list, afterAll)
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
	return rows, page.Token(list, timePlace[string]{Time: last.FirstObservedTime, ID: last.ID}), nil
}

// ResolveDifference implements ReconciliationService.
func (s *Service) ResolveDifference(ctx context.Context, req *ledgerv1.ResolveDifferenceRequest) (*ledgerv1.ResolveDifferenceResponse, error) {
	scope, err := idem.ScopeFrom(ctx)
	if err != nil {
		return nil, err
	}
	fingerprint := idem.Fingerprint(fingerprintVersion, req.GetDifferenceId(), req.GetReason())
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

func (s *Service) resolveDifference(ctx context.Context, tx pgx.Tx, req *ledgerv1.ResolveDifferenceRequest, by string, now time.Time) error {
	changed, err := s.q.ResolveDifference(ctx, tx, &now, by, req.GetReason(), req.GetDifferenceId())
	if err != nil {
		return fmt.Errorf("resolve difference: %w", err)
	}
	if changed > 0 {
		return jobs.ResolveAlert(ctx, tx, alertDifference, req.GetDifferenceId())
	}
	if _, err := s.q.GetDifference(ctx, tx, req.GetDifferenceId()); errors.Is(err, pgx.ErrNoRows) {
		return problem.New(connect.CodeNotFound, "DIFFERENCE_NOT_FOUND", "no difference has this id")
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
