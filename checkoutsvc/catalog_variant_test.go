package checkoutsvc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// updateVariant changes fields of what is on sale.
func (w *harness) updateVariant(key string, s seller, number int64, f *checkoutv1.VariantFields, paths ...string) (*checkoutv1.Variant, error) {
	res, err := w.replicas[0].catalog.UpdateVariant(w.keyed("update/"+key), &checkoutv1.UpdateVariantRequest{
		VariantId: s.variant.GetId(), Variant: f, UpdateMask: mask(paths...), UpdateNumber: number,
	})
	return res.GetVariant(), err
}

func TestProductIsRenamed(t *testing.T) {
	w := newHarness(t)
	c := w.replicas[0].catalog
	sold := w.bought("before", 1)
	res, err := c.UpdateProduct(w.keyed("rename"), &checkoutv1.UpdateProductRequest{ProductId: w.product.GetId(), Name: "Abendkarte", UpdateNumber: w.product.GetUpdateNumber()})
	if err != nil || res.GetProduct().GetName() != "Abendkarte" || res.GetProduct().GetUpdateNumber() != 2 {
		t.Fatalf("rename: %v, %v", res, err)
	}
	_, err = c.UpdateProduct(w.keyed("stale"), &checkoutv1.UpdateProductRequest{ProductId: w.product.GetId(), Name: "X", UpdateNumber: 1})
	wantProblem(t, err, connect.CodeFailedPrecondition, "UPDATE_NUMBER_STALE")
	_, err = c.UpdateProduct(w.keyed("none"), &checkoutv1.UpdateProductRequest{ProductId: "product000000000none", Name: "X"})
	wantProblem(t, err, connect.CodeNotFound, "PRODUCT_NOT_FOUND")
	got, err := w.public().GetProduct(t.Context(), &checkoutv1.GetProductRequest{ProductId: w.product.GetId()})
	if err != nil || got.GetProduct().GetName() != "Abendkarte" {
		t.Errorf("the product: %v, %v", got, err)
	}
	variant, err := w.public().GetVariant(t.Context(), &checkoutv1.GetVariantRequest{VariantId: w.variant.GetId()})
	if err != nil || variant.GetVariant().GetProductName() != "Abendkarte" {
		t.Errorf("the variant: %v, %v", variant, err)
	}
	for i := range 3 {
		if _, err := c.CreateProduct(w.keyed(fmt.Sprint("more", i)), &checkoutv1.CreateProductRequest{EventId: w.event.GetId(), Name: fmt.Sprint("More ", i)}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	req := &checkoutv1.ListProductsRequest{EventId: w.event.GetId(), PageSize: 3}
	for more := true; more; more = req.GetPageToken() != "" {
		res, err := w.public().ListProducts(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range res.GetProducts() {
			names = append(names, p.GetName())
		}
		req.PageToken = res.GetNextPageToken()
	}
	if got := strings.Join(names, ", "); got != "Abendkarte, More 0, More 1, More 2" {
		t.Errorf("products: %s", got)
	}
	for _, o := range []struct{ id, want string }{{sold.GetId(), "Ticket"}, {w.bought("after", 1).GetId(), "Abendkarte"}} {
		if n := w.count("select count(*) from tickets where order_id = $1 and snapshot->>'product_name' = $2", o.id, o.want); n != 1 {
			t.Errorf("a ticket is not of the product %s", o.want)
		}
	}
}

func TestVariantIsUpdated(t *testing.T) {
	w := newHarness(t)
	w.start("hold", 3)
	start := timestamppb.New(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	end := timestamppb.New(time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC))
	f := &checkoutv1.VariantFields{
		Name: "Parkett", CapacityTicketCount: 3, SaleStartTime: start, SaleEndTime: end, OrderTicketLimit: 2, BuyerTicketLimit: 8,
		State: checkoutv1.VariantState_VARIANT_STATE_HIDDEN,
	}
	v, err := w.updateVariant("all", w.seller, w.variant.GetUpdateNumber(), f, "name", "capacity_ticket_count", "sale_start_time", "sale_end_time", "order_ticket_limit", "buyer_ticket_limit", "state")
	if err != nil || v.GetName() != "Parkett" || v.GetCapacityTicketCount() != 3 || v.GetAvailableTicketCount() != 0 || v.GetSaleEndTime().AsTime() != end.AsTime() ||
		v.GetOrderTicketLimit() != 2 || v.GetBuyerTicketLimit() != 8 || v.GetState() != f.GetState() || v.GetUpdateNumber() <= w.variant.GetUpdateNumber() {
		t.Errorf("all fields: %v, %v", v, err)
	}
	_, err = w.updateVariant("stale", w.seller, w.variant.GetUpdateNumber(), f, "name")
	wantProblem(t, err, connect.CodeFailedPrecondition, "UPDATE_NUMBER_STALE")
	_, err = w.updateVariant("less", w.seller, 0, &checkoutv1.VariantFields{CapacityTicketCount: 2}, "capacity_ticket_count")
	wantProblem(t, err, connect.CodeFailedPrecondition, "CAPACITY_BELOW_TAKEN")
	if !strings.Contains(err.Error(), "3 tickets") {
		t.Errorf("the refusal has no numbers: %v", err)
	}
	for name, c := range map[string]struct {
		f     *checkoutv1.VariantFields
		paths []string
	}{
		"no field":         {&checkoutv1.VariantFields{}, nil},
		"an unknown field": {&checkoutv1.VariantFields{}, []string{"current_version"}},
		"an empty name":    {&checkoutv1.VariantFields{}, []string{"name"}},
		"no capacity":      {&checkoutv1.VariantFields{}, []string{"capacity_ticket_count"}},
		"no order limit":   {&checkoutv1.VariantFields{}, []string{"order_ticket_limit"}},
		"no state":         {&checkoutv1.VariantFields{}, []string{"state"}},
		"an end before":    {&checkoutv1.VariantFields{SaleEndTime: start}, []string{"sale_end_time"}},
	} {
		_, err := w.updateVariant(name, w.seller, 0, c.f, c.paths...)
		if problem.Reason(err) != "INVALID_FIELD" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v, err := w.updateVariant("open", w.seller, 0, &checkoutv1.VariantFields{}, "sale_start_time", "sale_end_time", "buyer_ticket_limit"); err != nil ||
		v.GetSaleStartTime() != nil || v.GetSaleEndTime() != nil || v.GetBuyerTicketLimit() != 0 {
		t.Errorf("what is taken away: %v, %v", v, err)
	}
}

// A hidden variant is in no public list and is sold to who knows it; an archived one is not sold.
func TestHiddenAndArchivedVariants(t *testing.T) {
	w := newHarness(t)
	for state, want := range map[checkoutv1.VariantState]struct {
		listed int
		sold   string
	}{
		checkoutv1.VariantState_VARIANT_STATE_ON_SALE: {1, ""}, checkoutv1.VariantState_VARIANT_STATE_HIDDEN: {0, ""},
		checkoutv1.VariantState_VARIANT_STATE_ARCHIVED: {0, "SALE_NOT_OPEN"},
	} {
		if _, err := w.updateVariant(state.String(), w.seller, 0, &checkoutv1.VariantFields{State: state}, "state"); err != nil {
			t.Fatal(err)
		}
		public, err := w.public().ListVariants(t.Context(), &checkoutv1.ListVariantsRequest{EventId: w.event.GetId()})
		if err != nil || len(public.GetVariants()) != want.listed {
			t.Errorf("%v: %d in public, %v", state, len(public.GetVariants()), err)
		}
		staff, err := w.replicas[0].catalog.ListVariants(t.Context(), &checkoutv1.ListVariantsRequest{EventId: w.event.GetId()})
		if err != nil || len(staff.GetVariants()) != 1 || staff.GetVariants()[0].GetState() != state {
			t.Errorf("%v: staff see %v, %v", state, staff, err)
		}
		if _, err := w.public().GetVariant(t.Context(), &checkoutv1.GetVariantRequest{VariantId: w.variant.GetId()}); err != nil {
			t.Errorf("%v by its id: %v", state, err)
		}
		if got := w.startReason(state.String(), w.seller, 1); got != want.sold {
			t.Errorf("%v: a checkout ends with %q, want %q", state, got, want.sold)
		}
	}
}

// The capacity goes up and down while 50 buyers try to hold: it is never below what is taken, and once there are 50 tickets each buyer has one.
func TestCapacityIsLoweredWhileItIsSold(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	const buyers = 50
	w.exec("update stock set capacity = 1")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all sync.WaitGroup
	for b := range buyers {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, err := w.replicas[b%2].checkout.StartCheckout(w.keyed(fmt.Sprintf("start/%d/%d", b, n)), w.cart(1))
				if err == nil {
					return
				}
				if problem.Reason(err) != "SOLD_OUT" {
					t.Errorf("start checkout: %v", err)
					return
				}
			}
		})
	}
	refused, lowered := 0, 0
	set := func(key string, capacity int64) {
		v, err := w.updateVariant(key, w.seller, 0, &checkoutv1.VariantFields{CapacityTicketCount: capacity}, "capacity_ticket_count")
		switch {
		case problem.Reason(err) == "CAPACITY_BELOW_TAKEN":
			refused++
		case err != nil:
			t.Errorf("update variant: %v", err)
		case v.GetCapacityTicketCount() != capacity || v.GetAvailableTicketCount() < 0:
			t.Errorf("the capacity is %d, %d are left", v.GetCapacityTicketCount(), v.GetAvailableTicketCount())
		case strings.HasPrefix(key, "down"):
			lowered++
		}
	}
	for n := int64(2); n <= buyers; n++ {
		set(fmt.Sprint("up", n), n+1)
		set(fmt.Sprint("down", n), n)
		set(fmt.Sprint("far down", n), n/2)
	}
	set("enough", buyers)
	all.Wait()
	if w.taken() != buyers || w.count("select sum(capacity) from stock") != buyers {
		t.Errorf("%d tickets are taken by %d buyers", w.taken(), buyers)
	}
	t.Logf("%d times the capacity was lowered, %d times it was refused", lowered, refused)
	if refused == 0 {
		t.Error("no capacity was too small")
	}
}

// A price changes at its time, by the clock of the service. Holds keep the price that they were quoted.
func TestPriceOfASetTime(t *testing.T) {
	now := time.Date(2027, 1, 10, 12, 0, 0, 0, time.UTC)
	fake := clock.NewFake(now)
	w := newHarness(t)
	w.clock = fake
	r := w.addReplica()
	version := func(minorUnits int64, at *time.Time) *checkoutv1.VariantVersion {
		v := &checkoutv1.VariantVersion{Price: &moneyv1.Money{Currency: "EUR", MinorUnits: minorUnits}}
		if at != nil {
			v.EffectiveTime = timestamppb.New(*at)
		}
		return v
	}
	add := func(key string, v *checkoutv1.VariantVersion) (*checkoutv1.Variant, error) {
		res, err := r.catalog.CreateVariantVersion(w.keyed("version/"+key), &checkoutv1.CreateVariantVersionRequest{VariantId: w.variant.GetId(), Version: v})
		return res.GetVariant(), err
	}
	price := func(key string) int64 {
		t.Helper()
		res, err := r.checkout.StartCheckout(w.keyed("start/"+key), w.cart(1))
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.public().GetVariant(t.Context(), &checkoutv1.GetVariantRequest{VariantId: w.variant.GetId()})
		if err != nil || len(got.GetVariant().GetScheduledVersions()) != 0 {
			t.Errorf("the public sees what is scheduled: %v, %v", got, err)
		}
		return res.GetOrder().GetTotal().GetMinorUnits()
	}
	change := now.Add(time.Hour)
	v, err := add("scheduled", version(9900, &change))
	if err != nil || v.GetCurrentVersion().GetPrice().GetMinorUnits() != 8900 || len(v.GetScheduledVersions()) != 1 || v.GetScheduledVersions()[0].GetVersion() != 2 {
		t.Fatalf("scheduled: %v, %v", v, err)
	}
	if _, err := add("meanwhile", version(9100, nil)); err != nil { // does not undo what is scheduled
		t.Fatal(err)
	}
	_, err = add("over", version(9900, new(now.Add(-time.Microsecond))))
	wantProblem(t, err, connect.CodeInvalidArgument, "INVALID_FIELD")
	_, err = r.catalog.CreateVariant(w.keyed("first"), &checkoutv1.CreateVariantRequest{ProductId: w.product.GetId(), Name: "X", CapacityTicketCount: 1, Version: version(9900, &change)})
	wantProblem(t, err, connect.CodeInvalidArgument, "INVALID_FIELD")

	held, err := r.checkout.StartCheckout(w.keyed("held"), w.cart(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at   time.Time
		want int64
	}{{now, 9100}, {change.Add(-time.Microsecond), 9100}, {change, 9900}, {change.Add(time.Hour), 9900}} {
		fake.Set(c.at)
		if got := price(c.at.String()); got != c.want {
			t.Errorf("at %s a ticket costs %d, want %d", c.at, got, c.want)
		}
	}
	again, err := r.checkout.StartCheckout(w.keyed("held"), w.cart(1))
	if err != nil || again.GetOrder().GetId() != held.GetOrder().GetId() || again.GetOrder().GetTotal().GetMinorUnits() != 9100 {
		t.Errorf("the hold was quoted 9100 and costs %v, %v", again.GetOrder().GetTotal(), err)
	}
	w.confirm(held.GetPaymentIntentId())
	if _, err := r.payments.RecordPayment(w.keyed("paid"), paid(held.GetOrder())); err != nil {
		t.Fatal(err)
	}
	w.waitFor(held.GetOrder().GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
}
