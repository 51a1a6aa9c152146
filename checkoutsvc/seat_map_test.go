package checkoutsvc_test

import (
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// TestSetSeatMap changes a section while some of its seats are held: others come, go and change, and those that stay keep their ids.
func TestSetSeatMap(t *testing.T) {
	w := newHarness(t)
	h := w.hall(2, 4)
	o := w.take("held", h.seated(0, h.named["A 1"]))
	set := func(key string, req *checkoutv1.SetSeatMapRequest) (*checkoutv1.SetSeatMapResponse, error) {
		return w.replicas[0].catalog.SetSeatMap(w.keyed(key), req)
	}
	res, err := set("larger", h.section("Parkett", 3, 3))
	if err != nil || res.GetSeatCount() != 9 || res.GetAddedSeatCount() != 3 || res.GetRemovedSeatCount() != 2 {
		t.Fatalf("set seat map: %v, %v", res, err)
	}
	again, err := set("larger", h.section("Parkett", 3, 3))
	if err != nil || !proto.Equal(again, res) {
		t.Errorf("a repeat: %v, %v", again, err)
	}
	if _, err := set("larger", h.section("Parkett", 3, 4)); problem.Reason(err) != problem.ReasonIdempotencyKeyReused {
		t.Errorf("the same key and another map: %v", err)
	}
	rows := w.seatMap(h, "Parkett")
	if len(rows) != 3 || rows[0].GetSeats()[0].GetId() != h.named["A 1"] || rows[0].GetSeats()[0].GetAvailable() || !rows[0].GetSeats()[1].GetAvailable() {
		t.Errorf("the map: %v", rows)
	}
	if v := w.variantNow(h.seller); v.GetCapacityTicketCount() != 9 || v.GetAvailableTicketCount() != 8 {
		t.Errorf("%d of %d tickets are available", v.GetAvailableTicketCount(), v.GetCapacityTicketCount())
	}
	// Of another section, with an aisle, and a drawing that has no place for one seat.
	balcony := h.section("Balkon", 1, 4)
	balcony.Rows = []*checkoutv1.SeatRow{{Label: "A", Seats: balcony.GetRows()[0].GetSeats()[:2]}, {Label: "A", Seats: balcony.GetRows()[0].GetSeats()[2:]}}
	balcony.Rows[0].Seats[0].X, balcony.Rows[0].Seats[0].Y, balcony.Rows[1].Seats[1].Accessible = nil, nil, true
	if _, err := set("balcony", balcony); err != nil {
		t.Fatal(err)
	}
	got := w.seatMap(h, "Balkon")
	for _, row := range got {
		for _, seat := range row.GetSeats() {
			if !seat.GetAvailable() || seat.GetId() == "" {
				t.Errorf("seat %v", seat)
			}
			seat.Id, seat.Available = "", false
		}
	}
	if want := balcony.GetRows(); len(got) != 2 || !proto.Equal(got[0], want[0]) || !proto.Equal(got[1], want[1]) {
		t.Errorf("the balcony is %v, want %v", got, want)
	}
	sections, err := w.replicas[0].catalog.GetSeatMap(t.Context(), &checkoutv1.GetSeatMapRequest{EventId: h.event.GetId()})
	if err != nil || fmt.Sprint(sections.GetSections()) != fmt.Sprint([]*checkoutv1.SeatSection{{Name: "Parkett", SeatCount: 9}, {Name: "Balkon", SeatCount: 4}}) {
		t.Errorf("the sections: %v, %v", sections, err)
	}
	if best := w.take("pair", h.seated(4)); fmt.Sprint(names(best.GetLines()[0].GetSeats())) == "[A 1 A 2 A 3 A 4]" {
		t.Error("seats across the aisle are neighbours")
	}
	if _, err := set("gone", &checkoutv1.SetSeatMapRequest{EventId: h.event.GetId(), Section: "Balkon"}); problem.Reason(err) != "SEAT_IN_USE" && err != nil {
		t.Errorf("remove the balcony: %v", err)
	}
	w.checkSeats()
	if got := w.order(o.GetId()).GetLines()[0].GetSeats()[0].GetId(); got != h.named["A 1"] {
		t.Errorf("the held seat is %s", got)
	}
}

// TestSetSeatMapRefused sends maps that cannot be: nothing changes, and the refusal says what is wrong where.
func TestSetSeatMapRefused(t *testing.T) {
	w := newHarness(t)
	h := w.hall(2, 3)
	w.take("held", h.seated(0, h.named["B 2"]))
	created, err := w.replicas[0].catalog.CreateVariant(w.keyed("second"), &checkoutv1.CreateVariantRequest{
		ProductId: h.product.GetId(), Name: "Loge", Seated: true, Version: h.variant.GetCurrentVersion(),
	})
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(req *checkoutv1.SetSeatMapRequest)) *checkoutv1.SetSeatMapRequest {
		req := h.section("Parkett", 2, 3)
		f(req)
		return req
	}
	for name, c := range map[string]struct {
		req    *checkoutv1.SetSeatMapRequest
		code   connect.Code
		reason string
		field  string
	}{
		"no such event":          {change(func(r *checkoutv1.SetSeatMapRequest) { r.EventId = "eventOfNobody0000001" }), connect.CodeNotFound, "EVENT_NOT_FOUND", ""},
		"a seat twice":           {change(func(r *checkoutv1.SetSeatMapRequest) { r.Rows[1].Label = "A" }), connect.CodeInvalidArgument, "INVALID_FIELD", "rows[1].seats[0].label"},
		"half a place":           {change(func(r *checkoutv1.SetSeatMapRequest) { r.Rows[0].Seats[2].Y = nil }), connect.CodeInvalidArgument, "INVALID_FIELD", "rows[0].seats[2].x"},
		"general admission":      {change(func(r *checkoutv1.SetSeatMapRequest) { r.Rows[1].Seats[1].VariantId = w.variant.GetId() }), connect.CodeInvalidArgument, "INVALID_FIELD", "rows[1].seats[1].variant_id"},
		"a row without a label":  {change(func(r *checkoutv1.SetSeatMapRequest) { r.Rows[0].Label = "" }), connect.CodeInvalidArgument, "INVALID_FIELD", "rows[0].label"},
		"too many seats":         {h.section("Parkett", 11, 500), connect.CodeInvalidArgument, "INVALID_FIELD", "rows"},
		"a held seat removed":    {h.section("Parkett", 1, 3), connect.CodeFailedPrecondition, "SEAT_IN_USE", ""},
		"a held section removed": {&checkoutv1.SetSeatMapRequest{EventId: h.event.GetId(), Section: "Parkett"}, connect.CodeFailedPrecondition, "SEAT_IN_USE", ""},
		"a held seat sold as another variant": {
			change(func(r *checkoutv1.SetSeatMapRequest) { r.Rows[1].Seats[1].VariantId = created.GetVariant().GetId() }),
			connect.CodeFailedPrecondition, "SEAT_IN_USE", "rows[1].seats[1].variant_id",
		},
	} {
		_, err := w.replicas[0].catalog.SetSeatMap(w.keyed("refused/"+name), c.req)
		field := ""
		if fields := problem.Fields(err); len(fields) > 0 {
			field = fields[0].Path
		}
		if problem.Code(err) != c.code || problem.Reason(err) != c.reason || field != c.field {
			t.Errorf("%s: %v at %q", name, err, field)
		}
	}
	if rows := w.seatMap(h, "Parkett"); len(rows) != 2 || len(rows[1].GetSeats()) != 3 {
		t.Errorf("a refused map changed the section: %v", rows)
	}
	moved := change(func(r *checkoutv1.SetSeatMapRequest) { r.Rows[0].Seats[0].VariantId = created.GetVariant().GetId() })
	if _, err := w.replicas[0].catalog.SetSeatMap(w.keyed("moved"), moved); err != nil {
		t.Errorf("a free seat sold as another variant: %v", err)
	}
	w.checkSeats()
}

// TestSeatedVariant refuses capacities of seated variants, and variants without one.
func TestSeatedVariant(t *testing.T) {
	w := newHarness(t)
	h := w.hall(1, 2)
	_, err := w.replicas[0].catalog.UpdateVariant(w.keyed("capacity"), &checkoutv1.UpdateVariantRequest{
		VariantId: h.variant.GetId(), Variant: &checkoutv1.VariantFields{CapacityTicketCount: 5}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"capacity_ticket_count"}},
	})
	if problem.Reason(err) != "SEATED_VARIANT" {
		t.Errorf("the capacity of a seated variant: %v", err)
	}
	if _, err := w.replicas[0].catalog.UpdateVariant(w.keyed("name"), &checkoutv1.UpdateVariantRequest{
		VariantId: h.variant.GetId(), Variant: &checkoutv1.VariantFields{Name: "Rang"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"name"}},
	}); err != nil {
		t.Errorf("the name of a seated variant: %v", err)
	}
	for name, req := range map[string]*checkoutv1.CreateVariantRequest{
		"seated with a capacity":  {Seated: true, CapacityTicketCount: 5},
		"standing without a room": {},
	} {
		req.ProductId, req.Name, req.Version = h.product.GetId(), "Rang", h.variant.GetCurrentVersion()
		if _, err := w.replicas[0].catalog.CreateVariant(w.keyed(name), req); problem.Reason(err) != "INVALID_FIELD" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBlockSeats keeps seats off sale and puts them back.
func TestBlockSeats(t *testing.T) {
	w := newHarness(t)
	h := w.hall(1, 4)
	w.take("held", h.seated(0, h.ids[0]))
	block := func(key string, ids ...string) (int32, string) {
		res, err := w.replicas[0].catalog.BlockSeats(w.keyed(key), &checkoutv1.BlockSeatsRequest{EventId: h.event.GetId(), SeatIds: ids})
		return res.GetChangedSeatCount(), problem.Reason(err)
	}
	if n, reason := block("two", h.ids[1:3]...); n != 2 || reason != "" {
		t.Errorf("block: %d, %s", n, reason)
	}
	if n, reason := block("three", h.ids[1:]...); n != 1 || reason != "" {
		t.Errorf("block one more: %d, %s", n, reason)
	}
	if v := w.variantNow(h.seller); v.GetCapacityTicketCount() != 1 || v.GetAvailableTicketCount() != 0 {
		t.Errorf("%d of %d tickets are available, of 4 seats 3 are blocked and one is held", v.GetAvailableTicketCount(), v.GetCapacityTicketCount())
	}
	if n, reason := block("held", h.ids[:2]...); n != 0 || reason != "SEAT_IN_USE" {
		t.Errorf("block a held seat: %d, %s", n, reason)
	}
	if n, reason := block("nobody's", "seatOfNobody00000001"); n != 0 || reason != "SEAT_NOT_FOUND" {
		t.Errorf("block nobody's seat: %d, %s", n, reason)
	}
	if got := w.listSeats(h, checkoutv1.SeatState_SEAT_STATE_BLOCKED); len(got) != 3 {
		t.Errorf("%d seats are listed as blocked", len(got))
	}
	if reason := w.refusal("sold out", h.seated(1)); reason != "SOLD_OUT" {
		t.Errorf("a ticket of a hall with blocked seats only: %s", reason)
	}
	res, err := w.replicas[0].catalog.UnblockSeats(w.keyed("unblock"), &checkoutv1.UnblockSeatsRequest{EventId: h.event.GetId(), SeatIds: h.ids})
	if err != nil || res.GetChangedSeatCount() != 3 {
		t.Errorf("unblock: %v, %v", res, err)
	}
	w.take("unblocked", h.seated(3))
	w.checkSeats()
}

// TestSeatMapOfOthers: everybody reads the map of a published event, a second old at most, and of no draft; and nobody but staff who sits where.
func TestSeatMapOfOthers(t *testing.T) {
	w := newHarness(t)
	h := w.hall(1, 2)
	url := w.replicas[0].url
	client, opts := rpc.Dial(rpc.DialConfig{BaseURL: url, Token: config.Secret{}, Timeout: patience})
	public := checkoutv1connect.NewCatalogServiceClient(client, url, opts...)
	available := func() int {
		res, err := public.GetSeatMap(t.Context(), &checkoutv1.GetSeatMapRequest{EventId: h.event.GetId(), Section: "Parkett"})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, seat := range res.GetRows()[0].GetSeats() {
			if seat.GetAvailable() {
				n++
			}
		}
		return n
	}
	if n := available(); n != 2 {
		t.Errorf("%d seats are available, want 2", n)
	}
	w.take("one", h.seated(1))
	w.until("one seat is seen to be taken", func() bool { return available() == 1 })
	if _, err := public.GetSeatMap(t.Context(), &checkoutv1.GetSeatMapRequest{EventId: h.event.GetId(), Section: "Balkon"}); problem.Reason(err) != "SECTION_NOT_FOUND" {
		t.Errorf("no such section: %v", err)
	}
	if _, err := public.ListSeats(t.Context(), &checkoutv1.ListSeatsRequest{EventId: h.event.GetId()}); problem.Code(err) != connect.CodeUnauthenticated {
		t.Errorf("a stranger lists seats: %v", err)
	}
	w.exec("alter table events disable trigger user; update events set publication = 'draft'")
	w.until("the map of a draft is not found", func() bool {
		_, err := public.GetSeatMap(t.Context(), &checkoutv1.GetSeatMapRequest{EventId: h.event.GetId(), Section: "Parkett"})
		return problem.Reason(err) == "EVENT_NOT_FOUND"
	})
}

// TestDraftWithSeatsIsDeleted deletes a draft with its seat map.
func TestDraftWithSeatsIsDeleted(t *testing.T) {
	w := newHarness(t)
	h := w.hall(1, 2)
	w.exec("alter table events disable trigger user; update events set publication = 'draft' where id = '" + h.event.GetId() + "'")
	if _, err := w.replicas[0].catalog.DeleteDraft(w.keyed("delete"), &checkoutv1.DeleteDraftRequest{EventId: h.event.GetId()}); err != nil {
		t.Fatal(err)
	}
	if n := w.count("select (select count(*) from seats) + (select count(*) from seat_sections)"); n != 0 {
		t.Errorf("%d seats and sections are left", n)
	}
}

// TestMovedEventKeepsSeats moves an event whose seats are sold: tickets and passes keep them.
func TestMovedEventKeepsSeats(t *testing.T) {
	w := newHarness(t)
	h := w.hall(1, 2)
	o := w.payFor(w.take("sold", h.seated(2)))
	start := h.event.GetStartTime().AsTime().AddDate(0, 1, 0)
	w.moved(h.event.GetId(), start)
	w.wantShown(w.order(o.GetId()), start, 2)
	for _, ticket := range w.order(o.GetId()).GetTickets() {
		if !strings.HasPrefix(ticket.GetSeat().GetRow(), "A") || w.passes.seatOf(ticket.GetPassSerial()).GetLabel() != ticket.GetSeat().GetLabel() {
			t.Errorf("after the change ticket %s has the seat %v, and its pass shows %v", ticket.GetId(), ticket.GetSeat(), w.passes.seatOf(ticket.GetPassSerial()))
		}
	}
	w.checkSeats()
}
