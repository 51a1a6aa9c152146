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

// IssuePassArgs names a ticket that replaces another one.
type IssuePassArgs struct {
	TicketID string `json:"ticket_id"`
}

// Kind implements river.JobArgs.
func (IssuePassArgs) Kind() string { return string(order.WorkIssuePass) }

// IssuePass has a ticket that replaces another one become valid, if the call that made it did not get there.
func (j *Jobs) IssuePass(ctx context.Context, job *river.Job[IssuePassArgs]) error {
	_, err := j.Issue(ctx, job.Args.TicketID)
	return err
}

// Issue issues the pass of a ticket that replaces another one, and brings the ticket to where the facts have it by then: valid, on hold, or
// void. It returns the order as it is then. The pass has the first change number of its ticket: what the ticket became meanwhile, other
// jobs report with larger ones.
//
// Idempotent, also on several replicas at once: the second time the same pass is returned, and the ticket has it.
func (j *Jobs) Issue(ctx context.Context, ticketID string) (order.Order, error) {
	o, t, err := j.read(ctx, ticketID)
	if err != nil || t.PassSerial != "" {
		return o, err
	}
	serial, err := j.issue(ctx, &o, t, "issue-pass")
	if err != nil {
		return o, err
	}
	o, _, err = j.Orders.Observe(ctx, orderstore.Key{ID: o.ID}, nil, order.PassIssued{TicketID: t.ID, Serial: serial})
	return o, err
}

// NamePassArgs names a ticket whose holder was named.
type NamePassArgs struct {
	TicketID string `json:"ticket_id"`
}

// Kind implements river.JobArgs.
func (NamePassArgs) Kind() string { return string(order.WorkNamePass) }

// NamePass has the pass of a ticket show the present name of its holder. Jobs of several changes may run in any order: each reports the
// present name with its number, and passsvc ignores smaller numbers.
//
// Idempotent: the second time nothing changes.
func (j *Jobs) NamePass(ctx context.Context, job *river.Job[NamePassArgs]) error {
	o, t, err := j.read(ctx, job.Args.TicketID)
	if err != nil || t.State == order.TicketVoid || t.PassSerial == "" {
		return err
	}
	_, err = j.issue(ctx, &o, t, fmt.Sprintf("name-pass/%d", t.HolderNumber))
	return err
}

// read reads a ticket with its order.
func (j *Jobs) read(ctx context.Context, ticketID string) (order.Order, *order.Ticket, error) {
	named, err := j.Orders.ReadTicket(ctx, ticketID)
	if err != nil {
		return order.Order{}, nil, err
	}
	o, err := j.Orders.Read(ctx, orderstore.Key{ID: named.OrderID})
	if err != nil {
		return o, nil, err
	}
	return o, o.Ticket(ticketID), nil
}

// issue issues the pass of one ticket with its first change number, and returns its serial.
func (j *Jobs) issue(ctx context.Context, o *order.Order, t *order.Ticket, step string) (string, error) {
	content, err := Content(o, *t, j.Codes)
	if err != nil {
		return "", err
	}
	req := &passv1.IssuePassesRequest{OrderId: o.ID, Passes: []*passv1.PassContent{content}}
	key, err := IssueKey("ticket/"+t.ID+"/"+step, req)
	if err != nil {
		return "", err
	}
	res, err := j.Passes.IssuePasses(rpc.WithIdempotencyKey(ctx, key), req)
	if err != nil {
		return "", fmt.Errorf("issue pass: %w", err)
	}
	if len(res.GetPasses()) != 1 || res.GetPasses()[0].GetTicketId() != t.ID {
		return "", fmt.Errorf("issue pass: no pass for ticket %s", t.ID)
	}
	return res.GetPasses()[0].GetSerial(), nil
}
