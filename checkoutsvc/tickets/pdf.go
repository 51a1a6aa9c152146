package tickets

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/ticketpdf"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// GetTicketPdf implements TicketService.
func (s *Service) GetTicketPdf(ctx context.Context, req *checkoutv1.GetTicketPdfRequest) (*checkoutv1.GetTicketPdfResponse, error) {
	t, err := s.open(ctx, req.GetTicketId())
	if err != nil {
		return nil, err
	}
	o, err := s.Orders.Read(ctx, orderstore.Key{ID: t.OrderID})
	if err != nil {
		return nil, err
	}
	file, err := ticketpdf.Write(&o, []string{t.ID}, s.Codes)
	if errors.Is(err, ticketpdf.ErrNone) {
		if now := o.Ticket(t.ID); now.State == order.TicketVoid {
			return nil, problem.New(connect.CodeFailedPrecondition, string(order.ReasonTicketVoid), "the ticket is void")
		}
		return nil, problem.New(connect.CodeFailedPrecondition, string(order.ReasonTicketNotValid),
			"the ticket is "+string(o.Ticket(t.ID).State)+"; paper does not change, so that only a valid ticket is printed")
	}
	if err != nil {
		return nil, err
	}
	return &checkoutv1.GetTicketPdfResponse{Pdf: file, FileName: ticketpdf.FileName(t.ID)}, nil
}
