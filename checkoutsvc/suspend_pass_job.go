package checkoutsvc

import (
	"context"
	"fmt"

	"github.com/riverqueue/river"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// suspendPassArgs names a ticket that was suspended, or is not any more.
type suspendPassArgs struct {
	TicketID string `json:"ticket_id"`
}

// Kind implements river.JobArgs.
func (suspendPassArgs) Kind() string { return "suspend_pass" }

// suspendPass has the pass of a ticket show whether it is on hold now. Jobs of several changes may run in any order: each
// tells the ticket's present state with its number, and passsvc ignores smaller numbers. A ticket without a pass gets
// another job when its walk ends, and a void one is voidPass's affair. Twice: nothing changes.
func (s *Service) suspendPass(ctx context.Context, job *river.Job[suspendPassArgs]) error {
	t, err := s.q.GetTicket(ctx, s.Pool, job.Args.TicketID)
	if err != nil {
		return fmt.Errorf("get ticket: %w", err)
	}
	if t.State == ticketVoid || t.PassSerial == "" {
		return nil
	}
	_, err = s.Passes.SetPassSuspended(rpc.WithIdempotencyKey(ctx, fmt.Sprintf("ticket/%s/suspend-pass/%d", t.ID, t.ChangeNumber)),
		&passv1.SetPassSuspendedRequest{
			PassSerial: t.PassSerial, Suspended: t.State == ticketSuspended, TicketChangeNumber: t.ChangeNumber,
		})
	if err != nil {
		return fmt.Errorf("suspend pass: %w", err)
	}
	return nil
}
