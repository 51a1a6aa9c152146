// Package orderproto converts orders to messages and states from messages. A state without a counterpart fails the linter.
package orderproto

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// PaymentToProto has the message of each payment state.
var PaymentToProto = map[order.PaymentState]checkoutv1.PaymentState{
	order.PaymentAwaiting:          checkoutv1.PaymentState_PAYMENT_STATE_AWAITING_PAYMENT,
	order.PaymentProcessing:        checkoutv1.PaymentState_PAYMENT_STATE_PROCESSING,
	order.PaymentAuthorized:        checkoutv1.PaymentState_PAYMENT_STATE_AUTHORIZED,
	order.PaymentPartiallyCaptured: checkoutv1.PaymentState_PAYMENT_STATE_PARTIALLY_CAPTURED,
	order.PaymentPaid:              checkoutv1.PaymentState_PAYMENT_STATE_PAID,
	order.PaymentPartiallyRefunded: checkoutv1.PaymentState_PAYMENT_STATE_PARTIALLY_REFUNDED,
	order.PaymentRefunded:          checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED,
	order.PaymentDisputed:          checkoutv1.PaymentState_PAYMENT_STATE_DISPUTED,
	order.PaymentChargedBack:       checkoutv1.PaymentState_PAYMENT_STATE_CHARGED_BACK,
	order.PaymentCanceled:          checkoutv1.PaymentState_PAYMENT_STATE_CANCELED,
	order.PaymentExpired:           checkoutv1.PaymentState_PAYMENT_STATE_EXPIRED,
	order.PaymentFailed:            checkoutv1.PaymentState_PAYMENT_STATE_FAILED,
	order.PaymentNotRequired:       checkoutv1.PaymentState_PAYMENT_STATE_NOT_REQUIRED,
}

// FulfilmentToProto has the message of each fulfilment state.
var FulfilmentToProto = map[order.FulfilmentState]checkoutv1.FulfilmentState{
	order.FulfilmentNone:          checkoutv1.FulfilmentState_FULFILMENT_STATE_NONE,
	order.FulfilmentInProgress:    checkoutv1.FulfilmentState_FULFILMENT_STATE_IN_PROGRESS,
	order.FulfilmentLedgerBlocked: checkoutv1.FulfilmentState_FULFILMENT_STATE_LEDGER_BLOCKED,
	order.FulfilmentCompleted:     checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED,
	order.FulfilmentUnfulfillable: checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE,
}

// KindToProto has the message of each kind of order.
var KindToProto = map[order.Kind]checkoutv1.OrderKind{
	order.KindSale:          checkoutv1.OrderKind_ORDER_KIND_SALE,
	order.KindComplimentary: checkoutv1.OrderKind_ORDER_KIND_COMPLIMENTARY,
}

// HoldToProto has the message of each hold state.
var HoldToProto = map[order.HoldState]checkoutv1.HoldState{
	order.HoldActive:   checkoutv1.HoldState_HOLD_STATE_ACTIVE,
	order.HoldConsumed: checkoutv1.HoldState_HOLD_STATE_CONSUMED,
	order.HoldReleased: checkoutv1.HoldState_HOLD_STATE_RELEASED,
	order.HoldExpired:  checkoutv1.HoldState_HOLD_STATE_EXPIRED,
}

// TicketToProto has the message of each ticket state.
var TicketToProto = map[order.TicketState]checkoutv1.TicketState{
	order.TicketReserved:  checkoutv1.TicketState_TICKET_STATE_RESERVED,
	order.TicketValid:     checkoutv1.TicketState_TICKET_STATE_VALID,
	order.TicketUsed:      checkoutv1.TicketState_TICKET_STATE_USED,
	order.TicketSuspended: checkoutv1.TicketState_TICKET_STATE_SUSPENDED,
	order.TicketVoid:      checkoutv1.TicketState_TICKET_STATE_VOID,
}

// IntentStatusFromProto has the status of each message.
var IntentStatusFromProto = map[checkoutv1.PaymentIntentStatus]order.IntentStatus{
	checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_REQUIRES_PAYMENT_METHOD: order.IntentRequiresPaymentMethod,
	checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_REQUIRES_ACTION:         order.IntentRequiresAction,
	checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_PROCESSING:              order.IntentProcessing,
	checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_REQUIRES_CAPTURE:        order.IntentRequiresCapture,
	checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_SUCCEEDED:               order.IntentSucceeded,
	checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_FAILED:                  order.IntentFailed,
	checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_CANCELED:                order.IntentCanceled,
}

// RefundStateFromProto has the state of each message.
var RefundStateFromProto = map[checkoutv1.RefundState]order.RefundState{
	checkoutv1.RefundState_REFUND_STATE_REQUESTED: order.RefundRequested,
	checkoutv1.RefundState_REFUND_STATE_PENDING:   order.RefundPending,
	checkoutv1.RefundState_REFUND_STATE_SUCCEEDED: order.RefundSucceeded,
	checkoutv1.RefundState_REFUND_STATE_FAILED:    order.RefundFailed,
	checkoutv1.RefundState_REFUND_STATE_CANCELED:  order.RefundCanceled,
}

// RefundReasonToProto has the message of each reason.
var RefundReasonToProto = map[order.RefundReason]checkoutv1.RefundReason{
	order.RefundByRequest:        checkoutv1.RefundReason_REFUND_REASON_REQUESTED,
	order.RefundDuplicatePayment: checkoutv1.RefundReason_REFUND_REASON_DUPLICATE_PAYMENT,
	order.RefundLate:             checkoutv1.RefundReason_REFUND_REASON_LATE,
	order.RefundGivenUp:          checkoutv1.RefundReason_REFUND_REASON_GIVEN_UP,
	order.RefundExternal:         checkoutv1.RefundReason_REFUND_REASON_EXTERNAL,
	order.RefundUnmatched:        checkoutv1.RefundReason_REFUND_REASON_UNMATCHED,
	order.RefundFraud:            checkoutv1.RefundReason_REFUND_REASON_FRAUD,
}

// DisputeStatusFromProto has the status of each message.
var DisputeStatusFromProto = map[checkoutv1.DisputeStatus]order.DisputeStatus{
	checkoutv1.DisputeStatus_DISPUTE_STATUS_WARNING_NEEDS_RESPONSE: order.DisputeWarningNeedsResponse,
	checkoutv1.DisputeStatus_DISPUTE_STATUS_WARNING_UNDER_REVIEW:   order.DisputeWarningUnderReview,
	checkoutv1.DisputeStatus_DISPUTE_STATUS_NEEDS_RESPONSE:         order.DisputeNeedsResponse,
	checkoutv1.DisputeStatus_DISPUTE_STATUS_UNDER_REVIEW:           order.DisputeUnderReview,
	checkoutv1.DisputeStatus_DISPUTE_STATUS_LOST:                   order.DisputeLost,
	checkoutv1.DisputeStatus_DISPUTE_STATUS_WON:                    order.DisputeWon,
	checkoutv1.DisputeStatus_DISPUTE_STATUS_WARNING_CLOSED:         order.DisputeWarningClosed,
	checkoutv1.DisputeStatus_DISPUTE_STATUS_PREVENTED:              order.DisputePrevented,
}

// reversed turns a map of names around.
func reversed[K, V comparable](m map[K]V) map[V]K {
	r := make(map[V]K, len(m))
	for k, v := range m {
		r[v] = k
	}
	return r
}

// The same, the other way round.
var (
	IntentStatusToProto  = reversed(IntentStatusFromProto)
	RefundStateToProto   = reversed(RefundStateFromProto)
	DisputeStatusToProto = reversed(DisputeStatusFromProto)
	FulfilmentFromProto  = reversed(FulfilmentToProto)
	TicketFromProto      = reversed(TicketToProto)
)

// OrderToProto converts an order as staff may know it.
func OrderToProto(o *order.Order, codes ticketcode.Keys) *checkoutv1.Order {
	out := &checkoutv1.Order{
		Id: o.ID, OrganizerId: o.OrganizerID, EventId: o.EventID, Kind: KindToProto[o.Kind],
		PaymentState: PaymentToProto[o.Payment], FulfilmentState: FulfilmentToProto[o.Fulfilment],
		HoldState: HoldToProto[o.Hold.State], HoldExpireTime: timestamppb.New(o.Hold.ExpireTime),
		Total:              wire.MoneyToProto(o.Currency, o.TotalMinorUnits),
		CapturedMinorUnits: o.Captured(), RefundedMinorUnits: o.Refunded(), PayingIntentId: o.PayingIntent,
		CreateTime: timestamppb.New(o.CreateTime), CompleteTime: wire.TimeToProto(o.CompleteTime),
	}
	if o.PromotionCode != "" {
		out.PromotionCode, out.Discount = o.PromotionCode, wire.MoneyToProto(o.Currency, o.DiscountMinorUnits)
	}
	for _, l := range o.Lines {
		out.Lines = append(out.Lines, &checkoutv1.OrderLine{
			VariantId: l.VariantID, VariantVersion: l.VariantVersion, ProductName: l.ProductName, VariantName: l.VariantName,
			Quantity: l.Quantity, UnitPrice: wire.MoneyToProto(o.Currency, l.UnitPriceMinorUnits), Seats: seatsToProto(l.Seats),
			DiscountMinorUnits: l.DiscountMinorUnits,
		})
	}
	for i := range o.Tickets {
		t := TicketInstanceToProto(o.Tickets[i], codes)
		t.VoidReason = VoidReasonToProto[o.VoidReason(&o.Tickets[i])]
		out.Tickets = append(out.Tickets, t)
	}
	for i := range o.Transfers {
		out.Transfers = append(out.Transfers, TransferToProto(o, &o.Transfers[i]))
	}
	for _, p := range o.Intents {
		out.PaymentIntents = append(out.PaymentIntents, &checkoutv1.PaymentIntent{
			Id: p.StripeID, StripeAccount: p.StripeAccount, Status: IntentStatusToProto[p.Status],
			Amount: wire.MoneyToProto(p.Currency, p.AmountMinorUnits), CapturedMinorUnits: p.CapturedMinorUnits, Duplicate: p.Duplicate,
			ChargeId: p.ChargeID, FailureCode: p.FailureCode, CreateTime: timestamppb.New(p.CreateTime),
		})
	}
	for i := range o.Refunds {
		out.Refunds = append(out.Refunds, RefundToProto(&o.Refunds[i]))
	}
	for _, d := range o.Disputes {
		var fee int64
		for _, f := range o.Funds {
			if f.DisputeID == d.ID {
				fee += f.FeeMinorUnits
			}
		}
		out.Disputes = append(out.Disputes, &checkoutv1.Dispute{
			Id: d.ID, Status: DisputeStatusToProto[d.Status], Amount: wire.MoneyToProto(d.Currency, d.AmountMinorUnits),
			FeeMinorUnits: fee, EvidenceDueTime: wire.TimeToProto(d.EvidenceDueTime),
		})
	}
	return out
}

// BuyerOrderToProto converts an order as its buyer may know it: without what only staff can use, and what may still arrive when the
// order is complete, so that all who signal one payment get one answer.
func BuyerOrderToProto(o *order.Order, codes ticketcode.Keys) *checkoutv1.Order {
	out := OrderToProto(o, codes)
	for _, p := range out.GetPaymentIntents() {
		p.ChargeId = ""
	}
	for _, t := range out.GetTickets() {
		if t.GetState() == checkoutv1.TicketState_TICKET_STATE_RESERVED {
			t.Code = "" // it admits nobody yet
		}
	}
	hideTransferred(o, out)
	return out
}

// TicketInstanceToProto converts a ticket, with its signed code.
func TicketInstanceToProto(t order.Ticket, codes ticketcode.Keys) *checkoutv1.TicketInstance {
	out := &checkoutv1.TicketInstance{
		Id: t.ID, OrderId: t.OrderID, EventId: t.EventID, VariantId: t.VariantID, VariantVersion: t.VariantVersion,
		State: TicketToProto[t.State], Code: codes.Sign(t.ID, t.EventID, t.CodeKeyVersion), PassSerial: t.PassSerial,
		ChangeNumber: t.ChangeNumber, ValidTime: wire.TimeToProto(t.ValidTime),
		ReplacesTicketId: t.Replaces, Transferred: t.Transferred(), HolderName: string(t.HolderName),
	}
	if s, err := t.ReadSnapshot(); err == nil {
		out.ProductName, out.VariantName = s.ProductName, s.VariantName
		if s.Seat != nil {
			out.Seat = seatToProto(*s.Seat)
		}
	}
	return out
}

func seatsToProto(seats []order.Seat) []*checkoutv1.Seat {
	var out []*checkoutv1.Seat
	for _, s := range seats {
		out = append(out, seatToProto(s))
	}
	return out
}

func seatToProto(s order.Seat) *checkoutv1.Seat {
	return &checkoutv1.Seat{Id: s.ID, Section: s.Section, Row: s.Row, Label: s.Label}
}

// RefundToProto converts a refund.
func RefundToProto(r *order.Refund) *checkoutv1.Refund {
	return &checkoutv1.Refund{
		Id: r.ID, StripeRefundId: r.StripeRefundID, PaymentIntentId: r.PaymentIntent,
		Amount: wire.MoneyToProto(r.Currency, r.AmountMinorUnits), State: RefundStateToProto[r.State], Reason: RefundReasonToProto[r.Reason],
		TicketIds: r.TicketIDs, CreateTime: timestamppb.New(r.CreateTime),
	}
}
