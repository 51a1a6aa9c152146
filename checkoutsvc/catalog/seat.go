package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
)

var errNoSection = problem.New(connect.CodeNotFound, "SECTION_NOT_FOUND", "the event's seat map has no such section")

// GetSeatMap implements CatalogService. Staff read what is stored; everybody else what this replica has read lately, since a page that
// shows a map asks again and again.
func (s *Service) GetSeatMap(ctx context.Context, req *checkoutv1.GetSeatMapRequest) (*checkoutv1.GetSeatMapResponse, error) {
	if isStaff(ctx) {
		return s.readSeatMap(ctx, req)
	}
	return s.seatMaps.get(ctx, s.Clock.Now(), req.GetEventId()+"/"+req.GetSection(), func(ctx context.Context) (*checkoutv1.GetSeatMapResponse, error) {
		return s.readSeatMap(ctx, req)
	})
}

// readSeatMap reads the sections of an event, or the seats of one.
func (s *Service) readSeatMap(ctx context.Context, req *checkoutv1.GetSeatMapRequest) (*checkoutv1.GetSeatMapResponse, error) {
	if err := s.checkEvent(ctx, req.GetEventId()); err != nil {
		return nil, err
	}
	res := &checkoutv1.GetSeatMapResponse{}
	if req.GetSection() == "" {
		sections, err := s.q.ListSections(ctx, s.Pool, req.GetEventId())
		if err != nil {
			return nil, fmt.Errorf("list sections: %w", err)
		}
		for _, section := range sections {
			res.Sections = append(res.Sections, &checkoutv1.SeatSection{Name: section.Name, SeatCount: section.SeatCount})
		}
		return res, nil
	}
	seats, err := s.q.ListSectionSeats(ctx, s.Pool, req.GetEventId(), req.GetSection())
	if err != nil {
		return nil, fmt.Errorf("list seats of a section: %w", err)
	}
	if len(seats) == 0 {
		return nil, errNoSection
	}
	for i, seat := range seats {
		if i == 0 || seats[i-1].RowNumber != seat.RowNumber {
			res.Rows = append(res.Rows, &checkoutv1.SeatRow{Label: seat.RowLabel})
		}
		row := res.Rows[len(res.GetRows())-1]
		row.Seats = append(row.Seats, &checkoutv1.MappedSeat{
			Id: seat.ID, Label: seat.Label, VariantId: seat.VariantID, QualityRank: seat.QualityRank, X: seat.X, Y: seat.Y,
			Accessible: seat.Accessible, Available: seat.Free,
		})
	}
	return res, nil
}

// seatsMax is the largest page of seats, and what callers get who do not say.
const seatsMax = 1000

// seatCursor is where a page of seats ended.
type seatCursor struct {
	Section string `json:"s"`
	Row     string `json:"r"`
	Label   string `json:"l"`
}

// seatStates has the word of each state, as ListSeats in seat.sql knows them.
var seatStates = map[checkoutv1.SeatState]string{
	checkoutv1.SeatState_SEAT_STATE_UNSPECIFIED: "",
	checkoutv1.SeatState_SEAT_STATE_FREE:        "free",
	checkoutv1.SeatState_SEAT_STATE_HELD:        "held",
	checkoutv1.SeatState_SEAT_STATE_SOLD:        "sold",
	checkoutv1.SeatState_SEAT_STATE_BLOCKED:     "blocked",
}

// ListSeats implements CatalogService.
func (s *Service) ListSeats(ctx context.Context, req *checkoutv1.ListSeatsRequest) (*checkoutv1.ListSeatsResponse, error) {
	if err := s.checkEvent(ctx, req.GetEventId()); err != nil {
		return nil, err
	}
	list := page.List("seats", &checkoutv1.ListSeatsRequest{EventId: req.GetEventId(), Section: req.GetSection(), State: req.GetState()})
	after, err := page.Parse(req.GetPageToken(), list, seatCursor{})
	if err != nil {
		return nil, err
	}
	size := cmp.Or(req.GetPageSize(), seatsMax)
	rows, err := s.q.ListSeats(ctx, s.Pool, checkoutdb.ListSeatsParams{
		EventID: req.GetEventId(), AfterSection: after.Section, AfterRow: after.Row, AfterLabel: after.Label, Section: req.GetSection(),
		State: seatStates[req.GetState()], PageSize: size + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("list seats: %w", err)
	}
	res := &checkoutv1.ListSeatsResponse{}
	if len(rows) > int(size) {
		rows = rows[:size]
		last := rows[size-1]
		res.NextPageToken = page.Token(list, seatCursor{last.Section, last.RowLabel, last.Label})
	}
	for _, r := range rows {
		res.Seats = append(res.Seats, &checkoutv1.ListedSeat{
			Seat:      &checkoutv1.Seat{Id: r.ID, Section: r.Section, Row: r.RowLabel, Label: r.Label},
			VariantId: r.VariantID, QualityRank: r.QualityRank, State: stateOfSeat(r), OrderId: r.OrderID, Accessible: r.Accessible,
		})
	}
	return res, nil
}

func stateOfSeat(r checkoutdb.ListSeatsRow) checkoutv1.SeatState {
	switch {
	case r.Blocked:
		return checkoutv1.SeatState_SEAT_STATE_BLOCKED
	case r.OrderID == "":
		return checkoutv1.SeatState_SEAT_STATE_FREE
	case r.HoldState == "consumed":
		return checkoutv1.SeatState_SEAT_STATE_SOLD
	}
	return checkoutv1.SeatState_SEAT_STATE_HELD
}

// BlockSeats implements CatalogService.
func (s *Service) BlockSeats(ctx context.Context, req *checkoutv1.BlockSeatsRequest) (*checkoutv1.BlockSeatsResponse, error) {
	fingerprint := idem.Fingerprint(1, req.GetEventId(), req.GetSeatIds())
	return idem.Do(ctx, s.Pool, s.Clock.Now(), fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.BlockSeatsResponse, error) {
		changed, err := s.setBlocked(ctx, tx, req.GetEventId(), req.GetSeatIds(), true)
		return &checkoutv1.BlockSeatsResponse{ChangedSeatCount: changed}, err
	})
}

// UnblockSeats implements CatalogService.
func (s *Service) UnblockSeats(ctx context.Context, req *checkoutv1.UnblockSeatsRequest) (*checkoutv1.UnblockSeatsResponse, error) {
	fingerprint := idem.Fingerprint(1, req.GetEventId(), req.GetSeatIds())
	return idem.Do(ctx, s.Pool, s.Clock.Now(), fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.UnblockSeatsResponse, error) {
		changed, err := s.setBlocked(ctx, tx, req.GetEventId(), req.GetSeatIds(), false)
		return &checkoutv1.UnblockSeatsResponse{ChangedSeatCount: changed}, err
	})
}

// setBlocked keeps seats off sale, or puts them on sale again, and says how many changed.
func (s *Service) setBlocked(ctx context.Context, tx pgx.Tx, eventID string, ids []string, blocked bool) (int32, error) {
	if err := s.lockSeatMap(ctx, tx, eventID); err != nil {
		return 0, err
	}
	rows, err := s.q.LockSeatsToBlock(ctx, tx, eventID, ids)
	if err != nil {
		return 0, fmt.Errorf("lock seats: %w", err)
	}
	seats := map[string]checkoutdb.LockSeatsToBlockRow{}
	var changed int32
	var variants []string
	for _, r := range rows {
		seats[r.ID] = r
		if r.Blocked != blocked {
			changed++
			variants = append(variants, r.VariantID)
		}
	}
	var missing, inUse []problem.Field
	for i, id := range ids {
		path := fmt.Sprintf("seat_ids[%d]", i)
		if seat, known := seats[id]; !known {
			missing = append(missing, problem.Field{Path: path, Description: "the event has no such seat"})
		} else if seat.Taken && blocked {
			inUse = append(inUse, problem.Field{Path: path, Description: "the seat is held or sold"})
		}
	}
	if len(missing) > 0 {
		return 0, &problem.Problem{
			Code: connect.CodeNotFound, Reason: "SEAT_NOT_FOUND", Detail: missing[0].Path + ": " + missing[0].Description, Fields: missing[:min(len(missing), namedMax)],
		}
	}
	if len(inUse) > 0 {
		return 0, seatsInUse(inUse, nil)
	}
	if changed == 0 {
		return 0, nil
	}
	if err := s.q.SetBlocked(ctx, tx, blocked, ids); err != nil {
		return 0, fmt.Errorf("set blocked: %w", err)
	}
	slices.Sort(variants)
	return changed, s.setSeatedCapacities(ctx, tx, slices.Compact(variants))
}
