package orderstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// CheckCorrectedBuyer checks the limits of the event and its variants for the buyer that was written in tx, this order included. Buyers that
// get tickets of the same address meanwhile wait.
//
// Problems: BUYER_TICKET_LIMIT.
func (s *Store) CheckCorrectedBuyer(ctx context.Context, tx pgx.Tx, o *order.Order) error {
	rows, err := s.q.ListLateSale(ctx, tx, o.ID)
	if err != nil {
		return fmt.Errorf("list limits: %w", err)
	}
	var event order.Event
	var offers []order.Offer
	for _, r := range rows {
		event.BuyerTicketLimit = Number(r.EventTicketLimit)
		offers = append(offers, order.Offer{VariantID: r.ID, BuyerTicketLimit: Number(r.BuyerTicketLimit)})
	}
	if o.LimitBuyer(event, offers); o.BuyerLimits.None() {
		return nil
	}
	if err := s.q.LockBuyer(ctx, tx, o.BuyerKey()); err != nil {
		return fmt.Errorf("lock buyer: %w", err)
	}
	found, err := tx.Query(ctx, buyerTicketsSQL, o.BuyerKey())
	if err != nil {
		return fmt.Errorf("count a buyer's tickets: %w", err)
	}
	tickets, err := collectTickets(found)
	if err != nil {
		return fmt.Errorf("count a buyer's tickets: %w", err)
	}
	return ToProblem(o.CheckBuyer(tickets))
}
