package checkoutsvc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// tryCancel gives an order back as its buyer.
func (w *harness) tryCancel(r *replica, key string, s *checkoutv1.StartCheckoutResponse) (*checkoutv1.Order, error) {
	ctx := rpc.WithBearerToken(w.keyed("cancel/"+key), s.GetOrderAccessToken())
	res, err := r.checkout.CancelCheckout(ctx, &checkoutv1.CancelCheckoutRequest{OrderId: s.GetOrder().GetId()})
	return res.GetOrder(), err
}

func (w *harness) cancel(r *replica, key string, s *checkoutv1.StartCheckoutResponse) *checkoutv1.Order {
	w.t.Helper()
	o, err := w.tryCancel(r, key, s)
	if err != nil {
		w.t.Fatalf("cancel checkout: %v", err)
	}
	return o
}

// An unpaid order that is given back has its tickets on sale at once and its intent canceled at Stripe, once.
func TestCheckoutIsCanceled(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	one := w.sell(4500, 1)
	s, err := w.replicas[0].checkout.StartCheckout(w.keyed("start"), one.cart(1))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 { // the same key, on two replicas
		all.Go(func() {
			if o, err := w.tryCancel(w.replicas[i%2], "same", s); err != nil || o.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_CANCELED ||
				o.GetHoldState() != checkoutv1.HoldState_HOLD_STATE_RELEASED {
				t.Errorf("canceled: %v, %v", o, err)
			}
		})
	}
	all.Wait()
	w.cancel(w.replicas[1], "another key", s)
	if n := w.count("select sum(taken) from stock where variant_id = $1", one.variant.GetId()); n != 0 {
		t.Errorf("%d tickets are taken", n)
	}
	if got := w.startReason("again", one, 1); got != "" {
		t.Errorf("the ticket is not on sale again: %q", got)
	}
	w.waitFor(s.GetOrder().GetId(), "canceled at Stripe", func(o *checkoutv1.Order) bool {
		return o.GetPaymentIntents()[0].GetStatus() == checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_CANCELED
	})
	if got := w.api("GET", "/v1/payment_intents/"+s.GetPaymentIntentId(), ""); got["status"] != "canceled" {
		t.Errorf("the intent is %v at Stripe", got["status"])
	}
	if n := w.count("select count(*) from river_job where kind = 'cancel_intents'"); n != 1 {
		t.Errorf("%d jobs cancel at Stripe, want 1", n)
	}
	if n := w.count("select count(*) from timeline where order_id = $1 and step = 'hold_released'", s.GetOrder().GetId()); n != 1 {
		t.Errorf("the hold was released %d times", n)
	}
}

func TestCancelIsRefused(t *testing.T) {
	w := newHarness(t)
	r := w.replicas[0]
	mine, other := w.start("mine", 1), w.start("other", 1)
	ctx := rpc.WithBearerToken(w.keyed("foreign"), other.GetOrderAccessToken())
	_, err := r.checkout.CancelCheckout(ctx, &checkoutv1.CancelCheckoutRequest{OrderId: mine.GetOrder().GetId()})
	wantProblem(t, err, connect.CodeNotFound, "ORDER_NOT_FOUND")
	ctx = rpc.WithBearerToken(w.keyed("cancel/used"), mine.GetOrderAccessToken())
	if _, err := r.checkout.CancelCheckout(ctx, &checkoutv1.CancelCheckoutRequest{OrderId: mine.GetOrder().GetId()}); err != nil {
		t.Fatal(err)
	}
	debit := paid(other.GetOrder())
	debit.Status, debit.ReceivedMinorUnits = checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_PROCESSING, 0
	if _, err := r.payments.RecordPayment(w.keyed("debit"), debit); err != nil {
		t.Fatal(err)
	}
	_, err = w.tryCancel(r, "debit", other)
	wantProblem(t, err, connect.CodeFailedPrecondition, "PAYMENT_UNDER_WAY")
	if _, err := r.payments.RecordPayment(w.keyed("paid"), paid(other.GetOrder())); err != nil {
		t.Fatal(err)
	}
	_, err = w.tryCancel(r, "debit", other) // refused calls store no key
	wantProblem(t, err, connect.CodeFailedPrecondition, "ORDER_ALREADY_PAID")
	if n := w.taken(); n != 1 {
		t.Errorf("%d tickets are taken, want that of the paid order", n)
	}
}

// TestCancelAgainstPayment has a buyer pay and give the order back at the same instant, while somebody else waits for the seat: the buyer ends
// with the ticket, with the money back, or without having paid; the seat is sold once at most.
func TestCancelAgainstPayment(t *testing.T) {
	w := newHarness(t, func(c *checkoutsvc.Config) { c.HoldDuration = patience })
	w.addReplica()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	const rounds = 24
	ends := map[string]int{}
	for round := range rounds {
		one := w.sell(int64(4500+round), 1)
		s, err := w.replicas[0].checkout.StartCheckout(w.keyed(fmt.Sprint("start", round)), one.cart(1))
		if err != nil {
			t.Fatal(err)
		}
		id, when := s.GetOrder().GetId(), random.IntN(4) // 0: canceled before the payment; 1: and at Stripe, too; else at the same instant
		var all sync.WaitGroup
		begin := make(chan struct{})
		all.Go(func() {
			<-begin
			if !w.pays(s.GetPaymentIntentId()) {
				return
			}
			if _, err := w.replicas[round%2].payments.RecordPayment(w.keyed(fmt.Sprint("evt", round)), paid(s.GetOrder())); err != nil {
				t.Errorf("record payment: %v", err)
			}
		})
		cancel := func() {
			_, err := w.tryCancel(w.replicas[1], fmt.Sprint(round), s)
			if reason := problem.Reason(err); err != nil && reason != "ORDER_ALREADY_PAID" {
				t.Errorf("cancel checkout: %v", err)
			}
		}
		all.Go(func() {
			<-begin
			if when > 1 {
				cancel()
			}
			if got := w.startReason(fmt.Sprint("next", round), one, 1); got != "" && got != "SOLD_OUT" {
				t.Errorf("the next buyer: %s", got)
			}
		})
		if when <= 1 {
			cancel()
		}
		if when == 1 {
			w.until("canceled at Stripe", func() bool {
				return w.api("GET", "/v1/payment_intents/"+s.GetPaymentIntentId(), "")["status"] == "canceled"
			})
		}
		close(begin)
		all.Wait()
		o := w.waitFor(id, "ended", func(o *checkoutv1.Order) bool {
			status := o.GetPaymentIntents()[0].GetStatus()
			return o.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED ||
				o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED ||
				o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_CANCELED && status == checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_CANCELED
		})
		ends[o.GetPaymentState().String()]++
		atStripe := w.api("GET", "/v1/payment_intents/"+s.GetPaymentIntentId(), "")["status"]
		if captured := atStripe == "succeeded"; captured == (o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_CANCELED) {
			t.Errorf("round %d: the payment is %v at Stripe and the order is %v", round, atStripe, o.GetPaymentState())
		}
		if n := w.count("select count(*) from stock where variant_id = $1 and taken > capacity", one.variant.GetId()); n != 0 {
			t.Errorf("round %d: the seat was sold twice", round)
		}
	}
	t.Logf("the orders ended as %v", ends)
}

// pays confirms an intent at Stripe, and says whether Stripe took the payment: it refuses one that is canceled.
func (w *harness) pays(intentID string) bool {
	req, err := http.NewRequestWithContext(context.WithoutCancel(w.t.Context()), http.MethodPost, w.stripe+"/_sandbox/payment_intents/"+intentID+"/confirm", strings.NewReader("{}"))
	if err != nil {
		w.t.Error(err)
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Error(err)
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode < 300
}
