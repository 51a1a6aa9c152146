package admission

import (
	"context"
	"slices"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// undoFingerprint covers whose stay is taken back.
func undoFingerprint(req *checkoutv1.UndoAdmissionRequest) []byte {
	return idem.Fingerprint(1, req.GetCode(), req.GetTicketId(), req.GetEventId())
}

// UndoAdmission implements AdmissionService. The scans of the stay stay on record and count no more.
func (s *Service) UndoAdmission(ctx context.Context, req *checkoutv1.UndoAdmissionRequest) (*checkoutv1.UndoAdmissionResponse, error) {
	at, err := placeOf(ctx, req.GetEventId(), "")
	if err != nil {
		return nil, err
	}
	now := s.Orders.Clock.Now()
	return idem.Do(ctx, s.Orders.Pool, now, undoFingerprint(req), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.UndoAdmissionResponse, error) {
		named, refused := s.named(req.GetCode(), req.GetTicketId())
		if refused != "" {
			return nil, errNoTicket
		}
		a, err := s.attend(ctx, tx, named.ticketID)
		if err != nil {
			return nil, err
		}
		row, known := a.tickets[named.ticketID]
		if !known || named.refusedAt(at, a.ticket(row.ID)) != "" {
			return nil, errNoTicket
		}
		stays := a.stays(row.ID)
		if len(stays) == 0 {
			return nil, problem.New(connect.CodeFailedPrecondition, "TICKET_NOT_ADMITTED", "nobody has entered with this ticket, so there is nothing to take back")
		}
		last := stays[len(stays)-1]
		a.scans[row.ID] = slices.DeleteFunc(a.scans[row.ID], func(scan order.Scan) bool {
			return scan.ID == last.Entry.ID || last.Exit != nil && scan.ID == last.Exit.ID
		})
		w := settlement{service: s, at: at, now: now, undone: []order.Stay{last}, tickets: []string{row.ID}}
		if err := w.write(ctx, tx, a); err != nil {
			return nil, err
		}
		return &checkoutv1.UndoAdmissionResponse{Ticket: s.ticketFor(at, a.ticket(row.ID)), Stay: stayToProto(last)}, nil
	})
}

func stayToProto(s order.Stay) *checkoutv1.Stay {
	out := &checkoutv1.Stay{
		EntryNumber: s.Number, EntryTime: timestamppb.New(s.Entry.Time), EntryGate: s.Entry.Gate, EntryDeviceId: s.Entry.DeviceID, Offline: s.Entry.Offline,
	}
	if s.Exit != nil {
		out.ExitTime, out.ExitGate = wire.TimeToProto(&s.Exit.Time), s.Exit.Gate
	}
	return out
}
