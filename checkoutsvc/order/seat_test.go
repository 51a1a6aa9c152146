package order_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/dayof/dayof/checkoutsvc/order"
)

// hallOf reads free seats from rows such as "1 1 . 2 2w": a rank for each free seat, w for one of a wheelchair, a dot for one that is
// taken, a bar for an aisle. Their labels count from 1 in each row, the rows are A, B and so on.
func hallOf(rows ...string) []order.FreeSeat {
	var free []order.FreeSeat
	number := int32(0)
	for r, row := range rows {
		place, label := int32(0), 0
		number++
		for word := range strings.FieldsSeq(row) {
			if word == "|" {
				number, place = number+1, 0
				continue
			}
			place++
			label++
			if word == "." {
				continue
			}
			var rank int32
			if _, err := fmt.Sscanf(word, "%d", &rank); err != nil {
				panic(err)
			}
			name := string(rune('A' + r))
			free = append(free, order.FreeSeat{
				Seat:      order.Seat{ID: fmt.Sprint(name, label), Section: "hall", Row: name, Label: fmt.Sprint(label)},
				RowNumber: number, Place: place, QualityRank: rank, Accessible: strings.HasSuffix(word, "w"),
			})
		}
	}
	return free
}

func idsOf(choices []order.SeatChoice) string {
	var all []string
	for _, c := range choices {
		var ids []string
		for _, s := range c {
			ids = append(ids, s.ID)
		}
		all = append(all, strings.Join(ids, " "))
	}
	return strings.Join(all, ", ")
}

func TestSeatChoices(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rows    []string
		n, most int
		want    string
	}{
		"the best row":                             {[]string{"2 2 2", "1 1 1"}, 2, 1, "B1 B2"},
		"the best sum":                             {[]string{"1 9 9", "4 4 9"}, 2, 1, "B1 B2"},
		"of equal sums the best worst seat":        {[]string{"1 5", "3 3"}, 2, 1, "B1 B2"},
		"of equal ones the first":                  {[]string{"1 1 1"}, 2, 1, "A1 A2"},
		"neighbours before better single seats":    {[]string{"1 . 1", "7 7"}, 2, 1, "B1 B2"},
		"not across an aisle":                      {[]string{"1 | 1 2"}, 2, 1, "A2 A3"},
		"no wheelchair's seat":                     {[]string{"1w 1", "9 9"}, 2, 1, "B1 B2"},
		"wheelchairs' seats where nothing is left": {[]string{"1w 1 . ."}, 2, 1, "A1 A2"},
		"alternatives share no seat":               {[]string{"1 1 1 1 2"}, 2, 9, "A1 A2, A3 A4"},
		"no more than asked for":                   {[]string{"1 1 1 1 1 1"}, 2, 2, "A1 A2, A3 A4"},
		"the fewest groups":                        {[]string{"1 . 1 . 1", "9 9 9 . 9"}, 4, 1, "B1 B2 B3 A1"},
		"of these the best":                        {[]string{"5 5 . 1 1", "9 . 2"}, 3, 1, "A4 A5 B3"},
		"alternatives in groups":                   {[]string{"1 . 1 . 1 . 1"}, 2, 9, "A1 A3, A5 A7"},
		"too few":                                  {[]string{"1 1"}, 3, 9, ""},
		"a single one":                             {[]string{"2 1 3"}, 1, 2, "A2, A1"},
	} {
		if got := idsOf(order.SeatChoices(hallOf(c.rows...), c.n, c.most)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// groupCount is how many groups of neighbours a choice is of.
func groupCount(c order.SeatChoice) int {
	n := 1
	for i := 1; i < len(c); i++ {
		if !(order.SeatChoice{c[i-1], c[i]}).Together() {
			n++
		}
	}
	return n
}

// fewest is the smallest number of groups that n of the seats can be of, found by trying all.
func fewest(free []order.FreeSeat, n int) int {
	least := n + 1
	for set := range 1 << len(free) {
		var c order.SeatChoice
		for i, s := range free {
			if set>>i&1 == 1 {
				c = append(c, s)
			}
		}
		if len(c) == n {
			least = min(least, groupCount(c))
		}
	}
	return least
}

// TestSeatChoicesOfRandomHalls draws small halls: choices are of free seats that no two share, in the fewest groups there are, and the same
// whatever the order of the seats.
func TestSeatChoicesOfRandomHalls(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(seed(t), 1))
	for range 3000 {
		var rows []string
		for range 1 + r.IntN(3) {
			var row []string
			for range 1 + r.IntN(5) {
				row = append(row, []string{".", "|", fmt.Sprint(r.IntN(3)), fmt.Sprint(r.IntN(3)), "1w"}[r.IntN(5)])
			}
			rows = append(rows, strings.Join(row, " "))
		}
		free, n, most := hallOf(rows...), 1+r.IntN(5), 1+r.IntN(4)
		choices := order.SeatChoices(free, n, most)
		if (len(choices) > 0) != (len(free) >= n) || len(choices) > most {
			t.Fatalf("%q: %d choices of %d seats", rows, len(choices), n)
		}
		seen := map[string]bool{}
		for _, c := range choices {
			if len(c) != n {
				t.Fatalf("%q: a choice of %d seats: %s", rows, n, idsOf(choices))
			}
			for _, s := range c {
				if seen[s.ID] || !slices.Contains(free, s) {
					t.Fatalf("%q: seat %s is not free, or in two choices: %s", rows, s.ID, idsOf(choices))
				}
				seen[s.ID] = true
			}
		}
		if len(choices) > 0 && groupCount(choices[0]) != fewest(free, n) {
			t.Fatalf("%q: %s is in %d groups, %d are enough", rows, idsOf(choices[:1]), groupCount(choices[0]), fewest(free, n))
		}
		shuffled := slices.Clone(free)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again := order.SeatChoices(shuffled, n, most); idsOf(again) != idsOf(choices) {
			t.Fatalf("%q: %s, and in another order %s", rows, idsOf(choices), idsOf(again))
		}
	}
}

// seatedOrder is newOrder of three seats.
func seatedOrder(p order.Policy) order.Order {
	o := newOrder(p)
	for i := range 3 {
		o.Lines[0].Seats = append(o.Lines[0].Seats, order.Seat{ID: fmt.Sprint("seat", i), Section: "Balcony", Row: "F", Label: fmt.Sprint(i + 1)})
	}
	return o
}

// checkSeats wants each ticket that is not void on a seat of its own, and what went back told once.
func checkSeats(before, after *order.Order, c *order.Changes) error {
	if !after.HasSeats() {
		if len(c.SeatIDsReturned) > 0 {
			return errors.New("seats of general admission went back")
		}
		return nil
	}
	var back []string
	for i, t := range after.Tickets {
		first := i // the position of the ticket that was sold, of which this one is the latest or one before
		for id := t.Replaces; id != ""; id = after.Ticket(id).Replaces {
			first = int(after.Ticket(id).Position) - 1
		}
		seat := after.Lines[0].Seats[first]
		if want := map[bool]string{true: "", false: seat.ID}[t.SeatReturned || after.Replacement(t.ID) != nil]; t.SeatID != want {
			return fmt.Errorf("ticket %d, %s, has the seat %q, want %q", i, t.State, t.SeatID, want)
		}
		if t.SeatReturned && (i >= len(before.Tickets) || !before.Tickets[i].SeatReturned) {
			back = append(back, seat.ID)
		}
		if sold, err := t.ReadSnapshot(); err != nil || sold.Seat == nil || *sold.Seat != seat {
			return fmt.Errorf("ticket %d shows the seat %v, %w", i, sold.Seat, err)
		}
	}
	if !slices.Equal(back, c.SeatIDsReturned) || len(back) != len(c.SeatsReturned) {
		return fmt.Errorf("seats %v are on sale again, told are %v and %d tickets", back, c.SeatIDsReturned, len(c.SeatsReturned))
	}
	return nil
}

func TestSeatsOfACart(t *testing.T) {
	t.Parallel()
	offer := func(id string, seated bool) order.Offer {
		return order.Offer{VariantID: id, Version: 1, Currency: "EUR", Price: price, OrderTicketLimit: 10, Seated: seated}
	}
	for name, c := range map[string]struct {
		line order.CartLine
		want string
	}{
		"chosen":                     {order.CartLine{VariantID: "hall", Quantity: 2, SeatIDs: []string{"a", "b"}}, ""},
		"best available":             {order.CartLine{VariantID: "hall", Quantity: 2}, ""},
		"fewer than the quantity":    {order.CartLine{VariantID: "hall", Quantity: 2, SeatIDs: []string{"a"}}, "lines[0].seat_ids"},
		"more than the quantity":     {order.CartLine{VariantID: "hall", Quantity: 1, SeatIDs: []string{"a", "b"}}, "lines[0].seat_ids"},
		"one twice":                  {order.CartLine{VariantID: "hall", Quantity: 2, SeatIDs: []string{"a", "a"}}, "lines[0].seat_ids[1]"},
		"seats of general admission": {order.CartLine{VariantID: "floor", Quantity: 1, SeatIDs: []string{"a"}}, "lines[0].seat_ids"},
	} {
		o, err := order.Quote(
			order.Event{ID: "e1", Schedule: order.Schedule{Number: 1, EndTime: t0.AddDate(1, 0, 0)}, Publication: order.EventPublished},
			[]order.Offer{offer("hall", true), offer("floor", false)}, order.Cart{OrderID: "o1", Lines: []order.CartLine{c.line}},
			testPolicy(rand.New(rand.NewPCG(1, 1))), t0,
		)
		refused, _ := errors.AsType[*order.Refusal](err)
		if (refused == nil) != (c.want == "") || refused != nil && (refused.Reason != order.ReasonInvalidField || refused.Fields[0].Path != c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if refused == nil && (!o.HasSeats() || !slices.Equal(o.SeatIDs(), c.line.SeatIDs)) {
			t.Errorf("%s: the order has seats %t: %v", name, o.HasSeats(), o.SeatIDs())
		}
	}
}

func TestRefuseSeats(t *testing.T) {
	t.Parallel()
	o := seatedOrder(testPolicy(rand.New(rand.NewPCG(1, 1))))
	all := map[string]string{"seat0": "v1", "seat1": "v1", "seat2": "v1"}
	for name, c := range map[string]struct {
		taken    []string
		variants map[string]string
		reason   order.Reason
		paths    string
	}{
		"all":            {[]string{"seat0", "seat1", "seat2"}, all, "", ""},
		"one is gone":    {[]string{"seat0", "seat2"}, all, order.ReasonSeatTaken, "[lines[0].seat_ids[1]]"},
		"all are gone":   {nil, all, order.ReasonSeatTaken, "[lines[0].seat_ids[0] lines[0].seat_ids[1] lines[0].seat_ids[2]]"},
		"one is unknown": {[]string{"seat0"}, map[string]string{"seat0": "v1", "seat1": "v1"}, order.ReasonSeatNotFound, "[lines[0].seat_ids[2]]"},
		"one is not his": {[]string{"seat0", "seat1", "seat2"}, map[string]string{"seat0": "v1", "seat1": "v2", "seat2": "v1"}, order.ReasonSeatNotFound, "[lines[0].seat_ids[1]]"},
	} {
		taken := map[string]bool{}
		for _, id := range c.taken {
			taken[id] = true
		}
		err := o.RefuseSeats(taken, c.variants)
		refused, _ := errors.AsType[*order.Refusal](err)
		if refused == nil {
			if c.reason != "" {
				t.Errorf("%s: nothing is refused", name)
			}
			continue
		}
		var paths []string
		for _, f := range refused.Fields {
			paths = append(paths, f.Path)
		}
		if refused.Reason != c.reason || fmt.Sprint(paths) != c.paths {
			t.Errorf("%s: %v at %v", name, refused.Reason, paths)
		}
	}
}

// TestTakeSeat moves a seat to the ticket that replaces another.
func TestTakeSeat(t *testing.T) {
	t.Parallel()
	before := order.Ticket{ID: "t1", SeatID: "seat0", SnapshotSchema: order.SnapshotSchema, Snapshot: json.RawMessage(`{"seat":{"id":"seat0","row":"F"}}`)}
	after := before
	after.ID, after.SeatID = "t2", ""
	after.TakeSeat(&before)
	sold, err := after.ReadSnapshot()
	if after.SeatID != "seat0" || before.SeatID != "" || err != nil || sold.Seat.Row != "F" {
		t.Errorf("the seat is at %q, was at %q; %+v, %v", after.SeatID, before.SeatID, sold.Seat, err)
	}
}
