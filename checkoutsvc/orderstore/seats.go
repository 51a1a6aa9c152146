package orderstore

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// seatCandidates are how many of the best free seats are read in each round of finding the best available ones. The first round is cheap and
// mostly enough; the others also find neighbours behind many single seats, and what others left while they were faster.
var seatCandidates = [...]int32{200, 2000, 2000, 2000}

const (
	// seatChoicesMax is how many choices are tried in one statement. Each that is only partly free costs a subtransaction, of which Postgres
	// keeps 64 at hand.
	seatChoicesMax = 32
	// seatsRetryAfter is when another try may find seats that others were taking, or have let go.
	seatsRetryAfter = 100 * time.Millisecond
)

// takeSeats takes the seats of a new order, and writes them into its lines: those that were chosen, of all lines at once, then the best
// available. The row of the order is there by the end of the transaction, when the seats' references to it are checked.
//
// Who takes seats waits for others in one statement only, before it has any, and in the order of the seats; stock comes after seats, and so
// does the buyer's lock. So nobody blocks anybody for ever.
//
// Problems: SEAT_NOT_FOUND, SEAT_TAKEN, SOLD_OUT, SEATS_CONTENDED.
func (s *Store) takeSeats(ctx context.Context, tx pgx.Tx, o *order.Order) error {
	if err := s.takeChosenSeats(ctx, tx, o); err != nil {
		return err
	}
	for i := range o.Lines {
		if l := &o.Lines[i]; l.Seated && len(l.Seats) == 0 {
			if err := s.takeBestSeats(ctx, tx, o.ID, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeChosenSeats takes the seats that the lines name, or none.
func (s *Store) takeChosenSeats(ctx context.Context, tx pgx.Tx, o *order.Order) error {
	ids := o.SeatIDs()
	if len(ids) == 0 {
		return nil
	}
	rows, err := s.q.TakeSeats(ctx, tx, o.ID, ids)
	if err != nil {
		return fmt.Errorf("take seats: %w", err)
	}
	got, variants := map[string]order.Seat{}, map[string]string{}
	for _, r := range rows {
		got[r.ID], variants[r.ID] = order.Seat{ID: r.ID, Section: r.Section, Row: r.RowLabel, Label: r.Label}, r.VariantID
	}
	if len(rows) < len(ids) {
		places, err := s.q.ListSeatPlaces(ctx, tx, ids)
		if err != nil {
			return fmt.Errorf("list seats: %w", err)
		}
		for _, p := range places {
			variants[p.ID] = p.VariantID
		}
	}
	taken := map[string]bool{}
	for id := range got {
		taken[id] = true
	}
	if err := o.RefuseSeats(taken, variants); err != nil {
		return ToProblem(err)
	}
	for i := range o.Lines {
		for k, seat := range o.Lines[i].Seats {
			o.Lines[i].Seats[k] = got[seat.ID]
		}
	}
	return nil
}

// takeBestSeats takes the best available seats for a line: see [order.SeatChoices]. Choices that others are faster at are passed over.
func (s *Store) takeBestSeats(ctx context.Context, tx pgx.Tx, orderID string, l *order.Line) error {
	n := int(l.Quantity)
	for round, most := range seatCandidates {
		rows, err := s.q.ListFreeSeats(ctx, tx, l.VariantID, most)
		if err != nil {
			return fmt.Errorf("list free seats: %w", err)
		}
		if len(rows) < n {
			return soldOut(l)
		}
		choices := order.SeatChoices(freeSeats(rows), n, seatChoicesMax)
		if round == 0 && len(rows) == int(most) && !choices[0].Together() {
			continue // neighbours may stand further back
		}
		got, err := s.q.TakeOneChoice(ctx, tx, orderID, choiceIDs(choices), l.Quantity)
		if err != nil {
			return fmt.Errorf("take best seats: %w", err)
		}
		if len(got) > 0 {
			l.Seats = seatsOfChoice(choices, got[0])
			return nil
		}
	}
	return &problem.Problem{
		Code: connect.CodeAborted, Reason: "SEATS_CONTENDED", RetryAfter: seatsRetryAfter,
		Detail: "others were faster at the seats of " + l.VariantName + ", try again with the same key",
	}
}

func soldOut(l *order.Line) error {
	return problem.New(connect.CodeResourceExhausted, "SOLD_OUT",
		"there are not enough tickets of "+l.VariantName+" left; holds of others may end, try again later with a new key")
}

func freeSeats(rows []checkoutdb.ListFreeSeatsRow) []order.FreeSeat {
	free := make([]order.FreeSeat, len(rows))
	for i, r := range rows {
		free[i] = order.FreeSeat{
			Seat:      order.Seat{ID: r.ID, Section: r.Section, Row: r.RowLabel, Label: r.Label},
			RowNumber: r.RowNumber, Place: r.Place, QualityRank: r.QualityRank, Accessible: r.Accessible,
		}
	}
	return free
}

// choiceIDs are the ids of the seats of choices, one after the other.
func choiceIDs(choices []order.SeatChoice) []string {
	var ids []string
	for _, c := range choices {
		for _, seat := range c {
			ids = append(ids, seat.ID)
		}
	}
	return ids
}

// seatsOfChoice are the seats of the choice that begins with a seat.
func seatsOfChoice(choices []order.SeatChoice, first string) []order.Seat {
	for _, c := range choices {
		if c[0].ID == first {
			seats := make([]order.Seat, len(c))
			for i, seat := range c {
				seats[i] = seat.Seat
			}
			return seats
		}
	}
	panic("seats were taken that were no choice")
}

// lockSeats has the seats of an order wait for others who take them, before the buyer's lock: the order that takeSeats keeps.
func (s *Store) lockSeats(ctx context.Context, tx pgx.Tx, o *order.Order) error {
	ids := o.SeatIDs()
	if len(ids) == 0 {
		return nil
	}
	if err := s.q.LockSeats(ctx, tx, ids); err != nil {
		return fmt.Errorf("lock seats: %w", err)
	}
	return nil
}

// retakeSeats takes the seats again that an order had held, and says whether it got all of them.
func (s *Store) retakeSeats(ctx context.Context, tx pgx.Tx, o *order.Order) (bool, error) {
	ids := o.SeatIDs()
	if len(ids) == 0 {
		return true, nil
	}
	rows, err := s.q.TakeSeats(ctx, tx, o.ID, ids)
	if err != nil {
		return false, fmt.Errorf("take seats again: %w", err)
	}
	return len(rows) == len(ids), nil
}
