package checkoutsvc_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// TestPublicVariant has everybody but staff see neither the platform's fee nor how much is sold.
func TestPublicVariant(t *testing.T) {
	w := newHarness(t)
	large := w.sell(8900, 5000)
	client, opts := rpc.Dial(rpc.DialConfig{BaseURL: w.replicas[0].url, Timeout: patience})
	public := checkoutv1connect.NewCatalogServiceClient(client, w.replicas[0].url, opts...)
	for _, tc := range []struct {
		catalog                  checkoutv1connect.CatalogServiceClient
		capacity, available, fee int64
	}{{public, 0, 100, 0}, {w.replicas[0].catalog, 5000, 5000, 445}} {
		one, err := tc.catalog.GetVariant(t.Context(), &checkoutv1.GetVariantRequest{VariantId: large.variant.GetId()})
		if err != nil {
			t.Fatal(err)
		}
		all, err := tc.catalog.ListVariants(t.Context(), &checkoutv1.ListVariantsRequest{EventId: large.event.GetId()})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range append(all.GetVariants(), one.GetVariant()) {
			if v.GetCapacityTicketCount() != tc.capacity || v.GetAvailableTicketCount() != tc.available ||
				v.GetCurrentVersion().GetApplicationFeeMinorUnits() != tc.fee || v.GetCurrentVersion().GetPrice().GetMinorUnits() != 8900 {
				t.Errorf("want capacity %d, %d available and fee %d: %v", tc.capacity, tc.available, tc.fee, v)
			}
		}
	}
}

// TestOrderTokenExpires has the token of an order open it until the lifetime is over, and not a moment longer.
func TestOrderTokenExpires(t *testing.T) {
	w := newHarness(t)
	expiring := w.newReplica(w.pool, func(c *checkoutsvc.Config) { c.OrderTokenLifetime = time.Nanosecond })
	started := w.start("expiring", 1)
	for url, want := range map[string]connect.Code{w.replicas[0].url: 0, expiring.url: connect.CodeNotFound} {
		client, opts := rpc.Dial(rpc.DialConfig{BaseURL: url, Token: config.NewSecret(started.GetOrderAccessToken()), Timeout: patience})
		buyer := checkoutv1connect.NewCheckoutServiceClient(client, url, opts...)
		_, err := buyer.GetOrder(t.Context(), &checkoutv1.GetOrderRequest{OrderId: started.GetOrder().GetId()})
		if problem.Code(err) != want {
			t.Errorf("the order is answered with %v, want %v", err, want)
		}
		_, err = buyer.CompleteCheckout(w.keyed("complete/expiring"), &checkoutv1.CompleteCheckoutRequest{
			OrderId: started.GetOrder().GetId(), PaymentIntentId: started.GetPaymentIntentId(),
		})
		if got := problem.Reason(err) == "ORDER_NOT_FOUND"; got != (want == connect.CodeNotFound) {
			t.Errorf("the claim is answered with %v", err)
		}
	}
	if _, err := expiring.checkout.GetOrder(t.Context(), &checkoutv1.GetOrderRequest{OrderId: started.GetOrder().GetId()}); err != nil {
		t.Errorf("staff: %v", err)
	}
}

func TestStartCheckout(t *testing.T) {
	w := newHarness(t)
	c := w.replicas[0].checkout

	t.Run("quotes, holds stock and makes an intent", func(t *testing.T) {
		res := w.start("plain", 2)
		o := res.GetOrder()
		if o.GetTotal().GetMinorUnits() != 17800 || o.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_AWAITING_PAYMENT {
			t.Errorf("got total %v and payment %v", o.GetTotal(), o.GetPaymentState())
		}
		if o.GetHoldState() != checkoutv1.HoldState_HOLD_STATE_ACTIVE || len(o.GetTickets()) != 0 {
			t.Errorf("got hold %v and %d tickets", o.GetHoldState(), len(o.GetTickets()))
		}
		intent := w.api("GET", "/v1/payment_intents/"+res.GetPaymentIntentId(), "")
		if intent["amount"] != 17800.0 || intent["currency"] != "eur" || field(intent, "metadata", "order_id") != o.GetId() {
			t.Errorf("Stripe has %v", intent)
		}
	})

	t.Run("same key is one order, at once too", func(t *testing.T) {
		taken := w.count("select sum(taken) from stock")
		answers := make([]*checkoutv1.StartCheckoutResponse, 8)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				for { // an intent that is being made elsewhere with our key answers "retry with the same key"
					res, err := c.StartCheckout(w.keyed("start/eight"), w.cart(1))
					if problem.Code(err) == connect.CodeUnavailable || problem.Code(err) == connect.CodeAborted {
						continue
					}
					if err != nil {
						t.Errorf("start checkout: %v", err)
					}
					answers[i] = res
					return
				}
			})
		}
		wg.Wait()
		for _, a := range answers[1:] {
			if diff := cmp.Diff(answers[0], a, protocmp.Transform()); diff != "" {
				t.Errorf("answers differ: %s", diff)
			}
		}
		if got := w.count("select sum(taken) from stock") - taken; got != 1 {
			t.Errorf("took %d tickets of stock, want 1", got)
		}
	})

	t.Run("a repeat is answered alike", func(t *testing.T) {
		first := w.start("alike", 2)
		if diff := cmp.Diff(first, w.start("alike", 2), protocmp.Transform()); diff != "" {
			t.Errorf("the repeat, which reads the order, differs: %s", diff)
		}
	})

	t.Run("same key and other cart is refused", func(t *testing.T) {
		w.start("reuse", 1)
		_, err := c.StartCheckout(w.keyed("start/reuse"), w.cart(2))
		wantProblem(t, err, connect.CodeAlreadyExists, problem.ReasonIdempotencyKeyReused)
	})

	t.Run("a price change keeps the open hold and its replay as quoted", func(t *testing.T) {
		before := w.start("old price", 1)
		_, err := w.replicas[0].catalog.CreateVariantVersion(w.keyed("raise"), &checkoutv1.CreateVariantVersionRequest{
			VariantId: w.variant.GetId(), Version: &checkoutv1.VariantVersion{Price: &moneyv1.Money{Currency: "EUR", MinorUnits: 9900}},
		})
		if err != nil {
			t.Fatalf("create version: %v", err)
		}
		if again := w.start("old price", 1); again.GetOrder().GetTotal().GetMinorUnits() != before.GetOrder().GetTotal().GetMinorUnits() {
			t.Errorf("the replay costs %v", again.GetOrder().GetTotal())
		}
		if after := w.start("new price", 1); after.GetOrder().GetTotal().GetMinorUnits() != 9900 || after.GetOrder().GetLines()[0].GetVariantVersion() != 2 {
			t.Errorf("the new order is %v", after.GetOrder())
		}
	})
}

func TestStartCheckoutRefuses(t *testing.T) {
	w := newHarness(t)
	small := w.sell(500, 3)
	future, err := w.replicas[0].catalog.CreateVariant(w.keyed("future"), &checkoutv1.CreateVariantRequest{
		ProductId: w.product.GetId(), Name: "Later", CapacityTicketCount: 5, SaleStartTime: timestamppb.New(clock.System{}.Now().Add(time.Hour)),
		Version: &checkoutv1.VariantVersion{Price: &moneyv1.Money{Currency: "EUR", MinorUnits: 100}},
	})
	if err != nil {
		t.Fatal(err)
	}
	yen, err := w.replicas[0].catalog.CreateVariant(w.keyed("yen"), &checkoutv1.CreateVariantRequest{
		ProductId: w.product.GetId(), Name: "Yen", CapacityTicketCount: 5,
		Version: &checkoutv1.VariantVersion{Price: &moneyv1.Money{Currency: "JPY", MinorUnits: 100}},
	})
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(r *checkoutv1.StartCheckoutRequest)) *checkoutv1.StartCheckoutRequest {
		r := w.cart(1)
		f(r)
		return r
	}
	tests := map[string]struct {
		req    *checkoutv1.StartCheckoutRequest
		code   connect.Code
		reason string
	}{
		"unknown event":   {change(func(r *checkoutv1.StartCheckoutRequest) { r.EventId = "nosuchevent000000000" }), connect.CodeNotFound, "EVENT_NOT_FOUND"},
		"unknown variant": {change(func(r *checkoutv1.StartCheckoutRequest) { r.Lines[0].VariantId = "nosuchvariant0000000" }), connect.CodeNotFound, "VARIANT_NOT_FOUND"},
		"variant of another event": {
			change(func(r *checkoutv1.StartCheckoutRequest) { r.Lines[0].VariantId = small.variant.GetId() }), connect.CodeNotFound, "VARIANT_NOT_FOUND",
		},
		"zero quantity":     {change(func(r *checkoutv1.StartCheckoutRequest) { r.Lines[0].Quantity = 0 }), connect.CodeInvalidArgument, problem.ReasonInvalidField},
		"negative quantity": {change(func(r *checkoutv1.StartCheckoutRequest) { r.Lines[0].Quantity = -1 }), connect.CodeInvalidArgument, problem.ReasonInvalidField},
		"no lines":          {change(func(r *checkoutv1.StartCheckoutRequest) { r.Lines = nil }), connect.CodeInvalidArgument, problem.ReasonInvalidField},
		"no mail address":   {change(func(r *checkoutv1.StartCheckoutRequest) { r.Buyer.Email = "nobody" }), connect.CodeInvalidArgument, problem.ReasonInvalidField},
		"same variant twice": {
			change(func(r *checkoutv1.StartCheckoutRequest) { r.Lines = append(r.Lines, r.GetLines()[0]) }), connect.CodeInvalidArgument, problem.ReasonInvalidField,
		},
		"above the limit per order": {w.cart(11), connect.CodeResourceExhausted, "ORDER_TICKET_LIMIT"},
		"sold out":                  {small.cart(4), connect.CodeResourceExhausted, "SOLD_OUT"},
		"not on sale yet": {
			change(func(r *checkoutv1.StartCheckoutRequest) { r.Lines[0].VariantId = future.GetVariant().GetId() }), connect.CodeFailedPrecondition, "SALE_NOT_OPEN",
		},
		"two currencies": {change(func(r *checkoutv1.StartCheckoutRequest) {
			r.Lines = append(r.Lines, &checkoutv1.CartLine{VariantId: yen.GetVariant().GetId(), Quantity: 1})
		}), connect.CodeInvalidArgument, "CURRENCY_MISMATCH"},
		"another total than shown": {change(func(r *checkoutv1.StartCheckoutRequest) {
			r.ExpectedTotal = &moneyv1.Money{Currency: "EUR", MinorUnits: 1}
		}), connect.CodeFailedPrecondition, "TOTAL_CHANGED"},
		"another currency than shown": {change(func(r *checkoutv1.StartCheckoutRequest) {
			r.ExpectedTotal = &moneyv1.Money{Currency: "USD", MinorUnits: 8900}
		}), connect.CodeInvalidArgument, "CURRENCY_MISMATCH"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := w.replicas[0].checkout.StartCheckout(w.keyed("refused/"+name), test.req)
			wantProblem(t, err, test.code, test.reason)
		})
	}
	if n := w.count("select count(*) from orders") + w.count("select sum(taken) from stock") + w.count("select count(*) from idempotency_keys where key like 'refused/%'"); n != 0 {
		t.Errorf("refused calls left %d orders, keys and taken tickets", n)
	}
}

func TestStartCheckoutNeverOversells(t *testing.T) {
	w := newHarness(t)
	one := w.sell(4500, 1)
	var wg sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[string]int{}
	for i := range 50 {
		wg.Go(func() {
			_, err := w.replicas[0].checkout.StartCheckout(w.keyed(fmt.Sprintf("seat/%d", i)), one.cart(1))
			mu.Lock()
			defer mu.Unlock()
			outcomes[problem.Reason(err)]++
		})
	}
	wg.Wait()
	if outcomes[""] != 1 || outcomes["SOLD_OUT"] != 49 {
		t.Errorf("50 buyers of one seat got %v, want one order and 49 SOLD_OUT", outcomes)
	}
}

func TestCompleteCheckout(t *testing.T) {
	w := newHarness(t)
	r := w.replicas[0]
	complete := func(token, order, intent, key string) (*checkoutv1.CompleteCheckoutResponse, error) {
		ctx := rpc.WithBearerToken(w.keyed(key), token)
		return r.checkout.CompleteCheckout(ctx, &checkoutv1.CompleteCheckoutRequest{OrderId: order, PaymentIntentId: intent})
	}

	t.Run("a paid intent completes the order without any webhook", func(t *testing.T) {
		s := w.start("ui", 2)
		w.confirm(s.GetPaymentIntentId())
		res, err := complete(s.GetOrderAccessToken(), s.GetOrder().GetId(), s.GetPaymentIntentId(), "ui")
		if err != nil {
			t.Fatalf("complete: %v", err)
		}
		o := res.GetOrder()
		if o.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED || o.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_PAID {
			t.Fatalf("got %v %v", o.GetFulfilmentState(), o.GetPaymentState())
		}
		for _, ticket := range o.GetTickets() {
			if got := w.admission(ticket); got != checkoutv1.Admission_ADMISSION_ADMIT || ticket.GetPassSerial() == "" {
				t.Errorf("ticket %v: %v", ticket, got)
			}
		}
		again, err := complete(s.GetOrderAccessToken(), s.GetOrder().GetId(), s.GetPaymentIntentId(), "ui")
		if err != nil {
			t.Fatalf("again: %v", err)
		}
		if diff := cmp.Diff(res, again, protocmp.Transform()); diff != "" {
			t.Errorf("the replay differs: %s", diff)
		}
		other := w.start("ui other", 1)
		_, err = complete(operatorToken, other.GetOrder().GetId(), other.GetPaymentIntentId(), "ui-op")
		wantProblem(t, err, connect.CodeFailedPrecondition, "PAYMENT_NOT_SUCCEEDED")
	})

	t.Run("claims that do not hold write nothing", func(t *testing.T) {
		mine, theirs := w.start("mine", 1), w.start("theirs", 1)
		w.confirm(theirs.GetPaymentIntentId())
		id, token := mine.GetOrder().GetId(), mine.GetOrderAccessToken()
		tests := map[string]struct {
			token, order, intent string
			code                 connect.Code
			reason               string
		}{
			"not paid":                {token, id, mine.GetPaymentIntentId(), connect.CodeFailedPrecondition, "PAYMENT_NOT_SUCCEEDED"},
			"somebody else's intent":  {token, id, theirs.GetPaymentIntentId(), connect.CodeNotFound, "PAYMENT_INTENT_NOT_FOUND"},
			"no such intent":          {token, id, "pi_nosuchintent", connect.CodeNotFound, "PAYMENT_INTENT_NOT_FOUND"},
			"not an intent":           {token, id, "ch_1", connect.CodeInvalidArgument, problem.ReasonInvalidField},
			"another order's token":   {theirs.GetOrderAccessToken(), id, mine.GetPaymentIntentId(), connect.CodeNotFound, "ORDER_NOT_FOUND"},
			"an order that is not":    {token, "nosuchorder0000000000", mine.GetPaymentIntentId(), connect.CodeNotFound, "ORDER_NOT_FOUND"},
			"an id with a bad letter": {token, "no such order 0000000", mine.GetPaymentIntentId(), connect.CodeInvalidArgument, problem.ReasonInvalidField},
		}
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				_, err := complete(test.token, test.order, test.intent, "claim/"+name)
				wantProblem(t, err, test.code, test.reason)
			})
		}
		if o := w.order(id); o.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_NONE || len(o.GetTickets()) != 0 {
			t.Errorf("a refused claim changed the order: %v", o)
		}
		if n := w.count("select count(*) from idempotency_keys where key like 'claim/%'"); n != 0 {
			t.Errorf("refused claims stored %d keys", n)
		}
	})

	t.Run("a claim for an intent of another amount is refused", func(t *testing.T) {
		s := w.start("cheap", 1)
		other := w.api("POST", "/v1/payment_intents", "amount=100&currency=eur&metadata[order_id]="+s.GetOrder().GetId()+"&automatic_payment_methods[enabled]=true")
		intent := field(other, "id")
		w.confirm(intent)
		_, err := complete(s.GetOrderAccessToken(), s.GetOrder().GetId(), intent, "cheap")
		wantProblem(t, err, connect.CodeFailedPrecondition, "PAYMENT_MISMATCH")
	})
}

// TestBuyersAnswerDoesNotChangeWithLaterFacts completes an order by a signal that does not know the charge yet, then reports
// the charge: all who signalled the payment have got, and get, one answer.
func TestBuyersAnswerDoesNotChangeWithLaterFacts(t *testing.T) {
	w := newHarness(t)
	s := w.start("later", 1)
	o := s.GetOrder()
	w.confirm(s.GetPaymentIntentId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("later/payment"), paid(o)); err != nil {
		t.Fatal(err)
	}
	complete := func() *checkoutv1.Order {
		ctx := rpc.WithBearerToken(w.keyed("later/complete"), s.GetOrderAccessToken())
		res, err := w.replicas[0].checkout.CompleteCheckout(ctx, &checkoutv1.CompleteCheckoutRequest{OrderId: o.GetId(), PaymentIntentId: s.GetPaymentIntentId()})
		if err != nil {
			t.Fatal(err)
		}
		return res.GetOrder()
	}
	before := complete()
	charged := paid(o)
	charged.ChargeId = "ch_reported_later"
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("later/charge"), charged); err != nil {
		t.Fatal(err)
	}
	if got := w.order(o.GetId()).GetPaymentIntents()[0].GetChargeId(); got != "ch_reported_later" {
		t.Errorf("staff get the charge %q", got)
	}
	if diff := cmp.Diff(before, complete(), protocmp.Transform()); diff != "" {
		t.Errorf("the buyer's answer changed: %s", diff)
	}
}

func TestGetOrderIsForItsToken(t *testing.T) {
	w := newHarness(t)
	a, b := w.start("a", 1), w.start("b", 1)
	get := func(token, id string) error {
		_, err := w.replicas[0].checkout.GetOrder(rpc.WithBearerToken(t.Context(), token), &checkoutv1.GetOrderRequest{OrderId: id})
		return err
	}
	if err := get(a.GetOrderAccessToken(), a.GetOrder().GetId()); err != nil {
		t.Errorf("own order: %v", err)
	}
	wantProblem(t, get(b.GetOrderAccessToken(), a.GetOrder().GetId()), connect.CodeNotFound, "ORDER_NOT_FOUND")
	wantProblem(t, get("", a.GetOrder().GetId()), connect.CodeNotFound, "ORDER_NOT_FOUND")
	changed := []byte(a.GetOrderAccessToken())
	for i := range changed {
		flipped := slices.Clone(changed)
		flipped[i] ^= 1
		wantProblem(t, get(string(flipped), a.GetOrder().GetId()), connect.CodeNotFound, "ORDER_NOT_FOUND")
	}
}

// wantProblem checks the problem that a caller gets.
func wantProblem(t *testing.T, err error, code connect.Code, reason string) {
	t.Helper()
	if problem.Code(err) != code || problem.Reason(err) != reason {
		t.Errorf("got %v %q (%v), want %v %q", problem.Code(err), problem.Reason(err), err, code, reason)
	}
}
