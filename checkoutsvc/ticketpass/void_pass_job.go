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

// VoidPassArgs names a void ticket whose pass shall show it.
type VoidPassArgs struct {
	TicketID string `json:"ticket_id"`
}

// Kind implements river.JobArgs.
func (VoidPassArgs) Kind() string { return string(order.WorkVoidPass) }

// VoidPass has the pass of a void ticket shown as void on every phone. A ticket that became void before its pass was
// known gets a pass that is void from the start: a late IssuePasses of its fulfilment carries a smaller change number and
// changes nothing.
//
// Idempotent: the second time nothing changes.
func (j *Jobs) VoidPass(ctx context.Context, job *river.Job[VoidPassArgs]) error {
	t, err := j.Orders.ReadTicket(ctx, job.Args.TicketID)
	if err != nil {
		return err
	}
	if t.State != order.TicketVoid {
		return nil
	}
	if t.PassSerial != "" {
		_, err = j.Passes.VoidPass(rpc.WithIdempotencyKey(ctx, "ticket/"+t.ID+"/void-pass"),
			&passv1.VoidPassRequest{PassSerial: t.PassSerial, VoidNote: "the ticket is void"})
		if err != nil {
			return fmt.Errorf("void pass: %w", err)
		}
		return nil
	}
	o, err := j.Orders.Read(ctx, orderstore.Key{ID: t.OrderID})
	if err != nil {
		return err
	}
	content, err := Content(&o, t, j.Codes)
	if err != nil {
		return err
	}
	content.Voided, content.TicketChangeNumber = true, t.ChangeNumber
	req := &passv1.IssuePassesRequest{OrderId: o.ID, Passes: []*passv1.PassContent{content}}
	key, err := IssueKey(fmt.Sprintf("ticket/%s/issue-void-pass/%d", t.ID, t.ChangeNumber), req)
	if err != nil {
		return err
	}
	if _, err = j.Passes.IssuePasses(rpc.WithIdempotencyKey(ctx, key), req); err != nil {
		return fmt.Errorf("issue void pass: %w", err)
	}
	return nil
}
