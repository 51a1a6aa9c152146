package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// checkOrder compares one order with what Stripe has of it.
func (t *truth) checkOrder(ctx context.Context, system *client.Client, o *played) []string {
	details, err := system.Orders.GetOrderDetails(ctx, &checkoutv1.GetOrderDetailsRequest{OrderId: o.cart.OrderID})
	if err != nil {
		return []string{"cannot be read: " + err.Error()}
	}
	var (
		order      = details.GetOrder()
		intent     = t.intents[o.cart.IntentID]
		violations []string
	)
	wrong := func(format string, args ...any) { violations = append(violations, fmt.Sprintf(format, args...)) }
	refunds, disputes := t.refunds[o.cart.IntentID], t.disputes[o.cart.IntentID]
	paid := intent.AmountReceived == o.total() && intent.Status == "succeeded"
	keys := t.keysOf(o.cart.IntentID)
	if !paid && intent.AmountReceived > 0 && !slices.ContainsFunc(keys, func(key string) bool { return t.booked[key] != nil }) {
		// Money that does not fit the order waits for a person, outside of the books until it moves again.
		t.checkWaiting(ctx, system, o, wrong)
	} else {
		for _, key := range keys {
			if !equal(t.stripe[key], t.booked[key]) {
				wrong("Stripe's balance has %s of %s, the books %s", number(t.stripe[key]), key, number(t.booked[key]))
			}
		}
	}
	checkRefunds(order, refunds, intent, wrong)
	checkDisputes(order, disputes, wrong)
	if !paid {
		if len(order.GetTickets()) > 0 || order.GetPayingIntentId() != "" {
			wrong("Stripe captured %d of %d, and the order is %s with %d tickets", intent.AmountReceived, o.total(), client.Word(order.GetFulfilmentState()), len(order.GetTickets()))
		}
		return violations
	}
	if order.GetCapturedMinorUnits() != intent.AmountReceived {
		wrong("captured %d, at Stripe %d", order.GetCapturedMinorUnits(), intent.AmountReceived)
	}
	if want, got := paymentState(intent, refunds, disputes), client.Word(order.GetPaymentState()); got != want {
		wrong("payment is %s, want %s", got, want)
	}
	checkTickets(o, order, refunds, disputes, wrong)
	return violations
}

// checkWaiting wants money that fits no order to be before somebody's eyes.
func (t *truth) checkWaiting(ctx context.Context, system *client.Client, o *played, wrong func(string, ...any)) {
	items, err := system.Operations.ListReviewCases(ctx, &checkoutv1.ListReviewCasesRequest{OrderId: o.cart.OrderID})
	if err != nil || len(items.GetItems()) == 0 {
		wrong("its money does not fit, and nobody was alerted (%v)", err)
	}
}

func checkRefunds(order *checkoutv1.Order, refunds []stripeRefund, intent stripeIntent, wrong func(string, ...any)) {
	known := map[string]*checkoutv1.Refund{}
	var moved, sum int64
	for _, r := range order.GetRefunds() {
		if r.GetStripeRefundId() != "" {
			known[r.GetStripeRefundId()] = r
		}
	}
	for _, r := range refunds {
		ours := known[r.ID]
		if ours == nil || ours.GetAmount().GetMinorUnits() != r.Amount || client.Word(ours.GetState()) != r.state() {
			wrong("refund %s is %d and %s at Stripe; here %v", r.ID, r.Amount, r.Status, ours)
		}
		if r.moved() {
			sum += r.Amount
		}
	}
	if len(known) != len(refunds) {
		wrong("%d refunds at Stripe, %d here", len(refunds), len(known))
	}
	for _, r := range order.GetRefunds() {
		if s := r.GetState(); s == checkoutv1.RefundState_REFUND_STATE_SUCCEEDED || s == checkoutv1.RefundState_REFUND_STATE_PENDING {
			moved += r.GetAmount().GetMinorUnits()
		}
	}
	if moved != sum || sum > intent.AmountReceived {
		wrong("refunded %d here, %d at Stripe, of %d", moved, sum, intent.AmountReceived)
	}
}

func checkDisputes(order *checkoutv1.Order, disputes []stripeDispute, wrong func(string, ...any)) {
	if len(order.GetDisputes()) != len(disputes) {
		wrong("%d disputes at Stripe, %d here", len(disputes), len(order.GetDisputes()))
	}
	for _, d := range disputes {
		i := slices.IndexFunc(order.GetDisputes(), func(ours *checkoutv1.Dispute) bool { return ours.GetId() == d.ID })
		if i < 0 || client.Word(order.GetDisputes()[i].GetStatus()) != d.Status || order.GetDisputes()[i].GetAmount().GetMinorUnits() != d.Amount {
			wrong("dispute %s is %d and %s at Stripe; here %v", d.ID, d.Amount, d.Status, order.GetDisputes())
		}
	}
}

// paymentState is the state that follows from what Stripe has of a paid order.
func paymentState(intent stripeIntent, refunds []stripeRefund, disputes []stripeDispute) string {
	var refunded int64
	for _, r := range refunds {
		if r.moved() {
			refunded += r.Amount
		}
	}
	switch {
	case anyDispute(disputes, "lost"):
		return "charged_back"
	case anyDispute(disputes, "needs_response", "under_review"):
		return "disputed"
	case refunded >= intent.AmountReceived:
		return "refunded"
	case refunded > 0:
		return "partially_refunded"
	}
	return "paid"
}

func anyDispute(disputes []stripeDispute, statuses ...string) bool {
	return slices.ContainsFunc(disputes, func(d stripeDispute) bool { return slices.Contains(statuses, d.Status) })
}

// checkTickets wants no ticket to admit whose money went back, and none to be void without a reason.
func checkTickets(o *played, order *checkoutv1.Order, refunds []stripeRefund, disputes []stripeDispute, wrong func(string, ...any)) {
	if order.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE {
		if client.Word(order.GetPaymentState()) != "refunded" && client.Word(order.GetPaymentState()) != "charged_back" && !anyDispute(disputes, "needs_response", "under_review") && !hasFailed(refunds) && !hasRefused(order) {
			wrong("unfulfillable and %s", client.Word(order.GetPaymentState()))
		}
		for _, ticket := range order.GetTickets() {
			if ticket.GetState() != checkoutv1.TicketState_TICKET_STATE_VOID {
				wrong("ticket %s of an unfulfillable order is %s", ticket.GetId(), client.Word(ticket.GetState()))
			}
		}
		return
	}
	if len(order.GetTickets()) != int(o.quantity) {
		wrong("%d tickets, %d were bought", len(order.GetTickets()), o.quantity)
	}
	named := map[string]bool{} // by refunds that stand
	asked := map[string]bool{} // by refunds that Stripe does not make before a dispute is closed
	var ever int64             // refunded, whatever became of it
	touched := anyDispute(disputes, "lost")
	for _, r := range order.GetRefunds() {
		standing := r.GetState() != checkoutv1.RefundState_REFUND_STATE_FAILED && r.GetState() != checkoutv1.RefundState_REFUND_STATE_CANCELED
		for _, id := range r.GetTicketIds() {
			if r.GetStripeRefundId() == "" && standing {
				asked[id] = true
				continue
			}
			named[id] = named[id] || standing
			touched = touched || !standing
		}
		ever += r.GetAmount().GetMinorUnits()
	}
	state := client.Word(order.GetPaymentState())
	for _, ticket := range order.GetTickets() {
		got := client.Word(ticket.GetState())
		switch {
		case state == "charged_back" || state == "refunded" || named[ticket.GetId()]:
			if got != "void" {
				wrong("ticket %s is %s, and its money went back (%s)", ticket.GetId(), got, state)
			}
		case asked[ticket.GetId()] && anyDispute(disputes, "needs_response", "under_review"):
			if got != "suspended" {
				wrong("ticket %s is %s, and its refund waits for a dispute", ticket.GetId(), got)
			}
		case got == "void" && (touched || ever >= o.total()):
			// Void is final: it was void once, and what was refunded came back later.
		case state == "disputed" && got != "suspended", state != "disputed" && got != "valid":
			wrong("ticket %s is %s, the order is %s", ticket.GetId(), got, state)
		}
	}
}

func hasFailed(refunds []stripeRefund) bool {
	return slices.ContainsFunc(refunds, func(r stripeRefund) bool { return !r.moved() })
}

func hasRefused(order *checkoutv1.Order) bool {
	return slices.ContainsFunc(order.GetRefunds(), func(r *checkoutv1.Refund) bool { return r.GetStripeRefundId() == "" })
}
