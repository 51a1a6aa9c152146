package e2e

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

func TestSale(t *testing.T) {
	t.Parallel()
	system := client.NewClient(shared.File)
	for _, via := range []client.Via{client.ViaUI, client.ViaWebhook, client.ViaBoth} {
		t.Run(string(via), func(t *testing.T) {
			t.Parallel()
			variant := e2etest.NewVariant(t, system, 4450, 10)
			sale, err := system.Sell(e2etest.Within(t, time.Minute), client.Purchase{VariantID: variant.GetId(), Tickets: 2, Via: via})
			if err != nil {
				t.Fatal(err)
			}
			o, err := system.AwaitFee(e2etest.Within(t, time.Minute), sale.OrderID)
			if err != nil {
				t.Fatal(err)
			}
			e2etest.AssertOneSale(t, o, 2)
			if o.Payment.CapturedMinorUnits != 8900 {
				t.Errorf("captured %d, want 8900", o.Payment.CapturedMinorUnits)
			}
		})
	}
	t.Cleanup(func() { e2etest.AssertClean(t, shared) })
}

// TestBothSignalsAtOnce has browser and webhook report a payment at the same instant, many times, each at another replica.
func TestBothSignalsAtOnce(t *testing.T) {
	t.Parallel()
	one, two := client.NewClient(shared.ReplicaFile(0)), client.NewClient(shared.ReplicaFile(1))
	times := e2etest.Scale(t, "DAYOF_TEST_RACES", 60)
	variant := e2etest.NewVariant(t, one, 4450, int64(times))
	var group sync.WaitGroup
	limit := make(chan struct{}, 4) // more at a time would only wait for each other on a small machine
	for i := range times {
		limit <- struct{}{}
		group.Go(func() {
			defer func() { <-limit }()
			raceOnce(t, one, two, variant, i)
		})
	}
	group.Wait()
	e2etest.AssertClean(t, shared)
}

// raceOnce makes one sale that both report at once.
func raceOnce(t *testing.T, one, two *client.Client, variant *checkoutv1.Variant, number int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cart, err := one.Start(ctx, variant, 1)
	if err == nil {
		err = one.Stripe.Withhold(ctx, cart.IntentID)
	}
	if err == nil {
		err = one.Stripe.Confirm(ctx, cart.IntentID, cart.ClientSecret, client.CardThatPays)
	}
	if err != nil {
		t.Errorf("race %d: %v", number, err)
		return
	}
	signals := []func() error{
		func() error { _, err := one.Complete(ctx, cart); return err },
		func() error {
			_, err := two.Payments.RecordPayment(e2etest.Keyed(ctx), succeeded(cart, 4450))
			return err
		},
	}
	if err := e2etest.AtOnce(signals); err != nil {
		t.Errorf("race %d: %v", number, err)
		return
	}
	if err := one.Stripe.Release(ctx, cart.IntentID); err != nil { // and the webhook itself, late
		t.Errorf("race %d: %v", number, err)
	}
	if _, err := one.AwaitSale(ctx, cart.OrderID); err != nil {
		t.Errorf("race %d: %v", number, err)
		return
	}
	o, err := one.Order(ctx, cart.OrderID)
	if err != nil {
		t.Errorf("race %d: %v", number, err)
		return
	}
	e2etest.AssertOneSale(t, o, 1)
}

// TestManySignals sends 64 signals for one intent at once over two replicas: all buyers who wait get one answer, and all reports are
// taken.
func TestManySignals(t *testing.T) {
	t.Parallel()
	clients := []*client.Client{client.NewClient(shared.ReplicaFile(0)), client.NewClient(shared.ReplicaFile(1))}
	variant := e2etest.NewVariant(t, clients[0], 4450, 10)
	cart := e2etest.Start(t, clients[0], variant, 3)
	ctx := e2etest.Within(t, time.Minute)
	if err := clients[0].Stripe.Withhold(ctx, cart.IntentID); err != nil {
		t.Fatal(err)
	}
	if err := clients[0].Stripe.Confirm(ctx, cart.IntentID, cart.ClientSecret, client.CardThatPays); err != nil {
		t.Fatal(err)
	}
	var completions [32]*checkoutv1.Order
	var records [32]*checkoutv1.RecordPaymentResponse
	var signals []func() error
	for i := range completions {
		signals = append(signals,
			func() (err error) { completions[i], err = clients[i%2].Complete(ctx, cart); return err },
			func() (err error) {
				records[i], err = clients[(i+1)%2].Payments.RecordPayment(e2etest.Keyed(ctx), succeeded(cart, 3*4450))
				return err
			})
	}
	if err := e2etest.AtOnce(signals); err != nil {
		t.Fatal(err)
	}
	for i := range completions {
		if diff := cmp.Diff(completions[0], completions[i], protocmp.Transform()); diff != "" {
			t.Errorf("answers of CompleteCheckout 0 and %d differ: %s", i, diff)
		}
		if records[i].GetOrderId() != cart.OrderID || records[i].GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_PAID {
			t.Errorf("RecordPayment %d answers %v", i, records[i])
		}
	}
	if !e2etest.Completed(completions[0]) {
		t.Errorf("the buyer is told %s", completions[0].GetFulfilmentState())
	}
	e2etest.AssertOneSale(t, e2etest.Order(t, clients[0], cart.OrderID), 3)
}

// succeeded is what webhooksvc reports of a captured intent.
func succeeded(cart client.Cart, amount int64) *checkoutv1.RecordPaymentRequest {
	return &checkoutv1.RecordPaymentRequest{
		PaymentIntentId: cart.IntentID, OrderId: cart.OrderID,
		Status:             checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_SUCCEEDED,
		Amount:             &moneyv1.Money{Currency: "EUR", MinorUnits: amount},
		ReceivedMinorUnits: amount, ObservedTime: timestamppb.New(clock.System{}.Now()),
	}
}
