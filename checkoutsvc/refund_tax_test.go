package checkoutsvc_test

import (
	"testing"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// TestRefundOfATaxedTicket buys a ticket with tax and a fee and one without, and refunds the one with both: all of them go back.
func TestRefundOfATaxedTicket(t *testing.T) {
	w := newHarness(t, func(c *checkoutsvc.Config) { c.RefundApplicationFee = true })
	plain, err := w.replicas[0].catalog.CreateVariant(w.keyed("plain"), &checkoutv1.CreateVariantRequest{
		ProductId: w.product.GetId(), Name: "Sitzplatz", CapacityTicketCount: 10, Version: &checkoutv1.VariantVersion{Price: money(8900)},
	})
	if err != nil {
		t.Fatal(err)
	}
	cart := w.cart(1)
	cart.Lines = append(cart.Lines, &checkoutv1.CartLine{VariantId: plain.GetVariant().GetId(), Quantity: 1})
	started, err := w.replicas[0].checkout.StartCheckout(w.keyed("start"), cart)
	if err != nil {
		t.Fatal(err)
	}
	w.confirm(started.GetPaymentIntentId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid"), paid(started.GetOrder())); err != nil {
		t.Fatal(err)
	}
	o := w.waitFor(started.GetOrder().GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	if reason := w.refund("taxed", &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{o.GetTickets()[0].GetId()}}); reason != "" {
		t.Fatal(reason)
	}
	o = w.waitFor(o.GetId(), "partially refunded", func(o *checkoutv1.Order) bool {
		return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_PARTIALLY_REFUNDED
	})
	id := o.GetRefunds()[0].GetStripeRefundId()
	w.waitForEntry("refund:"+id, ledgerv1.EntryKind_ENTRY_KIND_REFUND)
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	sale, refund := w.ledger.sales[started.GetPaymentIntentId()], w.ledger.refunds[id]
	if sale.GetTaxes()[0].GetMinorUnits() != 890 || sale.GetApplicationFeeMinorUnits() != 445 {
		t.Fatalf("the sale has %v", sale)
	}
	if len(refund.GetTaxes()) != 1 || refund.GetTaxes()[0].GetMinorUnits() != 890 || refund.GetApplicationFeeMinorUnits() != 445 {
		t.Errorf("the refund gives back fee %d and taxes %v; want those of the ticket, 445 and 890",
			refund.GetApplicationFeeMinorUnits(), refund.GetTaxes())
	}
}
