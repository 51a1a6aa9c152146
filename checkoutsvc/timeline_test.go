package checkoutsvc_test

import (
	"testing"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// TestTimelineNamesWhoAskedForARefund asks for a refund and looks for its line.
func TestTimelineNamesWhoAskedForARefund(t *testing.T) {
	w := newHarness(t)
	o := w.bought("who", 1)
	res, err := w.replicas[0].orders.RefundOrder(w.keyed("who"), &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), Note: "rain"})
	if err != nil {
		t.Fatal(err)
	}
	details, err := w.replicas[0].orders.GetOrderDetails(t.Context(), &checkoutv1.GetOrderDetailsRequest{OrderId: o.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range details.GetTimeline() {
		if e.GetStep() == "refund_requested" {
			if e.GetActor() != "operator" || e.GetDetail() != res.GetRefund().GetId() {
				t.Errorf("refund %q was asked for by %q, want %s by operator", e.GetDetail(), e.GetActor(), res.GetRefund().GetId())
			}
			return
		}
	}
	t.Errorf("no line about the refund in %v", details.GetTimeline())
}
