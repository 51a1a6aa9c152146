package checkoutsvc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// RaiseOperatorItem implements OperationsService.
func (s *Service) RaiseOperatorItem(
	ctx context.Context, req *checkoutv1.RaiseOperatorItemRequest,
) (*checkoutv1.RaiseOperatorItemResponse, error) {
	parts := []any{req.GetKind(), req.GetSubject(), req.GetOrderId(), req.GetPaymentIntentId(), req.GetSuggestedAction()}
	for _, name := range slices.Sorted(maps.Keys(req.GetFacts())) {
		parts = append(parts, name, req.GetFacts()[name])
	}
	now := s.Clock.Now()
	return idem.Do(ctx, s.Pool, now, idem.Fingerprint(1, parts...), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.RaiseOperatorItemResponse, error) {
		if req.GetOrderId() != "" {
			if _, err := s.q.GetOrderStates(ctx, tx, req.GetOrderId()); errors.Is(err, pgx.ErrNoRows) {
				return nil, errNoOrder
			} else if err != nil {
				return nil, fmt.Errorf("get order: %w", err)
			}
		}
		_, err := s.raiseItem(ctx, tx, now, req.GetOrderId(), operatorItem{
			Kind: req.GetKind(), Subject: req.GetSubject(), Intent: req.GetPaymentIntentId(), Facts: req.GetFacts(), Action: req.GetSuggestedAction(),
		})
		if err != nil {
			return nil, err
		}
		item, err := s.q.FindOperatorItem(ctx, tx, req.GetKind(), req.GetSubject())
		if err != nil {
			return nil, fmt.Errorf("find operator item: %w", err)
		}
		out, err := operatorItemToProto(item)
		return &checkoutv1.RaiseOperatorItemResponse{Item: out}, err
	})
}
