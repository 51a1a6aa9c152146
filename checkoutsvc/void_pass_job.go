package checkoutsvc

import (
	"context"
	"fmt"

	"github.com/riverqueue/river"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// voidPassArgs names a void ticket whose pass shall show it.
type voidPassArgs struct {
	TicketID string `json:"ticket_id"`
}

// Kind implements river.JobArgs.
func (voidPassArgs) Kind() string { return "void_pass" }

// voidPass has the pass of a void ticket shown as void on every phone. A ticket that became void before its pass was
// known gets a pass that is void from the start: a late IssuePasses of its walk carries a smaller change number and
// changes nothing. Twice: nothing changes.
func (s *Service) voidPass(ctx context.Context, job *river.Job[voidPassArgs]) error {
	t, err := s.q.GetTicket(ctx, s.Pool, job.Args.TicketID)
	if err != nil {
		return fmt.Errorf("get ticket: %w", err)
	}
	if t.State != ticketVoid {
		return nil
	}
	if t.PassSerial != "" {
		_, err = s.Passes.VoidPass(rpc.WithIdempotencyKey(ctx, "ticket/"+t.ID+"/void-pass"),
			&passv1.VoidPassRequest{PassSerial: t.PassSerial, VoidNote: "the ticket is void"})
		if err != nil {
			return fmt.Errorf("void pass: %w", err)
		}
		return nil
	}
	o, err := readOrder(ctx, s.Pool, orderKey{ID: t.OrderID})
	if err != nil {
		return err
	}
	content, err := s.passContent(o, t)
	if err != nil {
		return err
	}
	content.Voided, content.TicketChangeNumber = true, t.ChangeNumber
	_, err = s.Passes.IssuePasses(rpc.WithIdempotencyKey(ctx, fmt.Sprintf("ticket/%s/issue-void-pass/%d", t.ID, t.ChangeNumber)),
		&passv1.IssuePassesRequest{OrderId: t.OrderID, Passes: []*passv1.PassContent{content}})
	if err != nil {
		return fmt.Errorf("issue void pass: %w", err)
	}
	return nil
}
