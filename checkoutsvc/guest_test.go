package checkoutsvc_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// guests are so many guests with two tickets each.
func guests(n int) []*checkoutv1.Guest {
	list := make([]*checkoutv1.Guest, n)
	for i := range list {
		list[i] = &checkoutv1.Guest{Name: fmt.Sprintf("Guest %d", i), Email: fmt.Sprintf("guest%d@example.test", i), Language: "de", Quantity: 2}
	}
	return list
}

func (w *harness) tryImport(r *replica, key string, s seller, list []*checkoutv1.Guest) (*checkoutv1.ImportGuestsResponse, error) {
	return r.orders.ImportGuests(w.keyed("import/"+key), &checkoutv1.ImportGuestsRequest{
		EventId: s.event.GetId(), VariantId: s.variant.GetId(), Guests: list, Note: "press",
	})
}

// Each guest gets an order that costs nothing, once, whoever repeats the import; the sweep fulfils them, and each is mailed.
func TestGuestsAreImported(t *testing.T) {
	w, server := newMailHarness(t)
	w.addReplica()
	list := guests(30)
	answers := make([]*checkoutv1.ImportGuestsResponse, 8)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			var err error
			if answers[i], err = w.tryImport(w.replicas[i%2], "same", w.seller, list); err != nil {
				t.Errorf("import: %v", err)
			}
		})
	}
	all.Wait()
	for _, a := range answers {
		if !slices.Equal(a.GetOrderIds(), answers[0].GetOrderIds()) || len(a.GetOrderIds()) != len(list) || len(a.GetFaults()) != 0 {
			t.Fatalf("the answer: %v", a)
		}
	}
	if n := w.count("select count(*) from orders where kind = 'complimentary'"); n != 30 || w.taken() != 60 {
		t.Errorf("%d orders, %d tickets are taken", n, w.taken())
	}
	for i, id := range answers[0].GetOrderIds() {
		o := w.waitFor(id, "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
		if o.GetKind() != checkoutv1.OrderKind_ORDER_KIND_COMPLIMENTARY || o.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_NOT_REQUIRED ||
			o.GetTotal().GetMinorUnits() != 0 || len(o.GetTickets()) != 2 || o.GetTickets()[1].GetState() != checkoutv1.TicketState_TICKET_STATE_VALID {
			t.Errorf("order %d: %v", i, o)
		}
		if w.ledger.has("free:"+id) != ledgerv1.EntryKind_ENTRY_KIND_SALE {
			t.Errorf("order %d is not booked", i)
		}
	}
	if m := w.mailTo(server, "guest7@example.test", 1); !strings.Contains(m.Subject, "Nachtkonzert") {
		t.Errorf("the mail: %q", m.Subject)
	}
	if n := w.count(`select count(*) from tickets where snapshot->>'complimentary' = 'true' and snapshot->'price'->>'minor_units' = '0'
		and snapshot->'list_price'->>'minor_units' = '8900' and snapshot_schema = 3`); n != 60 {
		t.Errorf("%d tickets say that they are complimentary", n)
	}
	if n := w.count("select count(*) from timeline where step = 'guest_invited' and detail = 'press' and actor <> ''"); n != 30 {
		t.Errorf("%d lines of timelines", n)
	}
	if _, err := w.tryImport(w.replicas[0], "same", w.seller, list[:29]); problem.Reason(err) != "IDEMPOTENCY_KEY_REUSED" {
		t.Errorf("the key with another list: %v", err)
	}
	if _, err := w.tryImport(w.replicas[0], "too many", w.seller, guests(21)); problem.Reason(err) != "SOLD_OUT" {
		t.Errorf("more than there are: %v", err)
	}
	if n := w.count("select count(*) from orders"); n != 30 || w.taken() != 60 {
		t.Errorf("after a refusal: %d orders, %d tickets are taken", n, w.taken())
	}
}

// One bad guest keeps all from being imported, and every wrong field of every guest is told. The key stays free.
func TestBadGuestsAreTold(t *testing.T) {
	w := newHarness(t)
	list := guests(40)
	for i := range 20 {
		list[i].Email = "nobody"
	}
	list[30].Name, list[30].Quantity = "", 0
	list[31].Language, list[31].Quantity = "Deutsch!", 11
	list[32].Name = "two\nlines"
	if _, err := w.tryImport(w.replicas[0], "bad", w.seller, list); problem.Reason(err) != "INVALID_FIELD" || !strings.Contains(err.Error(), "guests[3].email") {
		t.Errorf("import: %v", err)
	}
	res, err := w.replicas[0].orders.ImportGuests(w.keyed("import/bad"), &checkoutv1.ImportGuestsRequest{
		EventId: w.event.GetId(), VariantId: w.variant.GetId(), Guests: list, CheckOnly: true,
	})
	if err != nil || len(res.GetOrderIds()) != 0 {
		t.Fatalf("check: %v, %v", res, err)
	}
	var fields []string
	for _, f := range res.GetFaults() {
		fields = append(fields, f.GetField())
		if !strings.HasPrefix(f.GetField(), fmt.Sprintf("guests[%d].", f.GetGuestIndex())) || f.GetDescription() == "" {
			t.Errorf("fault %v", f)
		}
	}
	want := []string{"guests[30].name", "guests[30].quantity", "guests[31].language", "guests[31].quantity", "guests[32].name"}
	if len(fields) != 25 || !slices.Equal(fields[20:], want) {
		t.Errorf("faults of %q", fields)
	}
	if n := w.count("select count(*) from orders"); n != 0 || w.taken() != 0 {
		t.Errorf("%d orders, %d tickets are taken", n, w.taken())
	}
	if res, err := w.tryImport(w.replicas[0], "bad", w.seller, guests(1)); err != nil || len(res.GetOrderIds()) != 1 {
		t.Errorf("the same key with good guests: %v, %v", res, err)
	}
}

// Guests need neither an open sale nor room within a buyer's limit, but an event that takes place.
func TestGuestsOfWhatIsNotOnSale(t *testing.T) {
	w := newHarness(t)
	w.limitEvent("one", 1)
	w.exec("update variants set sale_end_time = now() - interval '1 hour', order_ticket_limit = 1, state = 'hidden' where id = $1", w.variant.GetId())
	if res, err := w.tryImport(w.replicas[0], "closed", w.seller, guests(1)); err != nil || len(res.GetOrderIds()) != 1 {
		t.Errorf("after the sale: %v, %v", res, err)
	}
	other := w.sell(4500, 10)
	for _, c := range []struct{ what, sql, want string }{
		{"an archived variant", "update variants set state = 'archived' where event_id = $1", "SALE_NOT_OPEN"},
		{"an archived event", "update events set publication = 'archived' where id = $1", "EVENT_NOT_ON_SALE"},
		{"a canceled event", "update events set cancel_time = now() where id = $1", "EVENT_CANCELED"},
	} {
		w.exec(c.sql, other.event.GetId())
		if _, err := w.tryImport(w.replicas[0], c.what, other, guests(1)); problem.Reason(err) != c.want {
			t.Errorf("%s: %v, want %s", c.what, err, c.want)
		}
	}
	foreign := seller{event: w.event, variant: other.variant}
	if _, err := w.tryImport(w.replicas[0], "foreign", foreign, guests(1)); problem.Reason(err) != "VARIANT_NOT_FOUND" {
		t.Errorf("a variant of another event: %v", err)
	}
	if _, err := w.tryImport(w.replicas[0], "none", w.seller, nil); problem.Reason(err) != "INVALID_FIELD" {
		t.Errorf("no guest: %v", err)
	}
}
