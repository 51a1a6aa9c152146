package checkoutsvc_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/timezone"
)

// changesOf2027 are the instants at which clocks of a zone change in 2027; where they do not, a midnight.
func changesOf2027(t *testing.T, zone string) []time.Time {
	t.Helper()
	location, err := timezone.Load(zone)
	if err != nil {
		t.Fatal(err)
	}
	var changes []time.Time
	for at := time.Date(2027, 1, 1, 0, 0, 0, 0, location); ; {
		_, end := at.ZoneBounds()
		if end.IsZero() || end.Year() > 2027 {
			break
		}
		_, before := end.Add(-time.Second).Zone()
		if _, after := end.Zone(); before != after { // some bounds are only where a year ends
			changes = append(changes, end.UTC())
		}
		at = end
	}
	if len(changes) == 0 {
		changes = append(changes, time.Date(2027, 4, 14, 0, 0, 0, 0, location).UTC())
	}
	return changes
}

// Sales open and close at their instants, whatever the wall clock of the venue does then: a sale that opens as the clocks change, one that
// closes then, and one that spans the change are open for as long as their instants say.
func TestSaleWindowsAcrossDaylightSaving(t *testing.T) {
	w := newHarness(t)
	fake := clock.NewFake(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
	w.clock = fake
	r := w.addReplica()
	tried := 0
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Asia/Kathmandu"} {
		changes := changesOf2027(t, zone)
		if want := map[bool]int{true: 1, false: 2}[zone == "Asia/Kathmandu"]; len(changes) != want {
			t.Fatalf("%s has %d changes in 2027, want %d", zone, len(changes), want)
		}
		req := newEvent()
		req.Venue.TimeZone = zone
		e := w.createEvent(zone, req)
		for _, change := range changes {
			for name, window := range map[string][2]time.Duration{"opens": {0, 2 * time.Hour}, "closes": {-2 * time.Hour, 0}, "spans": {-30 * time.Minute, 30 * time.Minute}} {
				opens, closes := change.Add(window[0]), change.Add(window[1])
				s := w.sellOf(e, &checkoutv1.CreateVariantRequest{
					Name: fmt.Sprint(zone, change.Unix(), name), SaleStartTime: timestamppb.New(opens), SaleEndTime: timestamppb.New(closes),
				})
				for at, want := range map[time.Time]string{
					opens.Add(-time.Microsecond): "SALE_NOT_OPEN", opens: "", closes.Add(-time.Microsecond): "", closes: "SALE_NOT_OPEN",
				} {
					fake.Set(at)
					_, err := r.checkout.StartCheckout(w.keyed(fmt.Sprintf("%s/%s/%d", s.variant.GetId(), name, at.UnixMicro())), s.cart(1))
					if got := problem.Reason(err); got != want {
						t.Errorf("%s, a sale that %s as clocks change at %s, at %s: %q, want %q", zone, name, change, at, got, want)
					}
					tried++
				}
				got, err := w.public().GetVariant(t.Context(), &checkoutv1.GetVariantRequest{VariantId: s.variant.GetId()})
				if err != nil || !got.GetVariant().GetSaleStartTime().AsTime().Equal(opens) || !got.GetVariant().GetSaleEndTime().AsTime().Equal(closes) {
					t.Errorf("the catalogue shows another window: %v, %v", got, err)
				}
			}
		}
	}
	t.Logf("%d checkouts", tried)
}

// Nothing is sold from the instant at which its sale ends: neither by a checkout nor by money that comes after its hold has ended. The same
// holds for the end of the event and for an archived event.
func TestLateMoneyAtTheEndOfTheSale(t *testing.T) {
	t.Parallel()
	end := time.Date(2027, 2, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		at      time.Time
		change  string
		refused string // what a checkout is told then
	}{
		"just before the end":                {end.Add(-time.Microsecond), "update variants set sale_end_time = $1", ""},
		"at the end":                         {end, "update variants set sale_end_time = $1", "SALE_NOT_OPEN"},
		"just before the end of the event":   {end.Add(-time.Microsecond), "update events set start_time = $1::timestamptz - interval '2 hours', end_time = $1", ""},
		"at the end of the event":            {end, "update events set start_time = $1::timestamptz - interval '2 hours', end_time = $1", "SALE_NOT_OPEN"},
		"of an archived event":               {end, "update events set publication = 'archived' where end_time > $1", "EVENT_NOT_ON_SALE"},
		"of an archived variant":             {end, "update variants set state = 'archived' where create_time < $1", "SALE_NOT_OPEN"},
		"of a hidden variant, which is sold": {end, "update variants set state = 'hidden' where create_time < $1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t, shortHold)
			o := w.start("late", 1).GetOrder()
			w.waitFor(o.GetId(), "expired", holdIs(checkoutv1.HoldState_HOLD_STATE_EXPIRED))
			fake := clock.NewFake(c.at)
			w.clock = fake
			r := w.addReplica()
			w.exec(c.change, end)
			if _, err := r.payments.RecordPayment(w.keyed("evt"), paid(o)); err != nil {
				t.Fatal(err)
			}
			got, want := w.order(o.GetId()), checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE
			if c.refused == "" {
				want = checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED
				got = w.waitFor(o.GetId(), "completed", fulfilmentIs(want))
			}
			if got.GetFulfilmentState() != want || (len(got.GetRefunds()) == 1) == (c.refused == "") {
				t.Errorf("late money: %v, %d refunds", got.GetFulfilmentState(), len(got.GetRefunds()))
			}
			_, err := r.checkout.StartCheckout(w.keyed("checkout"), w.cart(1))
			if got := problem.Reason(err); got != c.refused {
				t.Errorf("a checkout: %q, want %q", got, c.refused)
			}
		})
	}
}
