package account

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestOrganizerCannotSell follows what Stripe decides about an organiser's account from its webhook to the shop: sales
// close, open, and close for good when the organiser leaves.
func TestOrganizerCannotSell(t *testing.T) {
	t.Parallel()
	system := client.NewClient(e2etest.NewCluster(t, 1, nil).File) // others sell whatever event comes first
	organizer, account := client.NewKey(), "acct_"+client.NewKey()
	lines, eventID := organizersShop(t, system, organizer)
	sells := func() (bool, error) {
		_, err := system.Checkout.StartCheckout(e2etest.Keyed(e2etest.Within(t, 20*time.Second)), &checkoutv1.StartCheckoutRequest{
			EventId: eventID, Lines: lines, Buyer: &checkoutv1.Buyer{Name: "Ada", Email: "ada@example.test"},
		})
		if err != nil && problem.Reason(err) != "ORGANIZER_CANNOT_SELL" {
			return false, err
		}
		return err == nil, nil
	}
	for _, step := range []struct {
		name, method, path string
		body               map[string]any
		sells              bool
	}{
		{"connected", "PUT", "", map[string]any{"charges_enabled": true, "metadata": map[string]string{"organizer_id": organizer}}, true},
		{"restricted", "PUT", "", map[string]any{"charges_enabled": false}, false},
		{"enabled", "PUT", "", map[string]any{"charges_enabled": true}, true},
		{"left", "POST", "/deauthorize", map[string]any{}, false},
	} {
		if _, err := system.Stripe.Control(e2etest.Within(t, 20*time.Second), step.method, "/_sandbox/accounts/"+account+step.path, step.body); err != nil {
			t.Fatal(err)
		}
		awaitSales(t, step.name, step.sells, sells)
	}
}

// awaitSales polls until sales are as wanted.
func awaitSales(t *testing.T, step string, want bool, sells func() (bool, error)) {
	t.Helper()
	ctx := e2etest.Within(t, time.Minute)
	for {
		open, err := sells()
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		if open == want {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: sales are open: %v, want %v", step, open, want)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// organizersShop puts a variant of a new organiser on sale.
func organizersShop(t *testing.T, system *client.Client, organizer string) (lines []*checkoutv1.CartLine, eventID string) {
	t.Helper()
	start := clock.System{}.Now().Add(30 * 24 * time.Hour)
	event, err := system.Catalog.CreateEvent(e2etest.Keyed(e2etest.Within(t, 20*time.Second)), &checkoutv1.CreateEventRequest{
		OrganizerId: organizer, OrganizerName: "Own", Name: "Own event", Venue: &checkoutv1.Venue{Name: "Hall", TimeZone: "Europe/Berlin"},
		StartTime: timestamppb.New(start), EndTime: timestamppb.New(start.Add(3 * time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	variant, err := system.CreateVariant(e2etest.Within(t, 20*time.Second), organizer, event.GetEvent().GetId(), "Ticket", "Standing", 100,
		&checkoutv1.VariantVersion{Price: &moneyv1.Money{Currency: "EUR", MinorUnits: 4450}})
	if err != nil {
		t.Fatal(err)
	}
	return []*checkoutv1.CartLine{{VariantId: variant.GetId(), Quantity: 1}}, event.GetEvent().GetId()
}
