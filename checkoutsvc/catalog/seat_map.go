package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
)

const (
	// sectionSeatsMax is how many seats a section has at most: it is written and read as a whole.
	sectionSeatsMax = 5000
	// eventSeatsMax and eventSectionsMax are how many an event has at most: the largest arenas have about 80,000 seats.
	eventSeatsMax, eventSectionsMax = 100_000, 1000
	// namedMax is how many seats, and how many wrong fields, a refusal names.
	namedMax = 16
)

// seatName is what a seat of a section is known by.
type seatName struct{ row, label string }

// mappedSeat is a seat of a request.
type mappedSeat struct {
	seatName
	path             string // of the message
	rowNumber, place int32
	seat             *checkoutv1.MappedSeat
}

// SetSeatMap implements CatalogService. The seats of the section are locked, so that none is taken meanwhile; sales of others go on. The
// stock's rows, which sales wait for, are written last.
func (s *Service) SetSeatMap(ctx context.Context, req *checkoutv1.SetSeatMapRequest) (*checkoutv1.SetSeatMapResponse, error) {
	seats, err := readSection(req)
	if err != nil {
		return nil, err
	}
	now := s.Clock.Now()
	return idem.Do(ctx, s.Pool, now, seatMapFingerprint(req, seats), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.SetSeatMapResponse, error) {
		if err := s.lockSeatMap(ctx, tx, req.GetEventId()); err != nil {
			return nil, err
		}
		if err := s.checkSection(ctx, tx, req, seats); err != nil {
			return nil, err
		}
		before, err := s.q.LockSection(ctx, tx, req.GetEventId(), req.GetSection())
		if err != nil {
			return nil, fmt.Errorf("lock section: %w", err)
		}
		change, err := compareSection(before, seats)
		if err != nil {
			return nil, err
		}
		if len(seats) > 0 {
			if err := s.q.SetSection(ctx, tx, req.GetEventId(), req.GetSection(), int32(len(seats)), now); err != nil {
				return nil, fmt.Errorf("set section: %w", err)
			}
		}
		if err := s.writeSection(ctx, tx, req, change); err != nil {
			return nil, err
		}
		if len(seats) == 0 {
			if err := s.q.DeleteSection(ctx, tx, req.GetEventId(), req.GetSection()); err != nil {
				return nil, fmt.Errorf("delete section: %w", err)
			}
		}
		if err := s.setSeatedCapacities(ctx, tx, change.variants); err != nil {
			return nil, err
		}
		return &checkoutv1.SetSeatMapResponse{
			SeatCount: int32(len(seats)), AddedSeatCount: int32(len(change.added)), RemovedSeatCount: int32(len(change.removed)),
		}, nil
	})
}

// lockSeatMap has other changes of an event's seats wait. Sales go on.
func (s *Service) lockSeatMap(ctx context.Context, tx pgx.Tx, eventID string) error {
	_, err := s.q.LockEvent(ctx, tx, eventID)
	if errors.Is(err, pgx.ErrNoRows) {
		return errNoEvent
	}
	if err != nil {
		return fmt.Errorf("lock event: %w", err)
	}
	return nil
}

// readSection returns the seats of a request in its order.
func readSection(req *checkoutv1.SetSeatMapRequest) ([]mappedSeat, error) {
	var seats []mappedSeat
	var wrong []problem.Field
	seen := map[seatName]bool{}
	for i, row := range req.GetRows() {
		for k, seat := range row.GetSeats() {
			m := mappedSeat{
				seatName: seatName{row.GetLabel(), seat.GetLabel()}, path: fmt.Sprintf("rows[%d].seats[%d]", i, k), rowNumber: int32(i), place: int32(k), seat: seat,
			}
			if seen[m.seatName] {
				wrong = append(wrong, problem.Field{Path: m.path + ".label", Description: "must not repeat another seat of the row"})
			}
			if (seat.X == nil) != (seat.Y == nil) {
				wrong = append(wrong, problem.Field{Path: m.path + ".x", Description: "must come with y, and y with it"})
			}
			seen[m.seatName] = true
			seats = append(seats, m)
		}
	}
	if len(seats) > sectionSeatsMax {
		return nil, problem.InvalidField("rows", fmt.Sprintf("must have at most %d seats in all, divide the section", sectionSeatsMax))
	}
	return seats, problem.InvalidFields(wrong...)
}

func seatMapFingerprint(req *checkoutv1.SetSeatMapRequest, seats []mappedSeat) []byte {
	parts := []any{req.GetEventId(), req.GetSection()}
	for _, m := range seats {
		parts = append(parts, m.row, m.label, m.rowNumber, m.place, m.seat.GetVariantId(), m.seat.GetQualityRank(), m.seat.X != nil, m.seat.GetX(),
			m.seat.GetY(), m.seat.GetAccessible())
	}
	return idem.Fingerprint(1, parts...)
}

// checkSection checks the variants of seats, and how many the event has then.
func (s *Service) checkSection(ctx context.Context, tx pgx.Tx, req *checkoutv1.SetSeatMapRequest, seats []mappedSeat) error {
	wanted := map[string]bool{}
	for _, m := range seats {
		wanted[m.seat.GetVariantId()] = true
	}
	seated, err := s.q.ListSeatedVariants(ctx, tx, req.GetEventId(), slices.Collect(maps.Keys(wanted)))
	if err != nil {
		return fmt.Errorf("list seated variants: %w", err)
	}
	var wrong []problem.Field
	for _, m := range seats {
		if !slices.Contains(seated, m.seat.GetVariantId()) {
			wrong = append(wrong, problem.Field{Path: m.path + ".variant_id", Description: "must be a seated variant of the event"})
		}
	}
	if err := problem.InvalidFields(wrong...); err != nil {
		return err
	}
	others, err := s.q.CountSections(ctx, tx, req.GetEventId(), req.GetSection())
	if err != nil {
		return fmt.Errorf("count sections: %w", err)
	}
	switch {
	case len(seats) == 0:
		return nil
	case others.SectionCount >= eventSectionsMax:
		return problem.InvalidField("section", fmt.Sprintf("the event has %d other sections, which is the most", others.SectionCount))
	case others.SeatCount+int64(len(seats)) > eventSeatsMax:
		return problem.InvalidField("rows", fmt.Sprintf("the event has %d other seats, and may have %d in all", others.SeatCount, eventSeatsMax))
	}
	return nil
}

// sectionChange is what a request changes of a section.
type sectionChange struct {
	added    []mappedSeat
	kept     []mappedSeat
	keptIDs  []string // of kept
	removed  []string // ids
	variants []string // whose seats these were, are or become
}

// compareSection refuses to take seats from orders that have them.
func compareSection(before []checkoutdb.LockSectionRow, seats []mappedSeat) (sectionChange, error) {
	there := map[seatName]checkoutdb.LockSectionRow{}
	variants := map[string]bool{}
	for _, b := range before {
		there[seatName{b.RowLabel, b.Label}] = b
		variants[b.VariantID] = true
	}
	var change sectionChange
	var moved []problem.Field
	for _, m := range seats {
		variants[m.seat.GetVariantId()] = true
		b, known := there[m.seatName]
		if !known {
			change.added = append(change.added, m)
			continue
		}
		if b.Taken && b.VariantID != m.seat.GetVariantId() {
			moved = append(moved, problem.Field{Path: m.path + ".variant_id", Description: "the seat is held or sold as another variant"})
		}
		change.kept, change.keptIDs = append(change.kept, m), append(change.keptIDs, b.ID)
		delete(there, m.seatName)
	}
	var inUse []string
	for _, b := range before {
		if _, gone := there[seatName{b.RowLabel, b.Label}]; !gone {
			continue
		}
		change.removed = append(change.removed, b.ID)
		if b.Taken {
			inUse = append(inUse, b.RowLabel+" "+b.Label)
		}
	}
	change.variants = slices.Sorted(maps.Keys(variants))
	if len(moved)+len(inUse) > 0 {
		return change, seatsInUse(moved, inUse)
	}
	return change, nil
}

// seatsInUse refuses to change seats that orders have: those that fields of the request name, and others by their names.
func seatsInUse(fields []problem.Field, others []string) error {
	detail := fmt.Sprintf("%d seats are held or sold and stay as they are; holds that expire give theirs back", len(fields)+len(others))
	if len(others) > 0 {
		detail += ": also " + strings.Join(others[:min(len(others), namedMax)], ", ")
	}
	return &problem.Problem{
		Code: connect.CodeFailedPrecondition, Reason: "SEAT_IN_USE", Detail: detail, Fields: fields[:min(len(fields), namedMax)],
	}
}

func (s *Service) writeSection(ctx context.Context, tx pgx.Tx, req *checkoutv1.SetSeatMapRequest, change sectionChange) error {
	if len(change.removed) > 0 {
		if err := s.q.DeleteSeats(ctx, tx, change.removed); err != nil {
			return fmt.Errorf("delete seats: %w", err)
		}
	}
	if len(change.kept) > 0 {
		var p checkoutdb.UpdateSeatsParams
		p.Ids = change.keptIDs
		for _, m := range change.kept {
			p.VariantIds = append(p.VariantIds, m.seat.GetVariantId())
			p.RowNumbers, p.Places = append(p.RowNumbers, m.rowNumber), append(p.Places, m.place)
			p.QualityRanks, p.Accessibles = append(p.QualityRanks, m.seat.GetQualityRank()), append(p.Accessibles, m.seat.GetAccessible())
			p.HasPlaces, p.Xs, p.Ys = append(p.HasPlaces, m.seat.X != nil), append(p.Xs, m.seat.GetX()), append(p.Ys, m.seat.GetY())
		}
		if err := s.q.UpdateSeats(ctx, tx, p); err != nil {
			return fmt.Errorf("update seats: %w", err)
		}
	}
	if len(change.added) == 0 {
		return nil
	}
	p := checkoutdb.InsertSeatsParams{EventID: req.GetEventId(), Section: req.GetSection()}
	for _, m := range change.added {
		p.Ids = append(p.Ids, s.NewID())
		p.RowLabels, p.Labels = append(p.RowLabels, m.row), append(p.Labels, m.label)
		p.VariantIds = append(p.VariantIds, m.seat.GetVariantId())
		p.RowNumbers, p.Places = append(p.RowNumbers, m.rowNumber), append(p.Places, m.place)
		p.QualityRanks, p.Accessibles = append(p.QualityRanks, m.seat.GetQualityRank()), append(p.Accessibles, m.seat.GetAccessible())
		p.HasPlaces, p.Xs, p.Ys = append(p.HasPlaces, m.seat.X != nil), append(p.Xs, m.seat.GetX()), append(p.Ys, m.seat.GetY())
	}
	if err := s.q.InsertSeats(ctx, tx, p); err != nil {
		return fmt.Errorf("insert seats: %w", err)
	}
	return nil
}

// setSeatedCapacities sets the stock of seated variants to their seats that are not blocked. The caller has locked the seat map, and the
// seats that it took off sale.
func (s *Service) setSeatedCapacities(ctx context.Context, tx pgx.Tx, variantIDs []string) error {
	counts, err := s.q.CountSeatsToSell(ctx, tx, variantIDs)
	if err != nil {
		return fmt.Errorf("count seats: %w", err)
	}
	for _, c := range counts {
		set, err := s.q.SetCapacity(ctx, tx, c.ID, c.SeatCount, stockShards(c.SeatCount))
		if err != nil {
			return fmt.Errorf("set capacity: %w", err)
		}
		if set == 0 {
			return fmt.Errorf("variant %s has more seats taken than it has", c.ID)
		}
	}
	return nil
}
