// Package ticketpass says what the wallet pass of a ticket shows, and has passes follow their tickets.
package ticketpass

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	"github.com/dayof/dayof/checkoutsvc/wire"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
)

// IssueKey is the idempotency key of a step that asks for passes. What the passes show is a part of it: the rows that it is built from
// are frozen, but not how a release words them, and releases run side by side while one takes over. Another text is another call then. It
// makes no second pass: passsvc keeps one per ticket, whatever the key, in the words of the first.
func IssueKey(step string, req *passv1.IssuePassesRequest) (string, error) { return CallKey(step, req) }

// CallKey is the idempotency key of a step whose request is a part of it.
func CallKey(step string, req proto.Message) (string, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(req) // builds may differ: that is one more call
	if err != nil {
		return "", fmt.Errorf("encode passes: %w", err)
	}
	sum := sha256.Sum256(b)
	return step + "/" + hex.EncodeToString(sum[:16]), nil
}

// Content is what a ticket's pass shows: what was sold, as it was sold, and when the event takes place, as the order was loaded with it.
// All but the schedule and the holder's name is built from frozen rows, so that a repeat by the same release is the same bytes; a move of
// the event is another call. passsvc keeps the newest schedule and the newest name that it was told of.
func Content(o *order.Order, t order.Ticket, codes ticketcode.Keys) (*passv1.PassContent, error) {
	s, err := t.ReadSnapshot()
	if err != nil {
		return nil, err
	}
	var seat *passv1.PassSeat
	if s.Seat != nil {
		seat = &passv1.PassSeat{Section: s.Seat.Section, Row: s.Seat.Row, Label: s.Seat.Label}
	}
	holder := o.Holder(&t)
	return &passv1.PassContent{
		TicketId: t.ID, TicketChangeNumber: 1, Code: codes.Sign(t.ID, t.EventID, t.CodeKeyVersion),
		OrganizerId: o.OrganizerID, OrganizerName: s.OrganizerName,
		Event: &passv1.PassEvent{
			Id: t.EventID, Name: s.EventName, VenueName: s.Venue.Name, VenueAddress: s.Venue.Address,
			TimeZone: s.Venue.TimeZone, Latitude: s.Venue.Latitude, Longitude: s.Venue.Longitude,
			DoorsTime: wire.TimeToProto(o.Schedule.DoorsTime), StartTime: timestamppb.New(o.Schedule.StartTime),
			EndTime: timestamppb.New(o.Schedule.EndTime), ScheduleNumber: int64(o.Schedule.Number), Canceled: o.Schedule.Canceled(),
		},
		ProductName: s.ProductName, VariantName: s.VariantName, HolderName: string(holder.Name), HolderNumber: int64(t.HolderNumber),
		Price: wire.MoneyToProto(s.Price.Currency, s.Price.MinorUnits),
		Terms: s.Terms, Language: holder.Language, HolderOnly: t.Transferred(), Seat: seat,
	}, nil
}
