package checkoutsvc_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// stranger calls a replica without a token, through a proxy that says where the caller is; empty: from this machine.
func (w *harness) stranger(r *replica, address string) checkoutv1connect.CheckoutServiceClient {
	w.t.Helper()
	proxies, err := rpc.ParseProxies("127.0.0.1")
	if err != nil {
		w.t.Fatal(err)
	}
	url := serve(w.t, rpc.NewHandler(rpc.Config{
		TrustedProxies: proxies, Services: r.service.Handlers(handlerOptions(w.logger(), checkoutsvc.Policy(), r.service.Identify)...),
	}))
	client, options := rpc.Dial(rpc.DialConfig{BaseURL: url, Timeout: patience})
	forward := connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			if address != "" {
				req.Header().Set("X-Forwarded-For", address)
			}
			return next(ctx, req)
		}
	})
	return checkoutv1connect.NewCheckoutServiceClient(client, url, append(options, connect.WithInterceptors(forward))...)
}

// Buyers of one network at the same instant, each with an address of mail, hold as many unpaid orders as the network may, on two replicas
// and whatever the address within an IPv6 network. What is given back or paid counts no more, and nothing is kept of its network.
func TestOpenHoldsOfNetwork(t *testing.T) {
	w := newHarness(t, func(c *checkoutsvc.Config) { c.NetworkHoldsMax = 3 })
	w.addReplica(func(c *checkoutsvc.Config) { c.NetworkHoldsMax = 3 })
	start := func(client checkoutv1connect.CheckoutServiceClient, key string) (*checkoutv1.StartCheckoutResponse, error) {
		return client.StartCheckout(w.keyed(fmt.Sprintf("%x", sha256.Sum256([]byte(key)))), w.by(key+"@example.test", 1))
	}
	clients := []checkoutv1connect.CheckoutServiceClient{
		w.stranger(w.replicas[0], "2001:db8:1:2::1"), w.stranger(w.replicas[1], "2001:db8:1:2:ffff::9"),
	}
	var mu sync.Mutex
	var open []*checkoutv1.StartCheckoutResponse
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			res, err := start(clients[i%2], fmt.Sprint("buyer", i))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				open = append(open, res)
			case problem.Reason(err) != "OPEN_HOLDS_LIMIT" || problem.Code(err) != connect.CodeResourceExhausted || problem.RetryAfter(err) <= 0:
				t.Errorf("start checkout: %v", err)
			}
		})
	}
	all.Wait()
	if len(open) != 3 {
		t.Fatalf("%d unpaid orders are open, want 3", len(open))
	}
	if n := w.taken(); n != 3 {
		t.Errorf("%d tickets are held, want 3: a refused order holds none", n)
	}
	for i, address := range []string{"2001:db8:1:3::1", "192.0.2.7", ""} {
		if _, err := start(w.stranger(w.replicas[0], address), fmt.Sprint("elsewhere", i)); err != nil {
			t.Errorf("from %q: %v", address, err)
		}
	}
	for i := range 4 {
		if got := w.startReason(fmt.Sprint("staff", i), w.seller, 1); got != "" {
			t.Errorf("staff: %q", got)
		}
		if _, err := start(w.stranger(w.replicas[0], ""), fmt.Sprint("machine", i)); err != nil {
			t.Errorf("on this machine: %v", err)
		}
	}
	w.confirm(open[0].GetPaymentIntentId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid"), paid(open[0].GetOrder())); err != nil {
		t.Fatal(err)
	}
	w.cancel(w.replicas[0], "given back", open[1])
	if n := w.count("select count(*) from holds where network_key is not null and state <> 'active'"); n != 0 {
		t.Errorf("the network of %d holds is kept although they have ended", n)
	}
	for i, want := range []string{"", "", "OPEN_HOLDS_LIMIT"} {
		if _, err := start(clients[i%2], fmt.Sprint("again", i)); problem.Reason(err) != want {
			t.Errorf("order %d after one was paid and one was given back: %v, want %q", i+1, err, want)
		}
	}
}
