// Package operations implements OperationsService: the review cases, which only a person can decide.
package operations

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// Service implements OperationsService. All exported fields are required.
type Service struct {
	Pool  *pgxpool.Pool
	Clock clock.Clock
	NewID func() string

	q checkoutdb.Queries
}

// ListReviewCases implements OperationsService.
func (s *Service) ListReviewCases(
	ctx context.Context, req *checkoutv1.ListReviewCasesRequest,
) (*checkoutv1.ListReviewCasesResponse, error) {
	list := fmt.Sprintf("review_cases/%s/%t", req.GetOrderId(), req.GetIncludeResolved())
	before, err := page.Parse(req.GetPageToken(), list, wire.Cursor{Time: wire.EndOfTime})
	if err != nil {
		return nil, err
	}
	size := wire.PageSize(req.GetPageSize())
	items, err := s.q.ListReviewCases(ctx, s.Pool, checkoutdb.ListReviewCasesParams{
		BeforeTime: before.Time, BeforeID: before.ID, OrderID: req.GetOrderId(), IncludeResolved: req.GetIncludeResolved(), PageSize: size + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("list review cases: %w", err)
	}
	res := &checkoutv1.ListReviewCasesResponse{}
	if len(items) > int(size) {
		items = items[:size]
		last := items[size-1]
		res.NextPageToken = page.Token(list, wire.Cursor{Time: last.CreateTime, ID: last.ID})
	}
	for _, item := range items {
		out, err := reviewCaseToProto(item)
		if err != nil {
			return nil, err
		}
		res.Items = append(res.Items, out)
	}
	return res, nil
}

// ResolveReviewCase implements OperationsService.
func (s *Service) ResolveReviewCase(
	ctx context.Context, req *checkoutv1.ResolveReviewCaseRequest,
) (*checkoutv1.ResolveReviewCaseResponse, error) {
	now := s.Clock.Now()
	fingerprint := idem.Fingerprint(1, req.GetReviewCaseId(), req.GetNote())
	return idem.Do(ctx, s.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.ResolveReviewCaseResponse, error) {
		if err := s.q.ResolveReviewCase(ctx, tx, req.GetReviewCaseId(), &now, req.GetNote()); err != nil {
			return nil, fmt.Errorf("resolve review case: %w", err)
		}
		item, err := s.q.GetReviewCase(ctx, tx, req.GetReviewCaseId())
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, problem.New(connect.CodeNotFound, "REVIEW_CASE_NOT_FOUND", "there is no such review case")
		}
		if err != nil {
			return nil, fmt.Errorf("get review case: %w", err)
		}
		if err := alert.Resolve(ctx, tx, item.Kind, item.Subject); err != nil { // of the kinds that have one too
			return nil, err
		}
		out, err := reviewCaseToProto(item)
		return &checkoutv1.ResolveReviewCaseResponse{Item: out}, err
	})
}

func reviewCaseToProto(item checkoutdb.ReviewCase) (*checkoutv1.ReviewCase, error) {
	facts := map[string]string{}
	if err := json.Unmarshal(item.Facts, &facts); err != nil {
		return nil, fmt.Errorf("read facts of review case %s: %w", item.ID, err)
	}
	return &checkoutv1.ReviewCase{
		Id: item.ID, Kind: item.Kind, OrderId: item.OrderID, PaymentIntentId: item.PaymentIntent, Facts: facts,
		SuggestedAction: item.SuggestedAction, CreateTime: timestamppb.New(item.CreateTime), ResolveTime: wire.TimeToProto(item.ResolveTime),
		ResolveNote: item.ResolveNote,
	}, nil
}
