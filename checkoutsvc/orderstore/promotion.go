package orderstore

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// promotionUsesSQL counts the orders with a promotion code that a buyer holds or has bought.
const promotionUsesSQL = `select count(*) from order_lines l join orders o on o.id = l.order_id join holds h on h.order_id = o.id
	where l.buyer_key = $1 and o.promotion_code_id = $2 and h.state in ('active', 'consumed')`

// takePromotion queues that a new order uses its promotion code. Others who use it wait until the transaction has ended, so it comes late,
// and before the stock.
func (s *Store) takePromotion(ctx context.Context, p *pgdb.Pipeline, o *order.Order) error {
	if o.Promotion == nil {
		return nil
	}
	_, err := s.q.TakePromotionUse(ctx, p.Then(func(rows int64) error {
		if rows == 1 {
			return nil
		}
		return ToProblem(&order.Refusal{Reason: order.ReasonPromotionUsedUp, Detail: "the promotion code is used up; orders that are not paid may end, try again later with a new key"})
	}), o.PromotionCodeID)
	if o.Promotion.BuyerOrderLimit > 0 {
		p.Batch().Queue(promotionUsesSQL, o.BuyerKey(), o.PromotionCodeID).QueryRow(func(row pgx.Row) error {
			var orders int64
			if err := row.Scan(&orders); err != nil {
				return err
			}
			return ToProblem(o.CheckPromotionUses(orders))
		})
	}
	return err
}
