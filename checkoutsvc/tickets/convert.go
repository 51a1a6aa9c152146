package tickets

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
)

// passTimeout bounds the question for the link to a pass, without which a ticket is answered too.
const passTimeout = 3 * time.Second

// heldTicket is a ticket as its holder sees it.
func (s *Service) heldTicket(ctx context.Context, o *order.Order, ticketID string) *checkoutv1.HeldTicket {
	t := o.Ticket(ticketID)
	out := &checkoutv1.HeldTicket{
		Ticket: orderproto.TicketInstanceToProto(*t, s.Codes), HolderName: string(o.Holder(t).Name), Event: eventToProto(o, t),
	}
	out.Ticket.VoidReason = orderproto.VoidReasonToProto[o.VoidReason(t)]
	for i := range o.Transfers {
		if x := &o.Transfers[i]; x.TicketID == t.ID && x.State == order.TransferPending {
			out.PendingTransfer = orderproto.HolderTransferToProto(o, x)
		}
	}
	if t.State == order.TicketReserved || t.State == order.TicketVoid {
		out.Ticket.Code = "" // it admits nobody
	}
	if t.State == order.TicketVoid || t.PassSerial == "" {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	res, err := s.Passes.GetPass(ctx, &passv1.GetPassRequest{PassSerial: t.PassSerial})
	if err != nil {
		out.PassUnavailable = true
		return out
	}
	out.DownloadUrl = res.GetPass().GetDownloadUrl()
	return out
}

// eventToProto is the event of a ticket: as it was sold, but for its times.
func eventToProto(o *order.Order, t *order.Ticket) *checkoutv1.Event {
	out := &checkoutv1.Event{
		Id: o.EventID, OrganizerId: o.OrganizerID, DoorsTime: wire.TimeToProto(o.Schedule.DoorsTime), StartTime: timestamppb.New(o.Schedule.StartTime),
		EndTime: timestamppb.New(o.Schedule.EndTime), ScheduleNumber: int64(o.Schedule.Number), CancelTime: wire.TimeToProto(o.Schedule.CancelTime),
		TransfersAllowed: o.TransferTerms.Allowed, TransferEndTime: wire.TimeToProto(o.TransferTerms.EndTime),
		TransferLimit: o.TransferTerms.Limit, HolderChangeEndTime: wire.TimeToProto(o.TransferTerms.HolderEndTime),
	}
	if sold, err := t.ReadSnapshot(); err == nil {
		out.Name, out.OrganizerName = sold.EventName, sold.OrganizerName
		out.Venue = &checkoutv1.Venue{
			Name: sold.Venue.Name, Address: sold.Venue.Address, TimeZone: sold.Venue.TimeZone,
			Latitude: sold.Venue.Latitude, Longitude: sold.Venue.Longitude,
		}
	}
	return out
}
