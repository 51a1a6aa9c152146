package checkoutsvc_test

import (
	"fmt"
	"testing"

	"connectrpc.com/connect"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// hall is a seated variant with its seats.
type hall struct {
	seller
	ids   []string          // row by row, the best first
	named map[string]string // ids by row and label, such as "A 1"
}

// hall puts seats on sale, in rows from A on, each with labels from 1.
func (w *harness) hall(rows, perRow int) hall {
	w.t.Helper()
	h := hall{seller: w.sell(4500, int64(1000+rows)), named: map[string]string{}}
	res, err := w.replicas[0].catalog.CreateVariant(w.keyed(fmt.Sprintf("hall/%d/%d", rows, perRow)), &checkoutv1.CreateVariantRequest{
		ProductId: h.product.GetId(), Name: "Parkett", Seated: true, OrderTicketLimit: 100, Version: h.variant.GetCurrentVersion(),
	})
	if err != nil {
		w.t.Fatalf("create variant: %v", err)
	}
	h.variant = res.GetVariant()
	if _, err := w.replicas[0].catalog.SetSeatMap(w.keyed(fmt.Sprintf("map/%d/%d", rows, perRow)), h.section("Parkett", rows, perRow)); err != nil {
		w.t.Fatalf("set seat map: %v", err)
	}
	h.variant = w.variantNow(h.seller)
	for _, row := range w.seatMap(h, "Parkett") {
		for _, seat := range row.GetSeats() {
			h.ids = append(h.ids, seat.GetId())
			h.named[row.GetLabel()+" "+seat.GetLabel()] = seat.GetId()
		}
	}
	return h
}

// section describes a section of the hall; the rows in front are the better ones.
func (h hall) section(name string, rows, perRow int) *checkoutv1.SetSeatMapRequest {
	req := &checkoutv1.SetSeatMapRequest{EventId: h.event.GetId(), Section: name}
	for r := range rows {
		row := &checkoutv1.SeatRow{Label: rowLabel(r)}
		for s := range perRow {
			row.Seats = append(row.Seats, &checkoutv1.MappedSeat{
				Label: fmt.Sprint(s + 1), VariantId: h.variant.GetId(), QualityRank: int32(r), X: new(int32(s)), Y: new(int32(r)),
			})
		}
		req.Rows = append(req.Rows, row)
	}
	return req
}

func rowLabel(n int) string {
	if n < 26 {
		return string(rune('A' + n))
	}
	return rowLabel(n/26-1) + rowLabel(n%26)
}

func (w *harness) seatMap(h hall, section string) []*checkoutv1.SeatRow {
	w.t.Helper()
	res, err := w.replicas[0].catalog.GetSeatMap(w.t.Context(), &checkoutv1.GetSeatMapRequest{EventId: h.event.GetId(), Section: section})
	if err != nil {
		w.t.Fatalf("get seat map: %v", err)
	}
	return res.GetRows()
}

func (w *harness) variantNow(s seller) *checkoutv1.Variant {
	w.t.Helper()
	res, err := w.replicas[0].catalog.GetVariant(w.t.Context(), &checkoutv1.GetVariantRequest{VariantId: s.variant.GetId()})
	if err != nil {
		w.t.Fatalf("get variant: %v", err)
	}
	return res.GetVariant()
}

// seated is a request for seats; without any, for the best that are available.
func (h hall) seated(quantity int, ids ...string) *checkoutv1.StartCheckoutRequest {
	req := h.cart(int32(max(quantity, len(ids))))
	req.Lines[0].SeatIds = ids
	return req
}

// take starts a checkout of seats.
func (w *harness) take(key string, req *checkoutv1.StartCheckoutRequest) *checkoutv1.Order {
	w.t.Helper()
	res, err := w.replicas[0].checkout.StartCheckout(w.keyed("take/"+key), req)
	if err != nil {
		w.t.Fatalf("start checkout: %v", err)
	}
	return res.GetOrder()
}

// refusal starts a checkout and returns the reason of a refusal; empty when there is none.
func (w *harness) refusal(key string, req *checkoutv1.StartCheckoutRequest) string {
	w.t.Helper()
	_, err := w.replicas[0].checkout.StartCheckout(w.keyed("refusal/"+key), req)
	if err != nil && problem.Reason(err) == "" {
		w.t.Fatalf("start checkout: %v", err)
	}
	return problem.Reason(err)
}

// payFor pays an order and waits for its tickets.
func (w *harness) payFor(o *checkoutv1.Order) *checkoutv1.Order {
	w.t.Helper()
	w.confirm(o.GetPaymentIntents()[0].GetId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid/"+o.GetId()), paid(o)); err != nil {
		w.t.Fatalf("record payment: %v", err)
	}
	return w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
}

// names are the seats of a line, such as "A 1".
func names(seats []*checkoutv1.Seat) []string {
	var all []string
	for _, s := range seats {
		all = append(all, s.GetRow()+" "+s.GetLabel())
	}
	return all
}

// checkSeats wants seats, orders, tickets and stock to agree.
func (w *harness) checkSeats() {
	w.t.Helper()
	for what, sql := range map[string]string{
		"seats of an order that neither holds nor owns them": `select count(*) from seats s where s.order_id is not null and not exists (
			select from order_lines l join holds h on h.order_id = l.order_id where l.order_id = s.order_id and h.state = 'active' and l.seats @> jsonb_build_array(jsonb_build_object('id', s.id)))
			and not exists (select from tickets t where t.order_id = s.order_id and t.seat_id = s.id and not t.seat_returned)`,
		"seats of active holds that the seat knows nothing of": `select count(*) from holds h join order_lines l on l.order_id = h.order_id, jsonb_array_elements(l.seats) e
			where h.state = 'active' and not exists (select from seats s where s.id = e->>'id' and s.order_id = l.order_id)`,
		"tickets whose seat is another order's": `select count(*) from tickets t join seats s on s.id = t.seat_id where s.order_id is distinct from t.order_id`,
		"seated tickets without a seat that are counted": `select count(*) from tickets t join variants v on v.id = t.variant_id
			where v.seated and (t.seat_id is null) <> t.seat_returned and not exists (select from tickets n where n.replaces = t.id)`,
		"variants whose stock is not their seats": `select count(*) from variants v
			join lateral (select sum(capacity) capacity, sum(taken) taken from stock where variant_id = v.id) k on true
			join lateral (select count(*) filter (where not blocked) seats, count(order_id) taken from seats where variant_id = v.id) s on true
			where v.seated and (k.capacity <> s.seats or k.taken <> s.taken)`,
	} {
		if n := w.count(sql); n != 0 {
			w.t.Errorf("%d %s", n, what)
		}
	}
}

// TestSeatsFromHoldToTicket sells chosen seats and the best available ones, and looks at them wherever they are shown.
func TestSeatsFromHoldToTicket(t *testing.T) {
	w := newHarness(t)
	h := w.hall(3, 4)
	if h.variant.GetCapacityTicketCount() != 12 || h.variant.GetAvailableTicketCount() != 12 || !h.variant.GetSeated() {
		t.Fatalf("the variant: %v", h.variant)
	}
	o := w.take("chosen", h.seated(0, h.named["A 3"], h.named["A 2"]))
	if got := fmt.Sprint(names(o.GetLines()[0].GetSeats())); got != "[A 3 A 2]" {
		t.Errorf("the chosen seats are %s", got)
	}
	best := w.take("best", h.seated(3))
	if got := fmt.Sprint(names(best.GetLines()[0].GetSeats())); got != "[B 1 B 2 B 3]" {
		t.Errorf("the best three seats beside each other are %s", got)
	}
	split := w.take("split", h.seated(5))
	if got := fmt.Sprint(names(split.GetLines()[0].GetSeats())); got != "[C 1 C 2 C 3 C 4 A 1]" {
		t.Errorf("the best five seats in the fewest groups are %s", got)
	}
	again := w.take("best", h.seated(3))
	if again.GetId() != best.GetId() || fmt.Sprint(names(again.GetLines()[0].GetSeats())) != "[B 1 B 2 B 3]" {
		t.Errorf("a repeat has the order %s with %v", again.GetId(), again.GetLines())
	}
	w.checkSeats()
	if got := w.variantNow(h.seller).GetAvailableTicketCount(); got != 2 {
		t.Errorf("%d tickets are available, want 2", got)
	}
	for _, row := range w.seatMap(h, "Parkett") {
		for _, seat := range row.GetSeats() {
			name := row.GetLabel() + " " + seat.GetLabel()
			if want := name == "A 4" || name == "B 4"; seat.GetAvailable() != want {
				t.Errorf("seat %s is available: %t", name, seat.GetAvailable())
			}
		}
	}
	o = w.payFor(o)
	for i, ticket := range o.GetTickets() {
		if want := []string{"A 3", "A 2"}[i]; names([]*checkoutv1.Seat{ticket.GetSeat()})[0] != want || ticket.GetSeat().GetSection() != "Parkett" {
			t.Errorf("ticket %d has the seat %v, want %s", i, ticket.GetSeat(), want)
		}
		shown := w.passes.seatOf(ticket.GetPassSerial())
		if shown.GetSection() != "Parkett" || shown.GetRow() != "A" || shown.GetLabel() != ticket.GetSeat().GetLabel() {
			t.Errorf("the pass of ticket %d shows %v", i, shown)
		}
		scanned, err := w.replicas[0].door.CheckTicket(t.Context(), &checkoutv1.CheckTicketRequest{Code: ticket.GetCode()})
		if err != nil || scanned.GetTicket().GetSeat().GetLabel() != ticket.GetSeat().GetLabel() {
			t.Errorf("the door learns of %v, %v", scanned.GetTicket().GetSeat(), err)
		}
	}
	guests, err := w.replicas[0].door.ListAttendees(t.Context(), &checkoutv1.ListAttendeesRequest{EventId: h.event.GetId()})
	if err != nil || len(guests.GetAttendees()) != 2 || guests.GetAttendees()[0].GetTicket().GetSeat().GetLabel() != "3" {
		t.Errorf("attendees: %v, %v", guests, err)
	}
	for state, want := range map[checkoutv1.SeatState]int{
		checkoutv1.SeatState_SEAT_STATE_SOLD: 2, checkoutv1.SeatState_SEAT_STATE_HELD: 8, checkoutv1.SeatState_SEAT_STATE_FREE: 2,
		checkoutv1.SeatState_SEAT_STATE_BLOCKED: 0, checkoutv1.SeatState_SEAT_STATE_UNSPECIFIED: 12,
	} {
		if got := w.listSeats(h, state); len(got) != want {
			t.Errorf("%d seats are listed as %v, want %d", len(got), state, want)
		}
	}
	w.checkSeats()
}

// listSeats lists seats in a state by small pages.
func (w *harness) listSeats(h hall, state checkoutv1.SeatState) []*checkoutv1.ListedSeat {
	w.t.Helper()
	var all []*checkoutv1.ListedSeat
	req := &checkoutv1.ListSeatsRequest{EventId: h.event.GetId(), State: state, PageSize: 5}
	for more := true; more; more = req.GetPageToken() != "" {
		res, err := w.replicas[0].catalog.ListSeats(w.t.Context(), req)
		if err != nil {
			w.t.Fatalf("list seats: %v", err)
		}
		all = append(all, res.GetSeats()...)
		req.PageToken = res.GetNextPageToken()
	}
	return all
}

// TestSeatsRefused asks for seats that are not to be had.
func TestSeatsRefused(t *testing.T) {
	w := newHarness(t)
	h := w.hall(2, 3)
	blocked := h.named["B 3"]
	if _, err := w.replicas[0].catalog.BlockSeats(w.keyed("block"), &checkoutv1.BlockSeatsRequest{EventId: h.event.GetId(), SeatIds: []string{blocked}}); err != nil {
		t.Fatal(err)
	}
	w.take("first", h.seated(0, h.named["A 1"]))
	other := w.hall(1, 1)
	const nobodys = "seatOfNobody00000001"
	tooFew := h.seated(0, h.named["B 1"], h.named["B 2"])
	tooFew.Lines[0].Quantity = 3
	standing := w.cart(1)
	standing.Lines[0].SeatIds = []string{h.named["B 1"]}
	for name, c := range map[string]struct {
		req    *checkoutv1.StartCheckoutRequest
		code   connect.Code
		reason string
		fields string
	}{
		"taken":                        {h.seated(0, h.named["B 1"], h.named["A 1"]), connect.CodeResourceExhausted, "SEAT_TAKEN", "lines[0].seat_ids[1]"},
		"blocked":                      {h.seated(0, blocked, h.named["A 1"]), connect.CodeResourceExhausted, "SEAT_TAKEN", "lines[0].seat_ids[0] lines[0].seat_ids[1]"},
		"nobody's":                     {h.seated(0, nobodys), connect.CodeNotFound, "SEAT_NOT_FOUND", "lines[0].seat_ids[0]"},
		"another event's":              {h.seated(0, h.named["B 1"], other.ids[0]), connect.CodeNotFound, "SEAT_NOT_FOUND", "lines[0].seat_ids[1]"},
		"twice":                        {h.seated(0, h.named["B 1"], h.named["B 1"]), connect.CodeInvalidArgument, "INVALID_FIELD", ""},
		"fewer than the quantity":      {tooFew, connect.CodeInvalidArgument, "INVALID_FIELD", ""},
		"of general admission":         {standing, connect.CodeInvalidArgument, "INVALID_FIELD", ""},
		"more than there are":          {h.seated(5), connect.CodeResourceExhausted, "SOLD_OUT", ""},
		"more than there are together": {h.seated(6), connect.CodeResourceExhausted, "SOLD_OUT", ""},
	} {
		_, err := w.replicas[0].checkout.StartCheckout(w.keyed("refused/"+name), c.req)
		var fields string
		for _, f := range problem.Fields(err) {
			fields += " " + f.Path
		}
		if problem.Code(err) != c.code || problem.Reason(err) != c.reason || c.fields != "" && fields != " "+c.fields {
			t.Errorf("%s: %v, fields%s", name, err, fields)
		}
	}
	w.checkSeats()
	w.take("the rest", h.seated(4))
	w.checkSeats()
}
