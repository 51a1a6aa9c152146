package admission

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderproto"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/page"
)

// attendeeCursor is where a page of attendees ended.
type attendeeCursor struct {
	Time     time.Time `json:"t"`
	OrderID  string    `json:"o"`
	Position int32     `json:"p"`
}

// ListAttendees implements AdmissionService.
func (s *Service) ListAttendees(ctx context.Context, req *checkoutv1.ListAttendeesRequest) (*checkoutv1.ListAttendeesResponse, error) {
	at, err := eventOf(ctx, req.GetEventId())
	if err != nil {
		return nil, err
	}
	if _, err := s.policy(ctx, s.Orders.Pool, at.eventID); err != nil {
		return nil, err
	}
	list := page.List("attendees", &checkoutv1.ListAttendeesRequest{
		EventId: at.eventID, Holder: req.GetHolder(), OrderId: req.GetOrderId(), State: req.GetState(),
	})
	after, err := page.Parse(req.GetPageToken(), list, attendeeCursor{Time: time.Unix(0, 0).UTC()})
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	rows, err := s.attendees(ctx, at.eventID, req, after, size+1)
	if err != nil {
		return nil, fmt.Errorf("list attendees: %w", err)
	}
	res := &checkoutv1.ListAttendeesResponse{}
	if len(rows) > int(size) {
		rows = rows[:size]
		last := rows[size-1]
		res.NextPageToken = page.Token(list, attendeeCursor{Time: last.OrderTime.UTC(), OrderID: last.OrderID, Position: last.Position})
	}
	for _, row := range rows {
		res.Attendees = append(res.Attendees, s.attendeeToProto(at, row))
	}
	return res, nil
}

func (s *Service) attendees(
	ctx context.Context, eventID string, req *checkoutv1.ListAttendeesRequest, after attendeeCursor, limit int32,
) ([]checkoutdb.ListAttendeesRow, error) {
	state := string(orderproto.TicketFromProto[req.GetState()])
	if req.GetOrderId() == "" {
		return s.q.ListAttendees(ctx, s.Orders.Pool, checkoutdb.ListAttendeesParams{
			EventID: eventID, AfterTime: after.Time, AfterID: after.OrderID, AfterPosition: after.Position, State: state, Holder: req.GetHolder(),
			PageSize: limit,
		})
	}
	rows, err := s.q.ListAttendeesOfOrder(ctx, s.Orders.Pool, checkoutdb.ListAttendeesOfOrderParams{
		OrderID: req.GetOrderId(), EventID: eventID, AfterPosition: after.Position, State: state, Holder: req.GetHolder(), PageSize: limit,
	})
	all := make([]checkoutdb.ListAttendeesRow, len(rows))
	for i, row := range rows {
		all[i] = checkoutdb.ListAttendeesRow(row)
	}
	return all, err
}

func (s *Service) attendeeToProto(at place, r checkoutdb.ListAttendeesRow) *checkoutv1.Attendee {
	ticket := order.Ticket{
		ID: r.ID, OrderID: r.OrderID, Position: r.Position, EventID: r.EventID, VariantID: r.VariantID, VariantVersion: r.VariantVersion,
		CodeKeyVersion: r.CodeKeyVersion, CreateTime: r.CreateTime, SnapshotSchema: r.SnapshotSchema, Snapshot: r.Snapshot,
		State: order.TicketState(r.State), PassSerial: r.PassSerial, ChangeNumber: r.ChangeNumber, ValidTime: r.ValidTime, SeatReturned: r.SeatReturned,
		HolderName: r.HolderName, HolderEmail: r.HolderEmail,
	}
	holder := (&order.Order{BuyerName: r.BuyerName, BuyerEmail: r.BuyerEmail}).Holder(&ticket)
	out := &checkoutv1.Attendee{Ticket: s.ticketFor(at, ticket), HolderName: string(holder.Name)}
	if at.deviceID == "" {
		out.HolderEmail = string(holder.Email)
	}
	if r.EntryNumber > 0 {
		out.LatestStay = &checkoutv1.Stay{
			EntryNumber: r.EntryNumber, EntryTime: timestamppb.New(r.EntryTime), EntryGate: r.EntryGate, EntryDeviceId: text(r.EntryDeviceID),
			ExitTime: wire.TimeToProto(r.ExitTime), ExitGate: r.ExitGate, Offline: r.Offline,
		}
	}
	return out
}
