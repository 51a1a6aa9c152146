package checkoutsvc

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// The states of a hold. It ends by a state written under the order's lock, never by a reader's clock: a hold that is
// past its time but not ended yet still turns into tickets.
const (
	holdActive   = "active"
	holdConsumed = "consumed"
	holdReleased = "released"
	holdExpired  = "expired"
)

// dueHoldsMax is how many holds one sweep ends.
const dueHoldsMax = 200

// expireHolds ends the holds that have run out and returns how many. Two replicas may do it at once: the order's lock
// lets one of them through, the other sees the hold ended.
func (s *Service) expireHolds(ctx context.Context) (int, error) {
	due, err := s.q.ListDueHolds(ctx, s.Pool, dueHoldsMax)
	if err != nil {
		return 0, fmt.Errorf("list due holds: %w", err)
	}
	for i, id := range due {
		if err := s.expireHold(ctx, id); err != nil {
			return i, fmt.Errorf("expire hold of order %s: %w", id, err)
		}
	}
	return len(due), nil
}

// expireHold returns the stock of a hold that has run out and asks for its intents to be canceled, so that no money can
// come any more. Money that comes all the same is late money.
func (s *Service) expireHold(ctx context.Context, orderID string) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		o, err := lockOrderForUpdate(ctx, tx, orderKey{ID: orderID})
		if err != nil {
			return err
		}
		due, err := s.q.IsHoldDue(ctx, tx, orderID)
		if err != nil {
			return fmt.Errorf("look at the hold: %w", err)
		}
		if !due {
			return nil
		}
		w := s.newWrites(o)
		w.endHold(ctx, holdExpired)
		w.setPayment(ctx)
		w.enqueue(cancelIntentsArgs{OrderID: o.ID})
		return w.flush(ctx, tx)
	})
}

// retakeStock takes the order's stock once more, for money that came after its hold had ended. It reports whether there
// was enough of everything; if not, nothing is taken.
func (s *Service) retakeStock(ctx context.Context, tx pgx.Tx, o *order) (bool, error) {
	enough := true
	err := pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
		for _, l := range stockOrder(o.Lines) {
			rows, err := s.q.TakeStock(ctx, savepoint, l.VariantID, int64(l.Quantity))
			if err != nil {
				return fmt.Errorf("take stock again: %w", err)
			}
			if rows == 0 {
				enough = false
				return pgx.ErrTxCommitRollback
			}
		}
		return nil
	})
	if !enough {
		return false, nil
	}
	return err == nil, err
}
