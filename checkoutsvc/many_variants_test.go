package checkoutsvc_test

import (
	"slices"
	"testing"

	"connectrpc.com/connect"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestManyVariants lists all and buys the newest of a thousand variants of an event, together with an older one, and not one of another event.
func TestManyVariants(t *testing.T) {
	w := newHarness(t)
	own, other := w.sell(8900, 50), w.sell(7700, 50)
	if _, err := w.pool.Exec(t.Context(), `
		with older as (
			insert into variants (id, product_id, event_id, name, order_ticket_limit, current_version, create_time)
			select 'older' || lpad(n::text, 16, '0'), product_id, event_id, name, order_ticket_limit, current_version, create_time - interval '1 day'
			from variants, generate_series(1, 1000) n where id = $1
			returning id
		), stocked as (
			insert into stock (variant_id, capacity) select id, 50 from older
		)
		insert into variant_versions (variant_id, version, currency, price_minor_units, application_fee_minor_units, tax_minor_units,
			tax_country, tax_kind, terms, create_time)
		select older.id, version, currency, price_minor_units, application_fee_minor_units, tax_minor_units, tax_country, tax_kind, terms, create_time
		from older, variant_versions v where v.variant_id = $1`, own.variant.GetId()); err != nil {
		t.Fatal(err)
	}
	var listed []string
	for req := (&checkoutv1.ListVariantsRequest{EventId: own.event.GetId()}); ; {
		res, err := w.replicas[0].catalog.ListVariants(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range res.GetVariants() {
			listed = append(listed, v.GetId())
		}
		if req.PageToken = res.GetNextPageToken(); req.GetPageToken() == "" {
			break
		}
	}
	if distinct := slices.Compact(slices.Sorted(slices.Values(listed))); len(listed) != 1001 || len(distinct) != 1001 || listed[1000] != own.variant.GetId() {
		t.Errorf("%d variants are listed, %d different ones", len(listed), len(distinct))
	}
	cart := own.cart(2)
	cart.Lines = append(cart.Lines, own.cart(1).GetLines()...)
	cart.Lines[1].VariantId = "older0000000000000007"
	res, err := w.replicas[0].checkout.StartCheckout(w.keyed("start/many"), cart)
	if err != nil {
		t.Fatalf("the newest of 1001 variants: %v", err)
	}
	if got := res.GetOrder().GetTotal().GetMinorUnits(); got != 3*8900 {
		t.Errorf("the cart costs %d", got)
	}
	foreign := own.cart(1)
	foreign.Lines[0].VariantId = other.variant.GetId()
	_, err = w.replicas[0].checkout.StartCheckout(w.keyed("start/foreign"), foreign)
	if problem.Code(err) != connect.CodeNotFound || problem.Reason(err) != "VARIANT_NOT_FOUND" {
		t.Errorf("a variant of another event: %v", err)
	}
}
