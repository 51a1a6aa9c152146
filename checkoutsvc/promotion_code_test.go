package checkoutsvc_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// promote makes a promotion code of a seller's event.
func (w *harness) promote(s seller, req *checkoutv1.CreatePromotionCodeRequest) *checkoutv1.PromotionCode {
	w.t.Helper()
	req.EventId = s.event.GetId()
	res, err := w.replicas[0].catalog.CreatePromotionCode(w.keyed("promote/"+s.event.GetId()+req.GetCode()), req)
	if err != nil {
		w.t.Fatalf("create promotion code: %v", err)
	}
	return res.GetPromotionCode()
}

func percent(n int32) *checkoutv1.PromotionDiscount {
	return &checkoutv1.PromotionDiscount{BasisPoints: 100 * n}
}

// with is a cart of a buyer with a promotion code.
func (s seller) with(code, email string, quantity int32) *checkoutv1.StartCheckoutRequest {
	req := s.by(email, quantity)
	req.PromotionCode = code
	return req
}

// triesCode starts a checkout with a code and returns the reason of a refusal; empty when there is none.
func (w *harness) triesCode(key string, cart *checkoutv1.StartCheckoutRequest) string {
	w.t.Helper()
	_, err := w.replicas[0].checkout.StartCheckout(w.keyed("start/"+key), cart)
	if err != nil && problem.Reason(err) == "" {
		w.t.Fatalf("start checkout: %v", err)
	}
	return problem.Reason(err)
}

// uses is how many orders a promotion code counts.
func (w *harness) uses(p *checkoutv1.PromotionCode) int {
	w.t.Helper()
	return w.count("select used_order_count from promotion_codes where id = $1", p.GetId())
}

// An order with a code is cheaper by it everywhere: at Stripe, in the books, on its tickets and in its refunds.
func TestPromotionCode(t *testing.T) {
	w := newHarness(t)
	p := w.promote(w.seller, &checkoutv1.CreatePromotionCodeRequest{
		Code: "Spring-10", Discount: &checkoutv1.PromotionDiscount{Amount: &moneyv1.Money{Currency: "EUR", MinorUnits: 1001}},
	})
	cart := w.with("sPRING-10", "erika@example.test", 2)
	cart.ExpectedTotal = &moneyv1.Money{Currency: "EUR", MinorUnits: 17800}
	if got := w.triesCode("list price", cart); got != "TOTAL_CHANGED" {
		t.Errorf("with the price that it had: %q", got)
	}
	cart.ExpectedTotal.MinorUnits = 16799
	s := w.free("cheaper", cart)
	o := s.GetOrder()
	if o.GetTotal().GetMinorUnits() != 16799 || o.GetDiscount().GetMinorUnits() != 1001 || o.GetPromotionCode() != "Spring-10" || o.GetLines()[0].GetDiscountMinorUnits() != 1001 {
		t.Errorf("the order: %v", o)
	}
	if w.uses(p) != 1 {
		t.Errorf("it is used %d times", w.uses(p))
	}
	again := w.free("cheaper", cart)
	if again.GetOrder().GetId() != o.GetId() || w.uses(p) != 1 {
		t.Errorf("a repeat makes order %s, and it is used %d times", again.GetOrder().GetId(), w.uses(p))
	}
	cart.PromotionCode = ""
	if got := w.triesCode("cheaper", cart); got != "IDEMPOTENCY_KEY_REUSED" {
		t.Errorf("the key without the code: %q", got)
	}
	if got := w.api("GET", "/v1/payment_intents/"+s.GetPaymentIntentId(), ""); got["amount"] != float64(16799) {
		t.Errorf("at Stripe it is %v", got["amount"])
	}
	w.confirm(s.GetPaymentIntentId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid"), paid(o)); err != nil {
		t.Fatal(err)
	}
	o = w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	w.waitForEntry("capture:"+s.GetPaymentIntentId(), ledgerv1.EntryKind_ENTRY_KIND_SALE)
	sale := w.ledger.saleOf(s.GetPaymentIntentId())
	// 89.00 EUR with 4.45 for the platform and 8.90 of tax, of which 5.01 and 5.00 are off: the tax is scaled, the fee stays.
	if sale.GetCapture().GetGross().GetMinorUnits() != 16799 || sale.GetApplicationFeeMinorUnits() != 890 || sale.GetTaxes()[0].GetMinorUnits() != 1680 {
		t.Errorf("the sale: %v", sale)
	}
	res, err := w.replicas[0].orders.RefundOrder(w.keyed("refund"), &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{o.GetTickets()[0].GetId()}})
	if err != nil || res.GetRefund().GetAmount().GetMinorUnits() != 8399 {
		t.Errorf("the refund of a ticket: %v, %v", res.GetRefund(), err)
	}
	if w.uses(p) != 1 {
		t.Errorf("after the refund it is used %d times", w.uses(p))
	}
}

// The last use of a code goes to one buyer, whoever asks at once; an order that ends unpaid gives its use back.
func TestPromotionCodeIsUsedUp(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	p := w.promote(w.seller, &checkoutv1.CreatePromotionCodeRequest{Code: "LAST", Discount: percent(50), OrderLimit: 3})
	var all sync.WaitGroup
	var won, usedUp atomic.Int32
	starts := make([]*checkoutv1.StartCheckoutResponse, 12)
	for i := range starts {
		all.Go(func() {
			var err error
			starts[i], err = w.replicas[i%2].checkout.StartCheckout(w.keyed(fmt.Sprint("start/", i)), w.with("last", fmt.Sprintf("b%d@example.test", i), 1))
			switch {
			case err == nil:
				won.Add(1)
			case problem.Reason(err) == "PROMOTION_CODE_USED_UP":
				usedUp.Add(1)
			default:
				t.Errorf("start checkout: %v", err)
			}
		})
	}
	all.Wait()
	if won.Load() != 3 || usedUp.Load() != 9 || w.uses(p) != 3 || w.taken() != 3 {
		t.Fatalf("%d orders got it, %d did not; it counts %d, and %d tickets are taken", won.Load(), usedUp.Load(), w.uses(p), w.taken())
	}
	i := slices.IndexFunc(starts, func(s *checkoutv1.StartCheckoutResponse) bool { return s != nil })
	w.cancel(w.replicas[0], "back", starts[i])
	if w.uses(p) != 2 {
		t.Errorf("after an order was given back it counts %d", w.uses(p))
	}
	if got := w.triesCode("next", w.with("LAST", "next@example.test", 1)); got != "" {
		t.Errorf("the use that came back: %q", got)
	}
	// Money for the order that was given back finds no use of the code left: it goes back, as if the tickets were sold out.
	w.exec("update payment_intents set status = 'requires_payment_method', canceled = false where order_id = $1", starts[i].GetOrder().GetId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("late"), paid(starts[i].GetOrder())); err != nil {
		t.Fatal(err)
	}
	w.waitFor(starts[i].GetOrder().GetId(), "unfulfillable", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE))
	if w.uses(p) != 3 || w.taken() != 3 {
		t.Errorf("it counts %d, and %d tickets are taken", w.uses(p), w.taken())
	}
}

// Late money keeps the price that was quoted, also when the code is archived, as long as it may be used once more.
func TestLateMoneyKeepsItsDiscount(t *testing.T) {
	w := newHarness(t)
	p := w.promote(w.seller, &checkoutv1.CreatePromotionCodeRequest{Code: "LATE", Discount: percent(50), OrderLimit: 1})
	s := w.free("late", w.with("LATE", "erika@example.test", 1))
	w.exec("update holds set expire_time = now() - interval '1 minute' where order_id = $1", s.GetOrder().GetId())
	w.waitFor(s.GetOrder().GetId(), "expired", func(o *checkoutv1.Order) bool { return o.GetHoldState() == checkoutv1.HoldState_HOLD_STATE_EXPIRED })
	if w.uses(p) != 0 {
		t.Errorf("after the hold's end it counts %d", w.uses(p))
	}
	if _, err := w.replicas[0].catalog.ArchivePromotionCode(w.keyed("archive"), &checkoutv1.ArchivePromotionCodeRequest{PromotionCodeId: p.GetId()}); err != nil {
		t.Fatal(err)
	}
	if got := w.triesCode("archived", w.with("LATE", "otto@example.test", 1)); got != "PROMOTION_CODE_NOT_ACTIVE" {
		t.Errorf("an archived code: %q", got)
	}
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid"), paid(s.GetOrder())); err != nil {
		t.Fatal(err)
	}
	o := w.waitFor(s.GetOrder().GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	if o.GetCapturedMinorUnits() != 4450 || w.uses(p) != 1 {
		t.Errorf("captured %d, counted %d", o.GetCapturedMinorUnits(), w.uses(p))
	}
}

// What codes are refused for, and what one buyer may use.
func TestPromotionCodeIsRefused(t *testing.T) {
	w := newHarness(t)
	free := w.sellFree(10, 0)
	w.promote(w.seller, &checkoutv1.CreatePromotionCodeRequest{Code: "ONCE", Discount: percent(10), BuyerOrderLimit: 1})
	w.promote(w.seller, &checkoutv1.CreatePromotionCodeRequest{Code: "KIDS", Discount: percent(10), VariantIds: []string{free.variant.GetId()}})
	w.promote(w.seller, &checkoutv1.CreatePromotionCodeRequest{Code: "SOON", Discount: percent(10), StartTime: timestamppb.New(w.clock.Now().Add(time.Hour))})
	w.promote(w.seller, &checkoutv1.CreatePromotionCodeRequest{Code: "GONE", Discount: percent(10), EndTime: timestamppb.New(w.clock.Now().Add(-time.Hour))})
	other := w.sell(4500, 10)
	w.promote(other, &checkoutv1.CreatePromotionCodeRequest{Code: "OTHER", Discount: percent(10)})
	for _, c := range []struct{ key, code, email, want string }{
		{"unknown", "NOBODYS", "erika@example.test", "PROMOTION_CODE_NOT_FOUND"},
		{"of another event", "OTHER", "erika@example.test", "PROMOTION_CODE_NOT_FOUND"},
		{"for another variant", "KIDS", "erika@example.test", "PROMOTION_CODE_NOT_APPLICABLE"},
		{"before its time", "SOON", "erika@example.test", "PROMOTION_CODE_NOT_ACTIVE"},
		{"after its time", "GONE", "erika@example.test", "PROMOTION_CODE_NOT_ACTIVE"},
		{"malformed", "a b", "erika@example.test", "INVALID_FIELD"},
		{"once", "ONCE", "erika@example.test", ""},
		{"twice", "once", "ERIKA@example.test", "PROMOTION_CODE_USED_UP"},
		{"another buyer", "ONCE", "otto@example.test", ""},
	} {
		if got := w.triesCode(c.key, w.with(c.code, c.email, 1)); got != c.want {
			t.Errorf("%s: %q, want %q", c.key, got, c.want)
		}
	}
}

// A hidden variant that a code unlocks is sold with that code only, whoever knows its id.
func TestPromotionCodeUnlocks(t *testing.T) {
	w := newHarness(t)
	hidden := w.sellOf(w.event, &checkoutv1.CreateVariantRequest{Name: "Loge", State: checkoutv1.VariantState_VARIANT_STATE_HIDDEN})
	if got := w.startReason("hidden", hidden, 1); got != "" {
		t.Errorf("a hidden variant that no code unlocks: %q", got)
	}
	p := w.promote(w.seller, &checkoutv1.CreatePromotionCodeRequest{Code: "FRIENDS", UnlockedVariantIds: []string{hidden.variant.GetId()}})
	w.promote(w.seller, &checkoutv1.CreatePromotionCodeRequest{Code: "SPRING", Discount: percent(10)})
	for _, c := range []struct{ key, code, want string }{
		{"without", "", "PROMOTION_CODE_REQUIRED"}, {"with another", "SPRING", "PROMOTION_CODE_REQUIRED"}, {"with it", "FRIENDS", ""},
	} {
		if got := w.triesCode(c.key, hidden.with(c.code, "erika@example.test", 1)); got != c.want {
			t.Errorf("%s: %q, want %q", c.key, got, c.want)
		}
	}
	for id, want := range map[string]bool{hidden.variant.GetId(): true, w.variant.GetId(): false} {
		res, err := w.public().GetVariant(t.Context(), &checkoutv1.GetVariantRequest{VariantId: id})
		if err != nil || res.GetVariant().GetNeedsPromotionCode() != want {
			t.Errorf("variant %s: %v, %v", id, res, err)
		}
	}
	if got := w.triesCode("elsewhere", w.with("FRIENDS", "erika@example.test", 1)); got != "PROMOTION_CODE_NOT_APPLICABLE" {
		t.Errorf("for what it does not unlock: %q", got)
	}
	if w.uses(p) != 1 {
		t.Errorf("it counts %d", w.uses(p))
	}
}

// A code that takes all off makes the order free.
func TestPromotionCodeMakesFree(t *testing.T) {
	w := newHarness(t, func(c *checkoutsvc.Config) { c.BuyerHoldsMax = 1 })
	p := w.promote(w.seller, &checkoutv1.CreatePromotionCodeRequest{Code: "GUEST", Discount: percent(100), OrderLimit: 2})
	for i := range 2 {
		s := w.free(fmt.Sprint("guest/", i), w.with("guest", "erika@example.test", 2))
		if s.GetPaymentIntentId() != "" || s.GetOrder().GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_NOT_REQUIRED || s.GetOrder().GetTickets()[1].GetState() != checkoutv1.TicketState_TICKET_STATE_VALID {
			t.Errorf("the answer: %v", s)
		}
		if o, err := w.tryRelease(w.replicas[0], fmt.Sprint(i), s); err != nil || o.GetTickets()[0].GetState() != checkoutv1.TicketState_TICKET_STATE_VOID {
			t.Errorf("release: %v, %v", o, err)
		}
	}
	if got := w.triesCode("one more", w.with("GUEST", "otto@example.test", 1)); got != "PROMOTION_CODE_USED_UP" || w.uses(p) != 2 || w.taken() != 0 {
		t.Errorf("one more: %q; it counts %d, %d tickets are taken", got, w.uses(p), w.taken())
	}
}

// Codes are kept once per event, change within limits, and are listed page by page.
func TestPromotionCodesAreKept(t *testing.T) {
	w := newHarness(t)
	c := w.replicas[0].catalog
	p := w.promote(w.seller, &checkoutv1.CreatePromotionCodeRequest{Code: "Spring", Discount: percent(10), OrderLimit: 5})
	if p.GetUpdateNumber() != 1 || p.GetDiscount().GetBasisPoints() != 1000 || p.GetCreateTime() == nil {
		t.Errorf("created: %v", p)
	}
	for key, create := range map[string]struct {
		change func(r *checkoutv1.CreatePromotionCodeRequest)
		want   string
	}{
		"again, in capitals":       {func(r *checkoutv1.CreatePromotionCodeRequest) { r.Code = "SPRING" }, "PROMOTION_CODE_EXISTS"},
		"of nobody":                {func(r *checkoutv1.CreatePromotionCodeRequest) { r.EventId = "event000000000000none" }, "EVENT_NOT_FOUND"},
		"for somebody's variant":   {func(r *checkoutv1.CreatePromotionCodeRequest) { r.VariantIds = []string{"variant0000000000none"} }, "VARIANT_NOT_FOUND"},
		"for nothing":              {func(r *checkoutv1.CreatePromotionCodeRequest) { r.Discount = nil }, "INVALID_FIELD"},
		"for a part and an amount": {func(r *checkoutv1.CreatePromotionCodeRequest) { r.Discount.Amount = money(1) }, "INVALID_FIELD"},
		"for each of no amount":    {func(r *checkoutv1.CreatePromotionCodeRequest) { r.Discount.PerTicket = true }, "INVALID_FIELD"},
		"for an amount of nothing": {func(r *checkoutv1.CreatePromotionCodeRequest) {
			r.Discount = &checkoutv1.PromotionDiscount{Amount: money(0)}
		}, "INVALID_FIELD"},
		"that ends before it begins": {func(r *checkoutv1.CreatePromotionCodeRequest) {
			r.StartTime, r.EndTime = timestamppb.New(w.clock.Now()), timestamppb.New(w.clock.Now().Add(-time.Second))
		}, "INVALID_FIELD"},
	} {
		req := &checkoutv1.CreatePromotionCodeRequest{EventId: w.event.GetId(), Code: "OTHER", Discount: percent(10)}
		create.change(req)
		if _, err := c.CreatePromotionCode(w.keyed("create/"+key), req); problem.Reason(err) != create.want {
			t.Errorf("a code %s: %v, want %s", key, err, create.want)
		}
	}
	w.free("use", w.with("spring", "erika@example.test", 1))
	w.free("use again", w.with("spring", "erika@example.test", 1))
	update := func(key string, number int64, f *checkoutv1.PromotionCodeFields, paths ...string) (*checkoutv1.PromotionCode, error) {
		res, err := c.UpdatePromotionCode(w.keyed("update/"+key), &checkoutv1.UpdatePromotionCodeRequest{
			PromotionCodeId: p.GetId(), PromotionCode: f, UpdateMask: mask(paths...), UpdateNumber: number,
		})
		return res.GetPromotionCode(), err
	}
	if _, err := update("below", 0, &checkoutv1.PromotionCodeFields{OrderLimit: 1}, "order_limit"); problem.Reason(err) != "PROMOTION_CODE_LIMIT_BELOW_USED" {
		t.Errorf("a limit below its uses: %v", err)
	}
	if _, err := update("stale", 7, &checkoutv1.PromotionCodeFields{OrderLimit: 3}, "order_limit"); problem.Reason(err) != "UPDATE_NUMBER_STALE" {
		t.Errorf("a change of what was changed: %v", err)
	}
	changed, err := update("good", 1, &checkoutv1.PromotionCodeFields{OrderLimit: 2, VariantIds: []string{w.variant.GetId()}}, "order_limit", "variant_ids")
	if err != nil || changed.GetOrderLimit() != 2 || !slices.Equal(changed.GetVariantIds(), []string{w.variant.GetId()}) || changed.GetUpdateNumber() != 2 || changed.GetUsedOrderCount() != 2 {
		t.Errorf("changed: %v, %v", changed, err)
	}
	if got := w.triesCode("above", w.with("spring", "otto@example.test", 1)); got != "PROMOTION_CODE_USED_UP" {
		t.Errorf("one above the new limit: %q", got)
	}
	w.promote(w.seller, &checkoutv1.CreatePromotionCodeRequest{Code: "SUMMER", Discount: percent(20)})
	var listed []string
	req := &checkoutv1.ListPromotionCodesRequest{EventId: w.event.GetId(), PageSize: 1}
	for {
		page, err := c.ListPromotionCodes(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.GetPromotionCodes() {
			listed = append(listed, p.GetCode())
		}
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	if !slices.Equal(listed, []string{"Spring", "SUMMER"}) {
		t.Errorf("listed: %q", listed)
	}
	if _, err := w.public().ListPromotionCodes(t.Context(), &checkoutv1.ListPromotionCodesRequest{EventId: w.event.GetId()}); err == nil {
		t.Error("anybody may list codes")
	}
	first, err := c.ArchivePromotionCode(w.keyed("archive"), &checkoutv1.ArchivePromotionCodeRequest{PromotionCodeId: p.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.ArchivePromotionCode(w.keyed("archive again"), &checkoutv1.ArchivePromotionCodeRequest{PromotionCodeId: p.GetId()})
	if err != nil || !second.GetPromotionCode().GetArchiveTime().AsTime().Equal(first.GetPromotionCode().GetArchiveTime().AsTime()) {
		t.Errorf("archived: %v, then %v, %v", first, second, err)
	}
}

// The receipt says what is off, and the total that is left.
func TestReceiptShowsTheDiscount(t *testing.T) {
	w, server := newMailHarness(t)
	w.promote(w.seller, &checkoutv1.CreatePromotionCodeRequest{Code: "SPRING", Discount: percent(10)})
	s := w.free("receipt", w.with("spring", "erika@example.test", 2))
	w.confirm(s.GetPaymentIntentId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid"), paid(s.GetOrder())); err != nil {
		t.Fatal(err)
	}
	wantInMail(t, w.mailTo(server, "erika@example.test", 1), "89,00 EUR je Ticket", "Rabatt SPRING", "-17,80 EUR", "160,20 EUR")
}
