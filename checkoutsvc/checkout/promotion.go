package checkout

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// promotion loads the promotion code that a cart names; nil when it names none.
//
// Reasons: PROMOTION_CODE_NOT_FOUND.
func (s *Service) promotion(ctx context.Context, tx pgx.Tx, req *checkoutv1.StartCheckoutRequest) (*order.Promotion, error) {
	if req.GetPromotionCode() == "" {
		return nil, nil //nolint:nilnil // no code is no error
	}
	row, err := s.q.FindPromotionCode(ctx, tx, req.GetEventId(), req.GetPromotionCode())
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, &order.Refusal{Reason: order.ReasonPromotionNotFound, Detail: "the event has no such promotion code"}
	}
	if err != nil {
		return nil, fmt.Errorf("find promotion code: %w", err)
	}
	p := row.PromotionCode
	promotion := &order.Promotion{
		ID: p.ID, Code: p.Code, VariantIDs: row.Discounted, UnlockedVariantIDs: row.Unlocked,
		StartTime: p.StartTime, EndTime: p.EndTime, ArchiveTime: p.ArchiveTime, BuyerOrderLimit: orderstore.Number(p.BuyerOrderLimit),
		Discount: order.Discount{BasisPoints: orderstore.Number(p.BasisPoints), PerTicket: p.PerTicket},
	}
	if p.AmountMinorUnits != nil {
		promotion.Discount.Amount = order.Amount{Currency: p.Currency, MinorUnits: *p.AmountMinorUnits}
	}
	return promotion, nil
}
