package checkoutsvc_test

import (
	"testing"

	"connectrpc.com/connect"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
)

// reprice sets a price that the catalogue would not take, as one from before its rules.
func (w *harness) reprice(s seller, currency string, minorUnits int64) {
	w.t.Helper()
	w.exec(`insert into variant_versions (variant_id, version, currency, price_minor_units, application_fee_minor_units, tax_minor_units,
			tax_country, tax_kind, terms, create_time)
		values ($1, 2, $2, $3, 0, 0, '', '', '', now())`, s.variant.GetId(), currency, minorUnits)
	w.exec("update variants set current_version = 2 where id = $1", s.variant.GetId())
}

// TestStripeRefusesForGood has Stripe refuse an intent for what it asks for: the caller hears that a retry does not help, the stock is
// on sale again at once, and no job cleans up.
func TestStripeRefusesForGood(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		currency string
		price    int64
		quantity int32
	}{
		"below the minimum":           {"EUR", 49, 1},
		"below the minimum in forint": {"HUF", 10000, 1},
		"a currency that it lacks":    {"XTS", 5000, 1},
		"above its limit":             {"EUR", 50_000_000, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t)
			w.reprice(w.seller, c.currency, c.price)
			for i := range 2 { // the same key is answered in the same way
				_, err := w.replicas[0].checkout.StartCheckout(w.keyed("refused"), w.cart(c.quantity))
				wantProblem(t, err, connect.CodeFailedPrecondition, "PAYMENT_REFUSED")
				if n := w.taken(); n != 0 {
					t.Errorf("call %d: %d tickets are taken, want none", i, n)
				}
			}
			if n := w.count("select count(*) from orders where payment = 'canceled'"); n != 1 {
				t.Errorf("%d canceled orders, want 1", n)
			}
			if n := w.count("select count(*) from river_job where kind = 'cancel_intents'"); n != 0 {
				t.Errorf("%d jobs clean up, want none", n)
			}
		})
	}
}

// TestPricesThatCannotBeCharged are refused when they are set.
func TestPricesThatCannotBeCharged(t *testing.T) {
	w := newHarness(t)
	for name, price := range map[string]*moneyv1.Money{
		"49 cents": {Currency: "EUR", MinorUnits: 49}, "100 forint": {Currency: "HUF", MinorUnits: 10000}, "a currency for tests": {Currency: "XTS", MinorUnits: 5000},
	} {
		_, err := w.replicas[0].catalog.CreateVariant(w.keyed("price/"+name), &checkoutv1.CreateVariantRequest{
			ProductId: w.product.GetId(), Name: "Stehplatz", CapacityTicketCount: 1, Version: &checkoutv1.VariantVersion{Price: price},
		})
		if err == nil {
			t.Errorf("%s: a price that cannot be charged was taken", name)
			continue
		}
		wantProblem(t, err, connect.CodeInvalidArgument, "INVALID_FIELD")
	}
	if _, err := w.replicas[0].catalog.CreateVariant(w.keyed("price/least"), &checkoutv1.CreateVariantRequest{
		ProductId: w.product.GetId(), Name: "Stehplatz", CapacityTicketCount: 1, Version: &checkoutv1.VariantVersion{Price: &moneyv1.Money{Currency: "EUR", MinorUnits: 50}},
	}); err != nil {
		t.Errorf("50 cents: %v", err)
	}
}
