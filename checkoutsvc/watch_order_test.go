package checkoutsvc_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"connectrpc.com/connect"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// buyer is a browser: it speaks HTTP/1.1 or 2 and has the token of one order.
func (w *harness) buyer(s *checkoutv1.StartCheckoutResponse, http1 bool) checkoutv1connect.CheckoutServiceClient {
	w.t.Helper()
	url := w.replicas[0].url
	client, opts := rpc.Dial(rpc.DialConfig{BaseURL: url, Token: config.NewSecret(s.GetOrderAccessToken()), Timeout: patience})
	w.t.Cleanup(client.CloseIdleConnections)
	if http1 {
		transport := &http.Transport{}
		w.t.Cleanup(transport.CloseIdleConnections)
		client = &http.Client{Transport: transport}
	}
	return checkoutv1connect.NewCheckoutServiceClient(client, url, opts...)
}

// awaitOrder reads a stream until it tells an order that is wanted.
func awaitOrder(
	t *testing.T, stream *connect.ServerStreamForClient[checkoutv1.WatchOrderResponse], wanted func(o *checkoutv1.Order) bool,
) *checkoutv1.WatchOrderResponse {
	t.Helper()
	versions := map[string]bool{}
	for stream.Receive() {
		m := stream.Msg()
		if m.GetOrder() == nil {
			continue
		}
		if versions[m.GetVersion()] {
			t.Errorf("version %s is told twice in a row of changes", m.GetVersion())
		}
		versions[m.GetVersion()] = true
		for _, ticket := range m.GetOrder().GetTickets() {
			if hidden := ticket.GetState() == checkoutv1.TicketState_TICKET_STATE_RESERVED; hidden != (ticket.GetCode() == "") {
				t.Errorf("a ticket that is %v comes with code %q", ticket.GetState(), ticket.GetCode())
			}
		}
		if wanted(m.GetOrder()) {
			return m
		}
	}
	t.Fatalf("the stream ended first: %v", stream.Err())
	return nil
}

func completed(o *checkoutv1.Order) bool {
	return o.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED
}

// A waiting page sees its order complete, whoever reports the payment; after its connection was cut it goes on where it was.
func TestWatchOrder(t *testing.T) {
	w := newHarness(t)
	other := w.addReplica()
	for name, http1 := range map[string]bool{"HTTP/1.1": true, "HTTP/2": false} {
		t.Run(name, func(t *testing.T) {
			s := w.start(name, 2)
			buyer := w.buyer(s, http1)
			ctx, cut := context.WithCancel(t.Context())
			defer cut()
			req := &checkoutv1.WatchOrderRequest{OrderId: s.GetOrder().GetId()}
			stream, err := buyer.WatchOrder(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			first := awaitOrder(t, stream, func(*checkoutv1.Order) bool { return true })
			if first.GetOrder().GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_AWAITING_PAYMENT {
				t.Errorf("the stream begins with %v", first.GetOrder())
			}
			w.confirm(s.GetPaymentIntentId())
			if _, err := other.payments.RecordPayment(w.keyed("evt"+name), paid(s.GetOrder())); err != nil {
				t.Fatal(err)
			}
			done := awaitOrder(t, stream, completed)
			cut()
			_ = stream.Close()

			req.KnownVersion = done.GetVersion()
			stream, err = buyer.WatchOrder(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			if !stream.Receive() || stream.Msg().GetOrder() != nil {
				t.Fatalf("a version that is known is told again: %v, %v", stream.Msg(), stream.Err())
			}
			w.refund("refund"+name, &checkoutv1.RefundOrderRequest{OrderId: s.GetOrder().GetId()})
			awaitOrder(t, stream, func(o *checkoutv1.Order) bool { return len(o.GetRefunds()) == 1 })
		})
	}
}

// GetOrder waits for a change where it is asked to, and answers without one when the time is over.
func TestGetOrderWaits(t *testing.T) {
	w := newHarness(t)
	s := w.start("waits", 1)
	buyer := w.buyer(s, true)
	get := func(known string, seconds int32) *checkoutv1.GetOrderResponse {
		t.Helper()
		res, err := buyer.GetOrder(t.Context(), &checkoutv1.GetOrderRequest{OrderId: s.GetOrder().GetId(), KnownVersion: known, WaitSeconds: seconds})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	first := get("", 25)
	if again := get(first.GetVersion(), 1); again.GetVersion() != first.GetVersion() {
		t.Errorf("nothing happened, but the version is another one: %v", again)
	}
	answers := make(chan *checkoutv1.GetOrderResponse)
	go func() {
		res, err := buyer.GetOrder(t.Context(), &checkoutv1.GetOrderRequest{OrderId: s.GetOrder().GetId(), KnownVersion: first.GetVersion(), WaitSeconds: 25})
		if err != nil {
			t.Errorf("wait: %v", err)
		}
		answers <- res
	}()
	w.confirm(s.GetPaymentIntentId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("evt"), paid(s.GetOrder())); err != nil {
		t.Fatal(err)
	}
	res := <-answers
	for !completed(res.GetOrder()) {
		res = get(res.GetVersion(), 25)
	}
}

// One order is watched by a few at once, and by nobody without its token.
func TestWatchOrderIsBounded(t *testing.T) {
	w := newHarness(t)
	s, foreign := w.start("bounded", 1), w.start("foreign", 1)
	req := &checkoutv1.WatchOrderRequest{OrderId: s.GetOrder().GetId()}
	refusal := func(client checkoutv1connect.CheckoutServiceClient) error {
		stream, err := client.WatchOrder(t.Context(), req)
		if err != nil {
			return err
		}
		defer stream.Close()
		if stream.Receive() {
			return errors.New("it is served")
		}
		return stream.Err()
	}
	wantProblem(t, refusal(w.buyer(foreign, true)), connect.CodeNotFound, "ORDER_NOT_FOUND")
	buyer := w.buyer(s, false)
	ctx, cut := context.WithCancel(t.Context())
	for range 8 {
		stream, err := buyer.WatchOrder(ctx, req)
		if err != nil || !stream.Receive() {
			t.Fatalf("watch: %v, %v", err, stream.Err())
		}
		defer stream.Close()
	}
	wantProblem(t, refusal(buyer), connect.CodeResourceExhausted, "TOO_MANY_WATCHES")
	if _, err := buyer.GetOrder(t.Context(), &checkoutv1.GetOrderRequest{OrderId: s.GetOrder().GetId()}); err != nil {
		t.Errorf("the order beside its watches: %v", err)
	}
	cut()
	w.until("can it be watched again", func() bool {
		stream, err := buyer.WatchOrder(t.Context(), req)
		if err != nil {
			return false
		}
		defer stream.Close()
		return stream.Receive()
	})
}
