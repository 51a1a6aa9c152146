package ticketpass

import (
	"context"
	"fmt"

	"github.com/riverqueue/river"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// SuspendPassArgs names a ticket that was suspended or used, or is not any more.
type SuspendPassArgs struct {
	TicketID string `json:"ticket_id"`
}

// Kind implements river.JobArgs.
func (SuspendPassArgs) Kind() string { return string(order.WorkSuspendPass) }

// SuspendPass has the pass of a ticket show whether a dispute or a review holds it back now, and whether it was used where the event's
// passes show that. Jobs of several changes may run in any order: each
// reports the ticket's present state with its number, and passsvc ignores smaller numbers. A ticket without a pass gets
// another job when its fulfilment ends, and a void one is VoidPass's affair.
//
// Idempotent: the second time nothing changes.
func (j *Jobs) SuspendPass(ctx context.Context, job *river.Job[SuspendPassArgs]) error {
	named, err := j.Orders.ReadTicket(ctx, job.Args.TicketID)
	if err != nil {
		return err
	}
	o, err := j.Orders.Read(ctx, orderstore.Key{ID: named.OrderID})
	if err != nil {
		return err
	}
	t := o.Ticket(named.ID)
	if t.State == order.TicketVoid || t.PassSerial == "" {
		return nil
	}
	shows, err := j.Orders.PassShowsUsed(ctx, t.EventID)
	if err != nil {
		return err
	}
	_, err = j.Passes.SetPassSuspended(rpc.WithIdempotencyKey(ctx, fmt.Sprintf("ticket/%s/suspend-pass/%d", t.ID, t.ChangeNumber)),
		&passv1.SetPassSuspendedRequest{
			PassSerial: t.PassSerial, Suspended: t.State == order.TicketSuspended && o.TicketsHeld(), TicketChangeNumber: t.ChangeNumber,
			Used: t.State == order.TicketUsed && shows,
		})
	if err != nil {
		return fmt.Errorf("suspend pass: %w", err)
	}
	return nil
}
