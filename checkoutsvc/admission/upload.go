package admission

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dayof/dayof/checkoutsvc/order"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
)

var (
	errNoDevice   = problem.New(connect.CodeNotFound, "DOOR_DEVICE_NOT_FOUND", "there is no such device")
	errScanReused = problem.New(connect.CodeAlreadyExists, "SCAN_ID_REUSED", "a scan of this id is known, and it is another one; nothing was recorded")
)

// uploadFingerprint covers what was scanned.
func uploadFingerprint(req *checkoutv1.UploadScansRequest) []byte {
	parts := []any{req.GetDeviceId()}
	for _, scan := range req.GetScans() {
		parts = append(parts, scan.GetId(), scan.GetCode(), scan.GetDirection(), scan.GetScanTime().AsTime())
	}
	return idem.Fingerprint(1, parts...)
}

// UploadScans implements AdmissionService. All orders of the batch are locked at once, in the order of their ids.
func (s *Service) UploadScans(ctx context.Context, req *checkoutv1.UploadScansRequest) (*checkoutv1.UploadScansResponse, error) {
	at, err := placeOf(ctx, "", "")
	if err != nil {
		return nil, err
	}
	deviceID := at.deviceID
	switch {
	case deviceID == "" && req.GetDeviceId() == "":
		return nil, problem.InvalidField("device_id", "staff must name the device that scanned")
	case deviceID == "":
		deviceID = req.GetDeviceId()
	case req.GetDeviceId() != "" && req.GetDeviceId() != deviceID:
		return nil, errNoDevice
	}
	now := s.Orders.Clock.Now()
	res, err := idem.Do(ctx, s.Orders.Pool, now, uploadFingerprint(req), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.UploadScansResponse, error) {
		device, err := s.q.LockDoorDevice(ctx, tx, deviceID)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, errNoDevice
		}
		if err != nil {
			return nil, fmt.Errorf("lock door device: %w", err)
		}
		m := merge{settlement: settlement{
			service: s, at: place{eventID: device.EventID, gate: device.Gate, deviceID: device.ID, by: at.by}, now: now, offline: true,
		}}
		return m.run(ctx, tx, req.GetScans())
	})
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.ConstraintName == "door_scans_pkey" { // by another device at the same time
		return nil, errScanReused
	}
	return res, err
}

// merge is one upload.
type merge struct {
	settlement

	attendance *attendance
}

// read is a scan of an upload with what its code says.
type read struct {
	order.Scan

	named   subject
	refused order.Passage
}

func (m *merge) run(ctx context.Context, tx pgx.Tx, scans []*checkoutv1.OfflineScan) (*checkoutv1.UploadScansResponse, error) {
	all := make([]read, len(scans))
	var ids, ticketIDs []string
	for i, scan := range scans {
		named, refused := m.service.readCode(scan.GetCode())
		all[i] = read{named: named, refused: refused, Scan: order.Scan{
			ID: scan.GetId(), TicketID: named.ticketID, Out: scan.GetDirection() == checkoutv1.Direction_DIRECTION_OUT, Gate: m.at.gate,
			DeviceID: m.at.deviceID, Time: scan.GetScanTime().AsTime(), Recorded: m.now, Offline: true,
		}}
		ids = append(ids, scan.GetId())
		if refused == "" {
			ticketIDs = append(ticketIDs, named.ticketID)
		}
	}
	slices.Sort(ticketIDs)
	var err error
	if m.attendance, err = m.service.attend(ctx, tx, slices.Compact(ticketIDs)...); err != nil {
		return nil, err
	}
	known, err := m.known(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	final := map[string]order.Passage{} // of scans that do not count
	for _, scan := range all {
		before, repeated := known[scan.ID]
		if repeated && !before.sameAs(scan, m.attendance) {
			return nil, errScanReused
		}
		if repeated {
			final[scan.ID] = before.passage
			continue
		}
		m.add(scan, final)
	}
	if len(m.added) > 0 {
		slices.Sort(m.tickets)
		m.tickets = slices.Compact(m.tickets)
		if err := m.write(ctx, tx, m.attendance); err != nil {
			return nil, err
		}
	}
	return m.report(all, final), nil
}

// add takes a scan that is not known yet. A ticket that lets nobody in now had lost that when its scan was recorded: a conflict for people.
func (m *merge) add(scan read, final map[string]order.Passage) {
	row, exists := m.attendance.tickets[scan.TicketID]
	passage := scan.refused
	switch {
	case passage != "":
	case !exists:
		passage = order.PassageUnknownCode
	default:
		passage = scan.named.refusedAt(m.at, m.attendance.ticket(row.ID))
	}
	if passage == "" && !scan.Out {
		passage = m.attendance.order(row.ID).Bars(row.ID)
	}
	scan.Reentry = mayReenter(row.Reentry)
	if !exists {
		scan.TicketID = ""
	}
	if passage != "" {
		final[scan.ID] = passage
	} else {
		m.attendance.scans[row.ID] = append(m.attendance.scans[row.ID], scan.Scan)
		m.tickets = append(m.tickets, row.ID)
	}
	m.added = append(m.added, recorded{Scan: scan.Scan, passage: passage, counts: passage == ""})
}

// knownScan is a scan that was uploaded before.
type knownScan struct {
	order.Scan

	passage order.Passage
}

func (k knownScan) sameAs(scan read, a *attendance) bool {
	ticketID := ""
	if _, exists := a.tickets[scan.TicketID]; exists {
		ticketID = scan.TicketID
	}
	return k.DeviceID == scan.DeviceID && k.TicketID == ticketID && k.Out == scan.Out && k.Time.UnixMicro() == scan.Time.UnixMicro()
}

func (m *merge) known(ctx context.Context, tx pgx.Tx, ids []string) (map[string]knownScan, error) {
	rows, err := m.service.q.ListKnownScans(ctx, tx, ids)
	if err != nil {
		return nil, fmt.Errorf("list known scans: %w", err)
	}
	known := make(map[string]knownScan, len(rows))
	for _, r := range rows {
		known[r.ID] = knownScan{passage: order.Passage(r.Outcome), Scan: order.Scan{
			ID: r.ID, TicketID: text(r.TicketID), DeviceID: text(r.DeviceID), Out: r.Direction == directionOut, Time: r.ScanTime, Gate: r.Gate,
		}}
	}
	return known, nil
}

// report says what became of each scan of an upload, as it stands after it.
func (m *merge) report(all []read, final map[string]order.Passage) *checkoutv1.UploadScansResponse {
	res := &checkoutv1.UploadScansResponse{}
	stays, passages := map[string][]order.Stay{}, map[string]order.Passage{}
	for ticketID, scans := range m.attendance.scans {
		of, outcomes := order.Stays(scans)
		stays[ticketID] = of
		maps.Copy(passages, outcomes)
	}
	for _, scan := range all {
		passage, counts := passages[scan.ID]
		if !counts {
			passage = final[scan.ID]
		}
		report := scanReport(scan.Scan, passage, stays[scan.TicketID], order.Ticket{})
		if _, exists := m.attendance.tickets[scan.TicketID]; exists {
			report = scanReport(scan.Scan, passage, stays[scan.TicketID], m.attendance.ticket(scan.TicketID))
		}
		if !passage.Passed() {
			res.ConflictCount++
		}
		res.Reports = append(res.Reports, report)
	}
	return res
}
