package orderstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/chassis/problem"
)

const (
	// holdEndSQL reads when the hold of a new order ends.
	holdEndSQL = `select expire_time, 0::bigint, 0::bigint from holds where order_id = $1`
	// openHoldsSQL also counts the unpaid orders of the event that its buyer has open, this one included.
	openHoldsSQL = `select h.expire_time, (select count(*) from order_lines l join holds b on b.order_id = l.order_id
			where l.buyer_key = $2 and b.state = 'active'), 0::bigint
		from holds h where h.order_id = $1`
	// networkHoldsSQL also counts the unpaid orders of all events that the hold's network has open, this one included.
	networkHoldsSQL = `select h.expire_time, (select count(*) from order_lines l join holds b on b.order_id = l.order_id
			where l.buyer_key = $2 and b.state = 'active'),
			(select count(*) from holds n where n.network_key = $3 and n.state = 'active')
		from holds h where h.order_id = $1`
	// buyerTicketsSQL counts what a buyer has of an event, by variant: tickets that are held, and those that were bought and are not void.
	buyerTicketsSQL = `select l.variant_id, sum(case when h.state = 'active' then l.quantity else (
			select count(*) from tickets t where t.order_id = l.order_id and t.variant_id = l.variant_id and t.state <> 'void') end)::bigint
		from order_lines first join holds h on h.order_id = first.order_id join order_lines l on l.order_id = first.order_id
		where first.buyer_key = $1 and h.state in ('active', 'consumed') group by l.variant_id`
)

// HoldTerms are the terms on which a new order keeps stock.
type HoldTerms struct {
	Duration time.Duration // for how long; the database's clock decides when it is over
	// BuyerHoldsMax is how many unpaid orders of an event one mail address may have open; 0: any number. A free order is none.
	BuyerHoldsMax int
	// NetworkHoldsMax is how many unpaid orders callers of one network may have open; 0: any number.
	NetworkHoldsMax int
	// NetworkKey stands for the caller's network; nil for callers who are not counted.
	NetworkKey *int64
}

// openHoldsRetryAfter is when another try may find that an open order of the network has ended.
const openHoldsRetryAfter = time.Minute

// insertHold queues the hold of a new order with the checks of what its buyer and the caller's network have. Where a limit counts, holds of
// the same buyer or network wait for each other; others do not.
func (s *Store) insertHold(ctx context.Context, p *pgdb.Pipeline, o *order.Order, terms HoldTerms) error {
	counted, limited := terms.BuyerHoldsMax > 0 && !o.Free(), !o.BuyerLimits.None()
	network := terms.NetworkKey
	if o.Free() || terms.NetworkHoldsMax <= 0 {
		network = nil
	}
	err := s.q.InsertHold(ctx, p, checkoutdb.InsertHoldParams{
		OrderID: o.ID, HoldSeconds: terms.Duration.Seconds(), Limited: counted || limited, BuyerKey: o.BuyerKey(), NetworkKey: network,
	})
	read, args := holdEndSQL, []any{o.ID}
	switch {
	case network != nil:
		var buyer *int64
		if counted {
			buyer = new(o.BuyerKey())
		}
		read, args = networkHoldsSQL, []any{o.ID, buyer, *network}
	case counted:
		read, args = openHoldsSQL, []any{o.ID, o.BuyerKey()}
	}
	p.Batch().Queue(read, args...).QueryRow(func(row pgx.Row) error {
		var open, ofNetwork int
		if err := row.Scan(&o.Hold.ExpireTime, &open, &ofNetwork); err != nil {
			return err
		}
		if err := order.CheckOpenHolds(open, terms.BuyerHoldsMax); err != nil {
			return ToProblem(err)
		}
		err := ToProblem(order.CheckNetworkHolds(ofNetwork, terms.NetworkHoldsMax))
		if p, ok := errors.AsType[*problem.Problem](err); ok {
			p.RetryAfter = openHoldsRetryAfter
		}
		return err
	})
	if limited {
		p.Batch().Queue(buyerTicketsSQL, o.BuyerKey()).Query(func(rows pgx.Rows) error {
			tickets, err := collectTickets(rows)
			if err != nil {
				return err
			}
			return ToProblem(o.CheckBuyer(tickets))
		})
	}
	return err
}

// mayBuyLate says whether money that came after the hold's end may still buy the order's tickets, if there are any left: they are on sale,
// and the buyer has not bought up to a limit meanwhile.
func (s *Store) mayBuyLate(ctx context.Context, tx pgx.Tx, o *order.Order, now time.Time) (bool, error) {
	rows, err := s.q.ListLateSale(ctx, tx, o.ID)
	if err != nil {
		return false, fmt.Errorf("list what is on sale: %w", err)
	}
	var event order.Event
	var offers []order.Offer
	for _, r := range rows {
		event = order.Event{Publication: order.Publication(r.Publication), BuyerTicketLimit: Number(r.EventTicketLimit)}
		offers = append(offers, order.Offer{
			VariantID: r.ID, State: order.VariantState(r.State), SaleEndTime: r.SaleEndTime, BuyerTicketLimit: Number(r.BuyerTicketLimit),
		})
	}
	if order.SaleClosed(event, offers, now) {
		return false, nil
	}
	if o.LimitBuyer(event, offers); o.BuyerLimits.None() {
		return true, nil
	}
	if err := s.q.LockBuyer(ctx, tx, o.BuyerKey()); err != nil {
		return false, fmt.Errorf("lock buyer: %w", err)
	}
	found, err := tx.Query(ctx, buyerTicketsSQL, o.BuyerKey())
	if err != nil {
		return false, fmt.Errorf("count a buyer's tickets: %w", err)
	}
	tickets, err := collectTickets(found)
	if err != nil {
		return false, fmt.Errorf("count a buyer's tickets: %w", err)
	}
	for _, l := range o.Lines {
		tickets[l.VariantID] += int64(l.Quantity)
	}
	return o.CheckBuyer(tickets) == nil, nil
}

// collectTickets reads rows of buyerTicketsSQL.
func collectTickets(rows pgx.Rows) (map[string]int64, error) {
	tickets := map[string]int64{}
	var variantID string
	var count int64
	_, err := pgx.ForEachRow(rows, []any{&variantID, &count}, func() error {
		tickets[variantID] = count
		return nil
	})
	return tickets, err
}

// RefundPolicy is the policy that the columns of an event hold; nil where they hold none.
func RefundPolicy(buyerSeconds *int64, keptBasisPoints int32, applicationFee string) *order.RefundPolicy {
	if buyerSeconds == nil && keptBasisPoints == 0 && applicationFee == "" {
		return nil
	}
	return &order.RefundPolicy{
		BuyerSecondsBeforeStart: buyerSeconds, KeptBasisPoints: keptBasisPoints, ApplicationFee: order.ApplicationFeeRefund(applicationFee),
	}
}

// Number is a limit of a row; 0 for none.
func Number(limit *int32) int32 {
	if limit == nil {
		return 0
	}
	return *limit
}

// takePlace queues that a new order is that of its place in the waiting room, for orders that have one. The lock is a statement before, so
// that the order that has the place is seen as it is when the lock is free.
func (s *Store) takePlace(ctx context.Context, p *pgdb.Pipeline, o *order.Order) error {
	if o.WaitingRoomNumber == nil {
		return nil
	}
	lockErr := s.q.LockWaitingRoomPlace(ctx, p, o.EventID, *o.WaitingRoomNumber)
	_, err := s.q.TakeWaitingRoomPlace(ctx, p.Then(func(rows int64) error {
		if rows == 1 {
			return nil
		}
		return problem.New(connect.CodeFailedPrecondition, "WAITING_ROOM_PLACE_USED",
			"this place in the waiting room has an unpaid order that is open, or has bought; pay or cancel that order, or join again")
	}), o.EventID, *o.WaitingRoomNumber, o.ID)
	return errors.Join(lockErr, err)
}
