package admission

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/page"
)

// scanReport says what became of a scan. The ticket is the zero one where the code was none of ours.
func scanReport(scan order.Scan, p order.Passage, stays []order.Stay, t order.Ticket) *checkoutv1.ScanReport {
	out := &checkoutv1.ScanReport{
		ScanId: scan.ID, TicketId: t.ID, ScanTime: timestamppb.New(scan.Time), Gate: scan.Gate, DeviceId: scan.DeviceID,
	}
	out.Admission, out.Message = answer(p, stays, t)
	if len(stays) > 0 {
		out.FirstAdmitTime, out.FirstGate = wire.TimeToProto(&stays[0].Entry.Time), stays[0].Entry.Gate
	}
	return out
}

// ListScanConflicts implements AdmissionService.
func (s *Service) ListScanConflicts(ctx context.Context, req *checkoutv1.ListScanConflictsRequest) (*checkoutv1.ListScanConflictsResponse, error) {
	at, err := eventOf(ctx, req.GetEventId())
	if err != nil {
		return nil, err
	}
	if _, err := s.policy(ctx, s.Orders.Pool, at.eventID); err != nil {
		return nil, err
	}
	list := page.List("scan conflicts", &checkoutv1.ListScanConflictsRequest{EventId: at.eventID})
	after, err := page.Parse(req.GetPageToken(), list, page.Cursor{Time: time.Unix(0, 0).UTC()})
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	rows, err := s.q.ListScanConflicts(ctx, s.Orders.Pool, at.eventID, after.Time, after.ID, size+1)
	if err != nil {
		return nil, fmt.Errorf("list scan conflicts: %w", err)
	}
	res := &checkoutv1.ListScanConflictsResponse{}
	if len(rows) > int(size) {
		rows = rows[:size]
		last := rows[size-1]
		res.NextPageToken = page.Token(list, page.Cursor{Time: last.RecordTime.UTC(), ID: last.ID})
	}
	var ticketIDs []string
	for _, r := range rows {
		ticketIDs = append(ticketIDs, text(r.TicketID))
	}
	first, err := s.firstStays(ctx, ticketIDs)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		scan := order.Scan{ID: r.ID, Gate: r.Gate, DeviceID: text(r.DeviceID), Out: r.Direction == directionOut, Time: r.ScanTime}
		res.Reports = append(res.Reports, scanReport(scan, order.Passage(r.Outcome), first[text(r.TicketID)], order.Ticket{ID: text(r.TicketID)}))
	}
	return res, nil
}

// firstStays returns the first stays of tickets, each as a list of one.
func (s *Service) firstStays(ctx context.Context, ticketIDs []string) (map[string][]order.Stay, error) {
	rows, err := s.q.ListFirstStays(ctx, s.Orders.Pool, ticketIDs)
	if err != nil {
		return nil, fmt.Errorf("list first stays: %w", err)
	}
	first := map[string][]order.Stay{}
	for _, r := range rows {
		first[r.TicketID] = []order.Stay{{Number: 1, Entry: order.Scan{Time: r.EntryTime, Gate: r.EntryGate}}}
	}
	return first, nil
}
