package checkoutsvc_test

import (
	"slices"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestServiceRulesReportAllViolations breaks several rules that the schema does not have, in one request each.
func TestServiceRulesReportAllViolations(t *testing.T) {
	w := newHarness(t)
	start := w.event.GetStartTime()
	_, err := w.replicas[0].catalog.CreateEvent(w.keyed("event"), &checkoutv1.CreateEventRequest{
		OrganizerId: organizerID, OrganizerName: "Musikhaus", Name: "Nachtkonzert",
		Venue:     &checkoutv1.Venue{Name: "Halle 1", Address: "Hauptstr. 1, Berlin", TimeZone: "Mars/Olympus"},
		StartTime: start, EndTime: start,
	})
	if got := problem.Fields(err); len(got) != 2 {
		t.Errorf("event: %v", err)
	}
	_, err = w.replicas[0].catalog.CreateVariant(w.keyed("variant"), &checkoutv1.CreateVariantRequest{
		ProductId: w.product.GetId(), Name: "Stehplatz", CapacityTicketCount: 1, SaleStartTime: start,
		SaleEndTime: timestamppb.New(start.AsTime().AddDate(0, 0, -1)),
		Version: &checkoutv1.VariantVersion{
			Price: &moneyv1.Money{Currency: "EUR", MinorUnits: 1000}, ApplicationFeeMinorUnits: 2000, TaxMinorUnits: 10,
		},
	})
	if got := problem.Fields(err); len(got) != 3 {
		t.Errorf("variant: %v", err)
	}
}

// TestCartReportsAllWrongLines asks for tickets by lines each of which is wrong for a reason of its own.
func TestCartReportsAllWrongLines(t *testing.T) {
	w := newHarness(t)
	cart := w.cart(11)
	variant := cart.GetLines()[0].GetVariantId()
	cart.Lines = append(cart.Lines, &checkoutv1.CartLine{VariantId: "NoSuchVariant00000001", Quantity: 1}, &checkoutv1.CartLine{VariantId: variant, Quantity: 1})
	_, err := w.replicas[0].checkout.StartCheckout(w.keyed("cart"), cart)
	wantProblem(t, err, connect.CodeResourceExhausted, "ORDER_TICKET_LIMIT")
	var got []string
	for _, f := range problem.Fields(err) {
		got = append(got, f.Path)
	}
	if want := []string{"lines[0].quantity", "lines[1].variant_id", "lines[2].variant_id"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %q", err, want)
	}
}
