package ticketpass

import (
	"context"
	"fmt"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
)

// Jobs are the jobs that have passes follow their tickets. All fields are required.
type Jobs struct {
	Orders *orderstore.Store
	Passes passv1connect.PassServiceClient
	Codes  ticketcode.Keys
}

// ticket loads a ticket with its order.
func (j *Jobs) ticket(ctx context.Context, id string) (*order.Order, order.Ticket, error) {
	o, err := j.Orders.ReadByTicket(ctx, id)
	if err != nil {
		return nil, order.Ticket{}, fmt.Errorf("read ticket: %w", err)
	}
	return &o, *o.Ticket(id), nil
}
