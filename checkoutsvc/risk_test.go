package checkoutsvc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

var observedAt = timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))

// bought is a completed order of quantity tickets, paid at Stripe.
func (w *harness) bought(key string, quantity int32) *checkoutv1.Order {
	w.t.Helper()
	o := w.start(key, quantity).GetOrder()
	w.confirm(o.GetPaymentIntents()[0].GetId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid/"+key), paid(o)); err != nil {
		w.t.Fatalf("record payment: %v", err)
	}
	return w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
}

func warning(o *checkoutv1.Order, actionable bool) *checkoutv1.RecordFraudWarningRequest {
	return &checkoutv1.RecordFraudWarningRequest{
		FraudWarningId: "issfr_" + o.GetId(), PaymentIntentId: o.GetPaymentIntents()[0].GetId(), Actionable: actionable,
		FraudType: "card_never_received", ObservedTime: observedAt,
	}
}

func ticketStates(o *checkoutv1.Order) map[checkoutv1.TicketState]int {
	states := map[checkoutv1.TicketState]int{}
	for _, t := range o.GetTickets() {
		states[t.GetState()]++
	}
	return states
}

// idle waits until no job of a kind is left to do.
func (w *harness) idle(kind string) {
	w.t.Helper()
	deadline := (clock.System{}).Now().Add(patience)
	for w.count("select count(*) from river_job where kind = $1 and state not in ('completed', 'cancelled', 'discarded')", kind) > 0 {
		if (clock.System{}).Now().After(deadline) {
			w.t.Fatalf("jobs of kind %s are never done", kind)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// TestFraudWarning has warnings become one review case each, and refunds only where the setting says so.
func TestFraudWarning(t *testing.T) {
	t.Parallel()
	const void, valid, used = checkoutv1.TicketState_TICKET_STATE_VOID, checkoutv1.TicketState_TICKET_STATE_VALID, checkoutv1.TicketState_TICKET_STATE_USED
	cases := map[string]struct {
		refunds    bool
		actionable []bool // as reported, each twice
		before     func(w *harness, o *checkoutv1.Order)
		tickets    map[checkoutv1.TicketState]int
		refunded   int64
	}{
		"by default nobody is refunded":        {false, []bool{true}, nil, map[checkoutv1.TicketState]int{valid: 2}, 0},
		"unused tickets go back":               {true, []bool{true}, nil, map[checkoutv1.TicketState]int{void: 2}, 17800},
		"one that cannot be acted on any more": {true, []bool{false, true}, nil, map[checkoutv1.TicketState]int{valid: 2}, 0},
		"a used ticket stays": {true, []bool{true}, func(w *harness, o *checkoutv1.Order) {
			w.exec("update tickets set state = 'used' where id = $1", o.GetTickets()[0].GetId())
		}, map[checkoutv1.TicketState]int{used: 1, void: 1}, 8900},
		"an event that began": {true, []bool{true}, func(w *harness, o *checkoutv1.Order) {
			w.exec("update events set start_time = now() - interval '1 minute' where id = $1", o.GetEventId())
		}, map[checkoutv1.TicketState]int{valid: 2}, 0},
		"a disputed payment": {true, []bool{true}, func(w *harness, o *checkoutv1.Order) {
			if _, err := w.replicas[0].payments.RecordDispute(w.keyed("dispute"), &checkoutv1.RecordDisputeRequest{
				DisputeId: "du_" + o.GetId(), PaymentIntentId: o.GetPayingIntentId(), Amount: o.GetTotal(), ObservedTime: observedAt,
				Status: checkoutv1.DisputeStatus_DISPUTE_STATUS_WARNING_NEEDS_RESPONSE,
			}); err != nil {
				w.t.Fatal(err)
			}
		}, map[checkoutv1.TicketState]int{valid: 2}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t, func(config *checkoutsvc.Config) { config.FraudWarningRefunds = c.refunds })
			o := w.bought("fraud", 2)
			if c.before != nil {
				c.before(w, o)
			}
			for i, actionable := range slices.Concat(c.actionable, c.actionable) {
				if _, err := w.replicas[0].payments.RecordFraudWarning(w.keyed(fmt.Sprintf("warn-%d", i)), warning(o, actionable)); err != nil {
					t.Fatal(err)
				}
			}
			w.idle("refund_fraud")
			got := w.waitFor(o.GetId(), "refunded as wanted", func(o *checkoutv1.Order) bool {
				var sum int64
				for _, r := range o.GetRefunds() {
					if r.GetStripeRefundId() != "" {
						sum += r.GetAmount().GetMinorUnits()
					}
				}
				return sum == c.refunded
			})
			if fmt.Sprint(ticketStates(got)) != fmt.Sprint(c.tickets) {
				t.Errorf("tickets %v, want %v", ticketStates(got), c.tickets)
			}
			if len(got.GetRefunds()) > 0 && got.GetRefunds()[0].GetReason() != checkoutv1.RefundReason_REFUND_REASON_FRAUD {
				t.Errorf("refunded for %v", got.GetRefunds()[0].GetReason())
			}
			if n := w.count("select count(*) from review_cases where kind = 'fraud_warning'"); n != 1 {
				t.Errorf("%d review cases, want 1", n)
			}
		})
	}
}

func (w *harness) exec(statement string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), statement, args...); err != nil {
		w.t.Fatal(err)
	}
}

// TestFraudWarningBeforePayment has the warning overtake the payment that it is about.
func TestFraudWarningBeforePayment(t *testing.T) {
	w := newHarness(t, func(config *checkoutsvc.Config) { config.FraudWarningRefunds = true })
	o := w.start("early", 1).GetOrder()
	w.confirm(o.GetPaymentIntents()[0].GetId())
	if _, err := w.replicas[0].payments.RecordFraudWarning(w.keyed("warn"), warning(o, true)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid"), paid(o)); err != nil {
		t.Fatal(err)
	}
	got := w.waitFor(o.GetId(), "refunded", func(o *checkoutv1.Order) bool {
		return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED
	})
	if got.GetTickets()[0].GetState() != checkoutv1.TicketState_TICKET_STATE_VOID {
		t.Errorf("ticket is %v", got.GetTickets()[0].GetState())
	}
	_, err := w.replicas[0].payments.RecordFraudWarning(w.keyed("nobody"), &checkoutv1.RecordFraudWarningRequest{
		FraudWarningId: "issfr_1", ChargeId: "ch_nobody", ObservedTime: observedAt,
	})
	wantProblem(t, err, connect.CodeNotFound, "ORDER_NOT_FOUND")
}

// TestReviewHoldsDelivery reports reviews, a payment and refunds in random orders, doubled and at once: the end is the same.
func TestReviewHoldsDelivery(t *testing.T) {
	const valid, suspended = checkoutv1.TicketState_TICKET_STATE_VALID, checkoutv1.TicketState_TICKET_STATE_SUSPENDED
	type fact struct {
		open   bool
		reason string
		refund bool
		pay    bool
	}
	cases := map[string]struct {
		facts []fact
		want  checkoutv1.TicketState
	}{
		"open":                       {[]fact{{pay: true}, {open: true}}, suspended},
		"approved":                   {[]fact{{pay: true}, {open: true}, {reason: "approved"}}, valid},
		"refunded, not reported yet": {[]fact{{pay: true}, {open: true}, {reason: "refunded_as_fraud"}}, suspended},
		"refunded, reported in part": {[]fact{{pay: true}, {open: true}, {reason: "refunded"}, {refund: true}}, valid},
	}
	w := newHarness(t, func(config *checkoutsvc.Config) { config.ReviewHoldsDelivery = true })
	w.addReplica()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for name, c := range cases {
		for round := range 4 {
			id := fmt.Sprintf("%s/%d", name, round)
			o := w.start("review/"+id, 1).GetOrder()
			intent := o.GetPaymentIntents()[0].GetId()
			report := func(f fact, key string) error {
				r := w.replicas[len(key)%2]
				ctx := rpc.WithIdempotencyKey(context.WithoutCancel(t.Context()), key)
				var err error
				switch {
				case f.pay:
					_, err = r.payments.RecordPayment(ctx, paid(o))
				case f.refund:
					_, err = r.payments.RecordRefund(ctx, &checkoutv1.RecordRefundRequest{
						StripeRefundId: "re_" + o.GetId(), PaymentIntentId: intent, State: checkoutv1.RefundState_REFUND_STATE_SUCCEEDED,
						Amount: money(100), RefundTime: observedAt,
					})
				default:
					_, err = r.payments.RecordReview(ctx, &checkoutv1.RecordReviewRequest{
						ReviewId: "prv_" + o.GetId(), PaymentIntentId: intent, Open: f.open, ClosedReason: f.reason, ObservedTime: observedAt,
					})
				}
				return err
			}
			facts := slices.Concat(c.facts, c.facts)
			random.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
			var wg sync.WaitGroup
			for i, f := range facts {
				send := func() {
					if err := report(f, fmt.Sprintf("f/%d/%s", i, o.GetId())); err != nil {
						t.Errorf("%s, fact %d of %+v: %v", id, i, facts, err)
					}
				}
				if round%2 == 0 {
					wg.Go(send)
				} else {
					send()
				}
			}
			wg.Wait()
			got := w.waitFor(o.GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
			if state := got.GetTickets()[0].GetState(); state != c.want {
				t.Errorf("%s: facts %+v end in %v, want %v", id, facts, state, c.want)
			}
		}
	}
}

// TestReviewIsOnlyRecorded has the default leave the tickets alone.
func TestReviewIsOnlyRecorded(t *testing.T) {
	w := newHarness(t)
	o := w.bought("review", 1)
	res, err := w.replicas[0].payments.RecordReview(w.keyed("open"), &checkoutv1.RecordReviewRequest{
		ReviewId: "prv_1", PaymentIntentId: o.GetPayingIntentId(), Open: true, ObservedTime: observedAt,
	})
	if err != nil || res.GetDeliveryHeld() {
		t.Fatalf("%v, %v", res, err)
	}
	if got := w.order(o.GetId()).GetTickets()[0].GetState(); got != checkoutv1.TicketState_TICKET_STATE_VALID {
		t.Errorf("ticket is %v", got)
	}
	if n := w.count("select count(*) from reviews where open"); n != 1 {
		t.Errorf("%d reviews are recorded, want 1", n)
	}
}

// TestSessionEnd has a payment page end before, after and without the money.
func TestSessionEnd(t *testing.T) {
	w := newHarness(t)
	end := func(o *checkoutv1.Order, key string) *checkoutv1.RecordSessionEndResponse {
		res, err := w.replicas[0].payments.RecordSessionEnd(w.keyed(key), &checkoutv1.RecordSessionEndRequest{
			SessionId: "cs_" + key, OrderId: o.GetId(), ObservedTime: observedAt,
		})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	unpaid := w.start("unpaid", 2).GetOrder()
	for _, key := range []string{"a", "b"} {
		if res := end(unpaid, key); !res.GetHoldEnded() {
			t.Error("the hold of an unpaid page lives on")
		}
	}
	got := w.waitFor(unpaid.GetId(), "canceled at Stripe", func(o *checkoutv1.Order) bool {
		return o.GetPaymentIntents()[0].GetStatus() == checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_CANCELED
	})
	if got.GetHoldState() != checkoutv1.HoldState_HOLD_STATE_EXPIRED || got.GetPaymentState() != checkoutv1.PaymentState_PAYMENT_STATE_EXPIRED {
		t.Errorf("unpaid: hold %v, payment %v", got.GetHoldState(), got.GetPaymentState())
	}
	if n := w.count("select sum(taken) from stock where variant_id = $1", w.variant.GetId()); n != 0 {
		t.Errorf("%d tickets are still taken", n)
	}
	done := w.bought("paid", 1)
	if res := end(done, "c"); res.GetHoldEnded() {
		t.Error("a page that ended took the tickets of a paid order")
	}
	late := w.start("late", 1).GetOrder()
	pending := paid(late)
	pending.Status, pending.ReceivedMinorUnits = checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_PROCESSING, 0
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("processing"), pending); err != nil {
		t.Fatal(err)
	}
	if res := end(late, "d"); res.GetHoldEnded() {
		t.Error("money on its way lost its hold")
	}
}
