package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// attendance is what one transaction knows of some tickets, under the locks of their orders.
type attendance struct {
	tickets map[string]checkoutdb.ListScannedTicketsRow
	orders  map[string]*order.Order
	scans   map[string][]order.Scan  // that count, by ticket
	stored  map[string]order.Passage // what each of these came to so far
}

// attend locks the orders of tickets and loads all that decides about them. Ids that are no ticket's are passed over.
func (s *Service) attend(ctx context.Context, tx pgx.Tx, ticketIDs ...string) (*attendance, error) {
	a := &attendance{tickets: map[string]checkoutdb.ListScannedTicketsRow{}, scans: map[string][]order.Scan{}, stored: map[string]order.Passage{}}
	rows, err := s.q.ListScannedTickets(ctx, tx, ticketIDs)
	if err != nil {
		return nil, fmt.Errorf("list tickets: %w", err)
	}
	var orderIDs []string
	for _, t := range rows {
		a.tickets[t.ID] = t
		orderIDs = append(orderIDs, t.OrderID)
	}
	slices.Sort(orderIDs)
	if a.orders, err = s.Orders.Lock(ctx, tx, slices.Compact(orderIDs)); err != nil {
		return nil, err
	}
	scans, err := s.q.ListCountedScans(ctx, tx, ticketIDs)
	if err != nil {
		return nil, fmt.Errorf("list scans: %w", err)
	}
	for i, scan := range scansFromRows(scans) {
		a.scans[scan.TicketID] = append(a.scans[scan.TicketID], scan)
		a.stored[scan.ID] = order.Passage(scans[i].Outcome)
	}
	return a, nil
}

func (a *attendance) order(ticketID string) *order.Order {
	return a.orders[a.tickets[ticketID].OrderID]
}

func (a *attendance) ticket(ticketID string) order.Ticket { return *a.order(ticketID).Ticket(ticketID) }

func (a *attendance) stays(ticketID string) []order.Stay {
	stays, _ := order.Stays(a.scans[ticketID])
	return stays
}

// recorded is a scan to write.
type recorded struct {
	order.Scan // TicketID is empty where the code was none of ours
	passage    order.Passage
	counts     bool // then Stays says what it comes to
}

// settlement is what is written of some tickets together.
type settlement struct {
	service *Service
	at      place
	now     time.Time
	offline bool
	added   []recorded
	undone  []order.Stay
	tickets []string // whose scans changed
}

// write writes scans, has stays follow from all scans of the tickets, and the tickets' states from the stays.
func (w *settlement) write(ctx context.Context, tx pgx.Tx, a *attendance) error {
	var p pgdb.Pipeline
	var errs []error
	q := w.service.q
	stays := stayColumns{}
	changed := map[string]order.Passage{}
	var seen []orderstore.Observation
	passages := map[string]order.Passage{}
	for _, id := range w.tickets {
		of, outcomes := order.Stays(a.scans[id])
		for scanID, passage := range outcomes {
			passages[scanID] = passage
			if before, stored := a.stored[scanID]; stored && before != passage {
				changed[scanID] = passage
			}
		}
		row := a.tickets[id]
		for _, stay := range of {
			stays.add(row, stay)
		}
		switch state := a.ticket(id).State; {
		case len(of) > 0 && state == order.TicketValid:
			seen = append(seen, orderstore.Observation{OrderID: row.OrderID, Fact: order.TicketAdmitted{
				TicketID: id, Gate: of[0].Entry.Gate, By: w.at.by, PassShowsUsed: row.PassShowsUsed,
			}})
		case len(of) == 0 && len(w.undone) > 0:
			seen = append(seen, orderstore.Observation{OrderID: row.OrderID, Fact: order.AdmissionUndone{
				TicketID: id, By: w.at.by, PassShowsUsed: row.PassShowsUsed,
			}})
		}
	}
	if len(w.added) > 0 {
		errs = append(errs, q.InsertScans(ctx, &p, w.scanColumns(passages)))
	}
	for _, stay := range w.undone {
		scans := []string{stay.Entry.ID}
		if stay.Exit != nil {
			scans = append(scans, stay.Exit.ID)
		}
		errs = append(errs, q.UndoScans(ctx, &p, w.now, w.at.by, scans), q.UndoStay(ctx, &p, w.now, w.at.by, stay.Entry.ID))
	}
	if len(changed) > 0 {
		var ids, outcomes []string
		for id, passage := range changed {
			ids, outcomes = append(ids, id), append(outcomes, string(passage))
		}
		errs = append(errs, q.SetScanOutcomes(ctx, &p, ids, outcomes))
	}
	if had := a.withStays(w.tickets); len(had) > 0 {
		errs = append(errs, q.DeleteStays(ctx, &p, had))
	}
	if len(stays.Ids) > 0 {
		errs = append(errs, q.InsertStays(ctx, &p, checkoutdb.InsertStaysParams(stays)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := p.Flush(ctx, tx); err != nil {
		return fmt.Errorf("write scans: %w", err)
	}
	return w.service.Orders.ObserveLocked(ctx, tx, a.orders, seen)
}

// withStays are those of some tickets that have stays in the database.
func (a *attendance) withStays(ticketIDs []string) []string {
	entered := map[string]bool{}
	for id, scans := range a.scans {
		entered[id] = slices.ContainsFunc(scans, func(s order.Scan) bool { return a.stored[s.ID] == order.PassageEntered })
	}
	return slices.DeleteFunc(slices.Clone(ticketIDs), func(id string) bool { return !entered[id] })
}

func (w *settlement) scanColumns(passages map[string]order.Passage) checkoutdb.InsertScansParams {
	c := checkoutdb.InsertScansParams{EventID: w.at.eventID, Gate: w.at.gate, DeviceID: w.at.device(), RecordTime: w.now, Offline: w.offline}
	for _, scan := range w.added {
		passage := scan.passage
		if scan.counts {
			passage = passages[scan.ID]
		}
		c.Ids, c.TicketIds = append(c.Ids, scan.ID), append(c.TicketIds, scan.TicketID)
		c.Directions, c.ScanTimes = append(c.Directions, direction(scan.Out)), append(c.ScanTimes, scan.Time)
		c.Counts, c.Outcomes, c.Reentry = append(c.Counts, scan.counts), append(c.Outcomes, string(passage)), append(c.Reentry, scan.Reentry)
	}
	return c
}

// stayColumns are stays as lists of equal length.
type stayColumns checkoutdb.InsertStaysParams

func (c *stayColumns) add(row checkoutdb.ListScannedTicketsRow, stay order.Stay) {
	exit := order.Scan{Time: stay.Entry.Time}
	if stay.Exit != nil {
		exit = *stay.Exit
	}
	c.Ids, c.TicketIds = append(c.Ids, stay.Entry.ID), append(c.TicketIds, row.ID)
	c.EventIds, c.OrderIds = append(c.EventIds, row.EventID), append(c.OrderIds, row.OrderID)
	c.EntryNumbers = append(c.EntryNumbers, stay.Number)
	c.EntryGates, c.EntryDeviceIds = append(c.EntryGates, stay.Entry.Gate), append(c.EntryDeviceIds, stay.Entry.DeviceID)
	c.EntryTimes, c.RecordTimes = append(c.EntryTimes, stay.Entry.Time), append(c.RecordTimes, stay.Entry.Recorded)
	c.ExitGates, c.ExitDeviceIds = append(c.ExitGates, exit.Gate), append(c.ExitDeviceIds, exit.DeviceID)
	c.ExitTimes, c.Reentry, c.Offline = append(c.ExitTimes, exit.Time), append(c.Reentry, stay.Entry.Reentry), append(c.Offline, stay.Entry.Offline)
}

func scansFromRows(rows []checkoutdb.ListCountedScansRow) []order.Scan {
	scans := make([]order.Scan, len(rows))
	for i, r := range rows {
		scans[i] = order.Scan{
			ID: r.ID, TicketID: r.TicketID, Out: r.Direction == directionOut, Gate: r.Gate, DeviceID: text(r.DeviceID), Time: r.ScanTime,
			Recorded: r.RecordTime, Offline: r.Offline, Reentry: r.Reentry,
		}
	}
	return scans
}

// The directions as they are stored.
const (
	directionIn  = "in"
	directionOut = "out"
)

func direction(out bool) string {
	if out {
		return directionOut
	}
	return directionIn
}

// text is a column that may be null.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
