package checkoutsvc_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/timezone"
)

// TestMoveEventAcrossClockChanges moves events over changes of their venues' clocks: mail, calendar file and pass show the venue's wall
// clock, whatever its offset is on that day.
func TestMoveEventAcrossClockChanges(t *testing.T) {
	w, server := newMailHarness(t)
	type wall struct{ year, month, day, hour, minute int }
	for name, tc := range map[string]struct {
		zone          string
		from, to      wall
		offsets       []string // that the calendar file knows, in the order of time
		when, address string
	}{
		"Berlin, winter to summer":    {"Europe/Berlin", wall{2027, 3, 27, 20, 0}, wall{2027, 3, 28, 20, 0}, []string{"+0200"}, "28. März 2027", "berlin@example.test"},
		"Berlin, through the night":   {"Europe/Berlin", wall{2027, 10, 29, 23, 0}, wall{2027, 10, 30, 23, 0}, []string{"+0200", "+0100"}, "30. Oktober 2027", "night@example.test"},
		"New York, summer to winter":  {"America/New_York", wall{2027, 11, 6, 19, 30}, wall{2027, 11, 7, 19, 30}, []string{"-0500"}, "7. November 2027", "newyork@example.test"},
		"New York, an hour that is 2": {"America/New_York", wall{2027, 11, 5, 23, 30}, wall{2027, 11, 6, 23, 30}, []string{"-0400", "-0500"}, "6. November 2027", "hour@example.test"},
		"Kathmandu has no summer":     {"Asia/Kathmandu", wall{2027, 3, 27, 18, 15}, wall{2027, 7, 1, 18, 15}, []string{"+0545"}, "1. Juli 2027", "kathmandu@example.test"},
	} {
		zone, err := timezone.Load(tc.zone)
		if err != nil {
			t.Fatal(err)
		}
		at := func(c wall) time.Time {
			return time.Date(c.year, time.Month(c.month), c.day, c.hour, c.minute, 0, 0, zone)
		}
		s := w.sellIn(tc.zone, at(tc.from), 5*time.Hour)
		cart := s.cart(1)
		cart.Buyer.Email = tc.address
		started, err := w.replicas[0].checkout.StartCheckout(w.keyed("start/"+tc.address), cart)
		if err != nil {
			t.Fatal(err)
		}
		w.confirm(started.GetPaymentIntentId())
		if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid/"+tc.address), paid(started.GetOrder())); err != nil {
			t.Fatal(err)
		}
		o := w.waitFor(started.GetOrder().GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
		w.mailTo(server, tc.address, 1)

		_, act := w.preview(s.event.GetId(), at(tc.to))
		res, err := w.replicas[0].events.MoveEvent(w.keyed("move/"+tc.address), act)
		if err != nil {
			t.Fatal(err)
		}
		w.completed(res.GetOperation().GetId())
		w.wantShown(o, at(tc.to), 2)
		if shown := w.passes.shown(o.GetTickets()[0].GetId()); shown.GetTimeZone() != tc.zone {
			t.Errorf("%s: the pass shows the clock of %s", name, shown.GetTimeZone())
		}
		m := w.mailTo(server, tc.address, 2)
		clock := fmt.Sprintf("%02d:%02d", tc.to.hour, tc.to.minute)
		wantInMail(t, m, tc.when, clock)
		calendar := calendarOf(t, m)
		start := fmt.Sprintf("DTSTART;TZID=%s:%04d%02d%02dT%02d%02d00\r\n", tc.zone, tc.to.year, tc.to.month, tc.to.day, tc.to.hour, tc.to.minute)
		end := "DTEND;TZID=" + tc.zone + ":" + at(tc.to).Add(5*time.Hour).Format("20060102T150405") + "\r\n"
		if !strings.Contains(calendar, start) || !strings.Contains(calendar, end) {
			t.Errorf("%s: the calendar file lacks %q or %q:\n%s", name, start, end, calendar)
		}
		var offsets []string
		for _, match := range regexp.MustCompile(`TZOFFSETTO:(\S+)`).FindAllStringSubmatch(calendar, -1) {
			offsets = append(offsets, match[1])
		}
		if fmt.Sprint(offsets) != fmt.Sprint(tc.offsets) {
			t.Errorf("%s: the calendar file knows the offsets %v, want %v:\n%s", name, offsets, tc.offsets, calendar)
		}
	}
}

// sellIn puts a variant of an event in a zone on sale.
func (w *harness) sellIn(zone string, start time.Time, long time.Duration) seller {
	w.t.Helper()
	c := w.replicas[0].catalog
	key := "sell/" + zone + start.UTC().Format(time.RFC3339) + "/"
	event, err := c.CreateEvent(w.keyed(key+"event"), &checkoutv1.CreateEventRequest{
		OrganizerId: organizerID, OrganizerName: "Musikhaus", Name: "Nachtkonzert; Teil 1, \"laut\"", Venue: &checkoutv1.Venue{Name: "Halle 1", TimeZone: zone},
		DoorsTime: timestamppb.New(start.Add(-time.Hour)), StartTime: timestamppb.New(start), EndTime: timestamppb.New(start.Add(long)),
	})
	if err != nil {
		w.t.Fatalf("create event: %v", err)
	}
	product, err := c.CreateProduct(w.keyed(key+"product"), &checkoutv1.CreateProductRequest{EventId: event.GetEvent().GetId(), Name: "Ticket"})
	if err != nil {
		w.t.Fatalf("create product: %v", err)
	}
	variant, err := c.CreateVariant(w.keyed(key+"variant"), &checkoutv1.CreateVariantRequest{
		ProductId: product.GetProduct().GetId(), Name: "Stehplatz", CapacityTicketCount: 10,
		Version: &checkoutv1.VariantVersion{Price: &moneyv1.Money{Currency: "EUR", MinorUnits: 2500}},
	})
	if err != nil {
		w.t.Fatalf("create variant: %v", err)
	}
	return seller{event: event.GetEvent(), product: product.GetProduct(), variant: variant.GetVariant()}
}
