package admission

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// admitFingerprint covers what is scanned and where.
func admitFingerprint(req *checkoutv1.AdmitRequest) []byte {
	return idem.Fingerprint(1, req.GetCode(), req.GetTicketId(), req.GetEventId(), req.GetGate(), req.GetDirection())
}

// Admit implements AdmissionService. The order's lock has two scans of one ticket follow each other, on whichever replicas: the second one
// finds the stay of the first.
func (s *Service) Admit(ctx context.Context, req *checkoutv1.AdmitRequest) (*checkoutv1.AdmitResponse, error) {
	at, err := placeOf(ctx, req.GetEventId(), req.GetGate())
	if err != nil {
		return nil, err
	}
	now := s.Orders.Clock.Now()
	return idem.Do(ctx, s.Orders.Pool, now, admitFingerprint(req), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.AdmitResponse, error) {
		named, refused := s.named(req.GetCode(), req.GetTicketId())
		if refused != "" {
			return refusal(at, refused), nil
		}
		a, err := s.attend(ctx, tx, named.ticketID)
		if err != nil {
			return nil, err
		}
		row, known := a.tickets[named.ticketID]
		if !known {
			return refusal(at, order.PassageUnknownCode), nil
		}
		scan := order.Scan{
			ID: s.NewID(), TicketID: row.ID, Out: req.GetDirection() == checkoutv1.Direction_DIRECTION_OUT, Gate: at.gate, DeviceID: at.deviceID,
			Time: now, Recorded: now, Reentry: mayReenter(row.Reentry),
		}
		return s.admit(ctx, tx, at, named, scan, a)
	})
}

func (s *Service) admit(ctx context.Context, tx pgx.Tx, at place, named subject, scan order.Scan, a *attendance) (*checkoutv1.AdmitResponse, error) {
	passage := named.refusedAt(at, a.ticket(scan.TicketID))
	if passage == "" {
		passage = a.order(scan.TicketID).Passage(scan, a.stays(scan.TicketID))
	}
	if passage.Passed() {
		at.eventID = a.tickets[scan.TicketID].EventID
		a.scans[scan.TicketID] = append(a.scans[scan.TicketID], scan)
		w := settlement{service: s, at: at, now: scan.Recorded, added: []recorded{{Scan: scan, counts: true}}, tickets: []string{scan.TicketID}}
		if err := w.write(ctx, tx, a); err != nil {
			return nil, err
		}
	}
	t, stays := a.ticket(scan.TicketID), a.stays(scan.TicketID)
	res := &checkoutv1.AdmitResponse{Gate: at.gate}
	res.Admission, res.Message = answer(passage, stays, t)
	res.Message = aboutVoid(res.Message, passage, a.order(t.ID), t)
	if !at.mayKnow(t) {
		return res, nil
	}
	res.Ticket, res.HolderName = s.ticketFor(at, t), string(a.order(t.ID).Holder(&t).Name)
	if len(stays) > 0 {
		res.FirstAdmitTime, res.FirstGate = wire.TimeToProto(&stays[0].Entry.Time), stays[0].Entry.Gate
	}
	if passage.Passed() {
		res.AdmitTime = wire.TimeToProto(&scan.Time)
	}
	if passage == order.PassageEntered {
		res.EntryNumber = int32(len(stays))
	}
	return res, nil
}

// refusal answers a code that names no ticket.
func refusal(at place, p order.Passage) *checkoutv1.AdmitResponse {
	res := &checkoutv1.AdmitResponse{Gate: at.gate}
	res.Admission, res.Message = answer(p, nil, order.Ticket{})
	return res
}
