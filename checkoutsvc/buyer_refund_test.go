package checkoutsvc_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/dayof/dayof/checkoutsvc"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// refundPolicy sets how refunds of the event's tickets go; nil takes the policy away.
func (w *harness) refundPolicy(key string, p *checkoutv1.RefundPolicy) {
	w.t.Helper()
	if _, err := w.replicas[0].catalog.UpdateEvent(w.keyed("policy/"+key), &checkoutv1.UpdateEventRequest{
		EventId: w.event.GetId(), Event: &checkoutv1.EventFields{RefundPolicy: p}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"refund_policy"}},
	}); err != nil {
		w.t.Fatalf("set refund policy: %v", err)
	}
}

// giveBack gives tickets of an order back as its buyer.
func (w *harness) giveBack(r *replica, key string, s *checkoutv1.StartCheckoutResponse, req *checkoutv1.RefundTicketsRequest) (*checkoutv1.Refund, error) {
	req.OrderId = s.GetOrder().GetId()
	res, err := r.checkout.RefundTickets(rpc.WithBearerToken(w.keyed("back/"+key), s.GetOrderAccessToken()), req)
	return res.GetRefund(), err
}

// buys buys tickets, and returns the checkout with the tickets of its order.
func (w *harness) buys(key string, quantity int32) (*checkoutv1.StartCheckoutResponse, []string) {
	w.t.Helper()
	s := w.start(key, quantity)
	w.confirm(s.GetPaymentIntentId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid/"+key), paid(s.GetOrder())); err != nil {
		w.t.Fatalf("record payment: %v", err)
	}
	o := w.waitFor(s.GetOrder().GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
	var ids []string
	for _, ticket := range o.GetTickets() {
		ids = append(ids, ticket.GetId())
	}
	return s, ids
}

// day is one, in seconds.
const day = 24 * 60 * 60

// A ticket of 89.00 with a fee of 4.45 goes back for its price less what the policy keeps, which is that of the sale and no later one.
func TestBuyerGivesTicketsBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy     *checkoutv1.RefundPolicy
		configured bool  // that the platform gives its fee back
		back, fee  int64 // of one ticket, and what of the fee goes back with it
	}{
		"whole, the fee as configured":      {&checkoutv1.RefundPolicy{}, true, 8900, 445},
		"whole, the fee kept as configured": {&checkoutv1.RefundPolicy{}, false, 8900, 0},
		"without the fee":                   {&checkoutv1.RefundPolicy{ApplicationFee: checkoutv1.ApplicationFeeRefund_APPLICATION_FEE_REFUND_KEPT}, true, 8455, 0},
		"the fee given back":                {&checkoutv1.RefundPolicy{ApplicationFee: checkoutv1.ApplicationFeeRefund_APPLICATION_FEE_REFUND_RETURNED}, false, 8900, 445},
		"less a tenth and a bit":            {&checkoutv1.RefundPolicy{KeptBasisPoints: 1003}, false, 8900 - 892, 0},
		"less a tenth and the fee": {
			&checkoutv1.RefundPolicy{KeptBasisPoints: 1000, ApplicationFee: checkoutv1.ApplicationFeeRefund_APPLICATION_FEE_REFUND_KEPT}, true, 8900 - 890 - 445, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t, func(config *checkoutsvc.Config) { config.RefundApplicationFee = c.configured })
			c.policy.BuyerSecondsBeforeStart = new(int64(2 * day))
			w.refundPolicy("then", c.policy)
			s, tickets := w.buys("buyer", 2)
			w.refundPolicy("later", nil)
			token := rpc.WithBearerToken(t.Context(), s.GetOrderAccessToken())
			preview, err := w.replicas[0].checkout.PreviewRefund(token, &checkoutv1.PreviewRefundRequest{OrderId: s.GetOrder().GetId(), TicketIds: tickets})
			if err != nil || preview.GetAmount().GetMinorUnits() != 2*c.back || preview.GetKept().GetMinorUnits() != 2*(8900-c.back) ||
				!preview.GetDeadline().AsTime().Equal(w.event.GetStartTime().AsTime().Add(-48*time.Hour)) {
				t.Errorf("preview: %v, %v", preview, err)
			}
			if _, err := w.giveBack(w.replicas[0], "unexpected", s, &checkoutv1.RefundTicketsRequest{TicketIds: tickets[:1], ExpectedAmount: money(c.back + 1)}); problem.Reason(err) != "TOTAL_CHANGED" {
				t.Errorf("another amount than expected: %v", err)
			}
			refund, err := w.giveBack(w.replicas[0], "one", s, &checkoutv1.RefundTicketsRequest{TicketIds: tickets[:1], ExpectedAmount: money(c.back)})
			if err != nil || refund.GetAmount().GetMinorUnits() != c.back {
				t.Fatalf("refund: %v, %v", refund, err)
			}
			o := w.waitFor(s.GetOrder().GetId(), "partially refunded", func(o *checkoutv1.Order) bool {
				return o.GetPaymentState() == checkoutv1.PaymentState_PAYMENT_STATE_PARTIALLY_REFUNDED
			})
			if ticketStates(o)[checkoutv1.TicketState_TICKET_STATE_VOID] != 1 || o.GetRefundedMinorUnits() != c.back {
				t.Errorf("tickets %v, %d refunded", ticketStates(o), o.GetRefundedMinorUnits())
			}
			if n := w.count("select application_fee_minor_units from refunds where order_id = $1", o.GetId()); n != int(c.fee) {
				t.Errorf("%d of the fee goes back, want %d", n, c.fee)
			}
		})
	}
}

func TestBuyerRefundIsRefused(t *testing.T) {
	w := newHarness(t)
	free, tickets := w.buys("without a policy", 2)
	w.refundPolicy("ours", &checkoutv1.RefundPolicy{BuyerSecondsBeforeStart: new(int64(2 * day))})
	s, mine := w.buys("mine", 3)
	w.refundPolicy("all", &checkoutv1.RefundPolicy{BuyerSecondsBeforeStart: new(int64(0)), KeptBasisPoints: 10000})
	kept, all := w.buys("kept", 1)
	used := w.order(s.GetOrder().GetId()).GetTickets()[1]
	w.admit(0, "in", scan(used, "north"))
	if reason := w.refund("first", &checkoutv1.RefundOrderRequest{OrderId: s.GetOrder().GetId(), TicketIds: mine[2:]}); reason != "" {
		t.Fatal(reason)
	}
	foreign := &checkoutv1.StartCheckoutResponse{Order: s.GetOrder(), OrderAccessToken: free.GetOrderAccessToken()}
	for name, c := range map[string]struct {
		of      *checkoutv1.StartCheckoutResponse
		tickets []string
		want    string
	}{
		"where only staff refund":  {free, tickets[:1], "BUYER_REFUND_CLOSED"},
		"with a foreign token":     {foreign, mine[:1], "ORDER_NOT_FOUND"},
		"of another order":         {s, tickets[:1], "TICKET_NOT_FOUND"},
		"of which nothing is left": {kept, all, "REFUND_KEEPS_ALL"},
		"that was used":            {s, mine[1:2], "TICKET_NOT_VALID"},
		"beside one that was used": {s, mine[:2], "TICKET_NOT_VALID"},
		"that goes back already":   {s, mine[2:], "TICKET_VOID"},
		"unpaid":                   {w.start("unpaid", 1), []string{"ticketOfNobody00001"}, "ORDER_NOT_PAID"},
	} {
		if _, err := w.giveBack(w.replicas[0], name, c.of, &checkoutv1.RefundTicketsRequest{TicketIds: c.tickets}); problem.Reason(err) != c.want {
			t.Errorf("a ticket %s: %v, want %s", name, err, c.want)
		}
		ctx := rpc.WithBearerToken(context.WithoutCancel(t.Context()), c.of.GetOrderAccessToken())
		if _, err := w.replicas[0].checkout.PreviewRefund(ctx, &checkoutv1.PreviewRefundRequest{OrderId: c.of.GetOrder().GetId(), TicketIds: c.tickets}); problem.Reason(err) != c.want {
			t.Errorf("preview of a ticket %s: %v, want %s", name, err, c.want)
		}
	}
}

// The deadline follows the start of the event, wherever that is moved, and is over at its very instant. Of a canceled event there is none.
func TestBuyerRefundDeadline(t *testing.T) {
	w := newHarness(t)
	w.refundPolicy("ours", &checkoutv1.RefundPolicy{BuyerSecondsBeforeStart: new(int64(2 * day)), KeptBasisPoints: 5000})
	s, tickets := w.buys("buyer", 3)
	fake := clock.NewFake(clock.System{}.Now())
	w.clock = fake
	r := w.addReplica()
	at := func(instant time.Time) { fake.Advance(instant.Sub(fake.Now())) }
	deadline := w.event.GetStartTime().AsTime().Add(-48 * time.Hour)
	at(deadline.Add(-time.Microsecond))
	if _, err := w.giveBack(r, "in time", s, &checkoutv1.RefundTicketsRequest{TicketIds: tickets[:1]}); err != nil {
		t.Error(err)
	}
	at(deadline)
	if _, err := w.giveBack(r, "late", s, &checkoutv1.RefundTicketsRequest{TicketIds: tickets[1:2]}); problem.Reason(err) != "BUYER_REFUND_CLOSED" {
		t.Errorf("late: %v", err)
	}
	if _, err := w.pool.Exec(t.Context(), `update events set start_time = start_time + interval '1 day', end_time = end_time + interval '1 day' where id = $1`, w.event.GetId()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.giveBack(r, "moved", s, &checkoutv1.RefundTicketsRequest{TicketIds: tickets[1:2], ExpectedAmount: money(4450)}); err != nil {
		t.Errorf("after the event was moved: %v", err)
	}
	at(deadline.AddDate(0, 0, 30))
	if _, err := w.pool.Exec(t.Context(), `update events set cancel_time = now() where id = $1`, w.event.GetId()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.giveBack(r, "canceled", s, &checkoutv1.RefundTicketsRequest{TicketIds: tickets[2:], ExpectedAmount: money(8900)}); err != nil {
		t.Errorf("after the event was canceled: %v", err)
	}
}

// Many calls give one ticket back once, over two replicas.
func TestBuyerRefundsOnce(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	w.refundPolicy("ours", &checkoutv1.RefundPolicy{BuyerSecondsBeforeStart: new(int64(0))})
	s, tickets := w.buys("buyer", 2)
	var mu sync.Mutex
	refunds := map[string]int{}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			refund, err := w.giveBack(w.replicas[i%2], fmt.Sprint("key", i/4), s, &checkoutv1.RefundTicketsRequest{TicketIds: tickets[:1]})
			mu.Lock()
			defer mu.Unlock()
			if refunds[refund.GetId()]++; err != nil && problem.Reason(err) != "TICKET_VOID" && problem.Code(err).String() != "aborted" {
				t.Error(err)
			}
		})
	}
	all.Wait()
	delete(refunds, "")
	if o := w.order(s.GetOrder().GetId()); len(refunds) != 1 || len(o.GetRefunds()) != 1 || o.GetRefunds()[0].GetAmount().GetMinorUnits() != 8900 {
		t.Errorf("%v; refunds %v", refunds, o.GetRefunds())
	}
}
