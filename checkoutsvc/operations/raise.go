package operations

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/reviewcase"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// RaiseReviewCase implements OperationsService.
func (s *Service) RaiseReviewCase(
	ctx context.Context, req *checkoutv1.RaiseReviewCaseRequest,
) (*checkoutv1.RaiseReviewCaseResponse, error) {
	parts := []any{req.GetKind(), req.GetSubject(), req.GetOrderId(), req.GetPaymentIntentId(), req.GetSuggestedAction()}
	for _, name := range slices.Sorted(maps.Keys(req.GetFacts())) {
		parts = append(parts, name, req.GetFacts()[name])
	}
	now := s.Clock.Now()
	return idem.Do(ctx, s.Pool, now, idem.Fingerprint(1, parts...), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.RaiseReviewCaseResponse, error) {
		if req.GetOrderId() != "" {
			if _, err := s.q.GetOrderStates(ctx, tx, req.GetOrderId()); errors.Is(err, pgx.ErrNoRows) {
				return nil, orderstore.ErrNotFound
			} else if err != nil {
				return nil, fmt.Errorf("get order: %w", err)
			}
		}
		_, err := reviewcase.Raise(ctx, tx, s.NewID(), now, req.GetOrderId(), order.ReviewCase{
			Kind: req.GetKind(), Subject: req.GetSubject(), Intent: req.GetPaymentIntentId(), Facts: req.GetFacts(), Action: req.GetSuggestedAction(),
		})
		if err != nil {
			return nil, err
		}
		item, err := s.q.FindReviewCase(ctx, tx, req.GetKind(), req.GetSubject())
		if err != nil {
			return nil, fmt.Errorf("find review case: %w", err)
		}
		out, err := reviewCaseToProto(item)
		return &checkoutv1.RaiseReviewCaseResponse{Item: out}, err
	})
}
