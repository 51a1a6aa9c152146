package order

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// Seat is a seat as it is shown. JSON names are those of the column of a line and of a ticket's snapshot.
type Seat struct {
	ID      string `json:"id"`
	Section string `json:"section"`
	Row     string `json:"row"`
	Label   string `json:"label"`
}

// FreeSeat is a seat that best available may choose.
type FreeSeat struct {
	Seat
	// Seats of one section and row number with following places are neighbours.
	RowNumber, Place int32
	QualityRank      int32 // lower is better
	Accessible       bool  // for wheelchairs or the like
}

// SeatChoice is a number of seats for one line.
type SeatChoice []FreeSeat

// Together says whether the seats are neighbours.
func (c SeatChoice) Together() bool {
	for i := 1; i < len(c); i++ {
		if !neighbours(c[i-1], c[i]) {
			return false
		}
	}
	return true
}

// SeatChoices returns up to most choices of n of the free seats, the best first. No seat is in two of them.
//
// A choice is n neighbours where there are any. The best are those with the fewest accessible seats, then with the lowest sum of quality
// ranks, then whose worst seat is the best, then the first by section, row and place. Where no n neighbours are free, a choice is of as few
// groups of neighbours as can be: the longest there are, and the best of these. There is none when fewer than n are free.
func SeatChoices(free []FreeSeat, n, most int) []SeatChoice {
	var choices []SeatChoice
	left := slices.SortedFunc(slices.Values(free), byPlace)
	chosen := map[string]bool{}
	for _, w := range groupsOf(left, n) {
		if len(choices) == most {
			break
		}
		if !slices.ContainsFunc(w, func(s FreeSeat) bool { return chosen[s.ID] }) {
			choices = append(choices, w)
			for _, s := range w {
				chosen[s.ID] = true
			}
		}
	}
	if len(choices) > 0 {
		return choices
	}
	for len(choices) < most && len(left) >= n {
		split := fewestGroups(left, n)
		choices, left = append(choices, split), without(left, split)
	}
	return choices
}

// fewestGroups chooses n of the seats, which are in the order of their places, in as few groups of neighbours as can be. To take the longest
// group there is, again and again, leaves the fewest.
func fewestGroups(left []FreeSeat, n int) SeatChoice {
	var choice SeatChoice
	for size := n; len(choice) < n; {
		size = min(size, n-len(choice))
		groups := groupsOf(left, size)
		if len(groups) == 0 {
			size--
			continue
		}
		choice = append(choice, groups[0]...)
		left = without(left, groups[0])
	}
	return choice
}

// groupsOf returns all groups of n neighbours among seats that are in the order of their places, the best first.
func groupsOf(seats []FreeSeat, n int) [][]FreeSeat {
	var all [][]FreeSeat
	together := 0 // how many up to here are neighbours
	for i, s := range seats {
		if i == 0 || !neighbours(seats[i-1], s) {
			together = 0
		}
		if together++; together >= n {
			all = append(all, seats[i+1-n:i+1:i+1])
		}
	}
	slices.SortStableFunc(all, func(a, b []FreeSeat) int { // equal ones stay in the order of their places
		x, y := qualityOf(a), qualityOf(b)
		return slices.Compare(x[:], y[:])
	})
	return all
}

// qualityOf is how good a group is, what counts most first: lower is better.
func qualityOf(group []FreeSeat) [3]int64 {
	var q [3]int64 // accessible seats, sum of ranks, worst rank
	for _, s := range group {
		if s.Accessible {
			q[0]++
		}
		q[1] += int64(s.QualityRank)
		q[2] = max(q[2], int64(s.QualityRank))
	}
	return q
}

func neighbours(a, b FreeSeat) bool {
	return a.Section == b.Section && a.RowNumber == b.RowNumber && a.Place+1 == b.Place
}

func byPlace(a, b FreeSeat) int {
	return cmp.Or(cmp.Compare(a.Section, b.Section), cmp.Compare(a.RowNumber, b.RowNumber), cmp.Compare(a.Place, b.Place))
}

func without(all, some []FreeSeat) []FreeSeat {
	return slices.DeleteFunc(slices.Clone(all), func(s FreeSeat) bool { return slices.Contains(some, s) })
}

// HasSeats says whether the order is of seats, so that they must be taken, and not only counted.
func (o *Order) HasSeats() bool { return slices.ContainsFunc(o.Lines, Line.IsSeated) }

// IsSeated says whether each ticket of the line is a seat.
func (l Line) IsSeated() bool { return l.Seated || len(l.Seats) > 0 }

// SeatIDs are the ids of the line's seats.
func (l Line) SeatIDs() []string {
	ids := make([]string, len(l.Seats))
	for i, s := range l.Seats {
		ids[i] = s.ID
	}
	return ids
}

// SeatIDs are the ids of all seats of the order.
func (o *Order) SeatIDs() []string {
	var ids []string
	for _, l := range o.Lines {
		ids = append(ids, l.SeatIDs()...)
	}
	return ids
}

// RefuseSeats is why the order does not get the seats that were chosen, of which it could take some. variants has the variant of each
// seat that there is. It is nil when it got all.
//
// Reasons: SEAT_NOT_FOUND, SEAT_TAKEN.
func (o *Order) RefuseSeats(taken map[string]bool, variants map[string]string) error {
	var missing, gone []RefusedField
	for i, l := range o.Lines {
		for k, s := range l.Seats {
			path := fmt.Sprintf("lines[%d].seat_ids[%d]", i, k)
			if variants[s.ID] != l.VariantID {
				missing = append(missing, RefusedField{Path: path, Detail: "the variant has no such seat"})
			} else if !taken[s.ID] {
				gone = append(gone, RefusedField{Path: path, Detail: "the seat is not free any more"})
			}
		}
	}
	switch {
	case len(missing) > 0:
		return &Refusal{Reason: ReasonSeatNotFound, Detail: missing[0].Path + ": " + missing[0].Detail, Fields: missing}
	case len(gone) > 0:
		return &Refusal{Reason: ReasonSeatTaken, Detail: gone[0].Path + ": " + gone[0].Detail + "; choose others, with a new key", Fields: gone}
	}
	return nil
}

// checkSeats checks the seats that a line of a cart names. Field of the refusal is that of the line.
func checkSeats(v Offer, lines []CartLine, i int) *Refusal {
	ids := lines[i].SeatIDs
	if len(ids) == 0 {
		return nil
	}
	if !v.Seated {
		return &Refusal{Field: "seat_ids", Reason: ReasonInvalidField, Detail: "the variant has no seats"}
	}
	if len(ids) != int(lines[i].Quantity) {
		return &Refusal{Field: "seat_ids", Reason: ReasonInvalidField, Detail: "must be as many as the quantity, or none"}
	}
	for k, id := range ids {
		if slices.Contains(ids[:k], id) {
			return &Refusal{Field: fmt.Sprintf("seat_ids[%d]", k), Reason: ReasonInvalidField, Detail: "must not repeat another seat"}
		}
	}
	return nil
}

// seatsOf are the seats that a line of a cart names, of which only the ids are known yet.
func seatsOf(line CartLine) []Seat {
	var seats []Seat
	for _, id := range line.SeatIDs {
		seats = append(seats, Seat{ID: id})
	}
	return seats
}

// sit gives a new ticket a seat, which its snapshot shows from then on.
func (t *Ticket) sit(s Seat) {
	t.SeatID = s.ID
	var fields map[string]Document
	if err := json.Unmarshal(t.Snapshot, &fields); err != nil {
		panic("a snapshot cannot be read: " + err.Error())
	}
	fields["seat"] = document(s)
	t.Snapshot = document(fields)
}

// TakeSeat moves the seat of a ticket to one that replaces it, and whose snapshot is the same: the seat stays off sale. The old ticket shows
// it still, and has nothing to return.
func (t *Ticket) TakeSeat(from *Ticket) { t.SeatID, from.SeatID = from.SeatID, "" }

// document writes JSON.
func document(v any) Document {
	b, err := json.Marshal(v)
	if err != nil {
		panic("a snapshot cannot be written: " + err.Error())
	}
	return b
}
