package checkoutsvc

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
)

var paymentToProto = map[string]checkoutv1.PaymentState{
	paymentAwaiting:          checkoutv1.PaymentState_PAYMENT_STATE_AWAITING_PAYMENT,
	paymentProcessing:        checkoutv1.PaymentState_PAYMENT_STATE_PROCESSING,
	paymentAuthorized:        checkoutv1.PaymentState_PAYMENT_STATE_AUTHORIZED,
	paymentPaid:              checkoutv1.PaymentState_PAYMENT_STATE_PAID,
	paymentPartiallyRefunded: checkoutv1.PaymentState_PAYMENT_STATE_PARTIALLY_REFUNDED,
	paymentRefunded:          checkoutv1.PaymentState_PAYMENT_STATE_REFUNDED,
	paymentDisputed:          checkoutv1.PaymentState_PAYMENT_STATE_DISPUTED,
	paymentChargedBack:       checkoutv1.PaymentState_PAYMENT_STATE_CHARGED_BACK,
	paymentCanceled:          checkoutv1.PaymentState_PAYMENT_STATE_CANCELED,
	paymentExpired:           checkoutv1.PaymentState_PAYMENT_STATE_EXPIRED,
	paymentFailed:            checkoutv1.PaymentState_PAYMENT_STATE_FAILED,
}

var fulfilmentToProto = map[string]checkoutv1.FulfilmentState{
	fulfilmentNone:          checkoutv1.FulfilmentState_FULFILMENT_STATE_NONE,
	fulfilmentInProgress:    checkoutv1.FulfilmentState_FULFILMENT_STATE_IN_PROGRESS,
	fulfilmentLedgerBlocked: checkoutv1.FulfilmentState_FULFILMENT_STATE_LEDGER_BLOCKED,
	fulfilmentCompleted:     checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED,
	fulfilmentUnfulfillable: checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE,
}

var holdToProto = map[string]checkoutv1.HoldState{
	holdActive:   checkoutv1.HoldState_HOLD_STATE_ACTIVE,
	holdConsumed: checkoutv1.HoldState_HOLD_STATE_CONSUMED,
	holdReleased: checkoutv1.HoldState_HOLD_STATE_RELEASED,
	holdExpired:  checkoutv1.HoldState_HOLD_STATE_EXPIRED,
}

var ticketToProto = map[string]checkoutv1.TicketState{
	ticketReserved:  checkoutv1.TicketState_TICKET_STATE_RESERVED,
	ticketValid:     checkoutv1.TicketState_TICKET_STATE_VALID,
	ticketUsed:      checkoutv1.TicketState_TICKET_STATE_USED,
	ticketSuspended: checkoutv1.TicketState_TICKET_STATE_SUSPENDED,
	ticketVoid:      checkoutv1.TicketState_TICKET_STATE_VOID,
}

var intentStatusFromProto = map[checkoutv1.PaymentIntentStatus]string{
	checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_REQUIRES_PAYMENT_METHOD: intentRequiresPaymentMethod,
	checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_REQUIRES_ACTION:         intentRequiresAction,
	checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_PROCESSING:              intentProcessing,
	checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_REQUIRES_CAPTURE:        intentRequiresCapture,
	checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_SUCCEEDED:               intentSucceeded,
	checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_FAILED:                  intentFailed,
	checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_CANCELED:                intentCanceled,
}

var refundStateFromProto = map[checkoutv1.RefundState]string{
	checkoutv1.RefundState_REFUND_STATE_REQUESTED: refundRequested,
	checkoutv1.RefundState_REFUND_STATE_PENDING:   refundPending,
	checkoutv1.RefundState_REFUND_STATE_SUCCEEDED: refundSucceeded,
	checkoutv1.RefundState_REFUND_STATE_FAILED:    refundFailed,
	checkoutv1.RefundState_REFUND_STATE_CANCELED:  refundCanceled,
}

var refundReasonToProto = map[string]checkoutv1.RefundReason{
	refundByRequest: checkoutv1.RefundReason_REFUND_REASON_REQUESTED,
	refundDuplicate: checkoutv1.RefundReason_REFUND_REASON_DUPLICATE_PAYMENT,
	refundLate:      checkoutv1.RefundReason_REFUND_REASON_LATE,
	refundGivenUp:   checkoutv1.RefundReason_REFUND_REASON_GIVEN_UP,
	refundExternal:  checkoutv1.RefundReason_REFUND_REASON_EXTERNAL,
	refundFraud:     checkoutv1.RefundReason_REFUND_REASON_FRAUD,
}

var disputeStatusFromProto = map[checkoutv1.DisputeStatus]string{
	checkoutv1.DisputeStatus_DISPUTE_STATUS_WARNING_NEEDS_RESPONSE: disputeWarningNeedsResponse,
	checkoutv1.DisputeStatus_DISPUTE_STATUS_WARNING_UNDER_REVIEW:   disputeWarningUnderReview,
	checkoutv1.DisputeStatus_DISPUTE_STATUS_NEEDS_RESPONSE:         disputeNeedsResponse,
	checkoutv1.DisputeStatus_DISPUTE_STATUS_UNDER_REVIEW:           disputeUnderReview,
	checkoutv1.DisputeStatus_DISPUTE_STATUS_LOST:                   disputeLost,
	checkoutv1.DisputeStatus_DISPUTE_STATUS_WON:                    disputeWon,
	checkoutv1.DisputeStatus_DISPUTE_STATUS_WARNING_CLOSED:         disputeWarningClosed,
	checkoutv1.DisputeStatus_DISPUTE_STATUS_PREVENTED:              disputePrevented,
}

// reversed turns a map of names around.
func reversed[K, V comparable](m map[K]V) map[V]K {
	r := make(map[V]K, len(m))
	for k, v := range m {
		r[v] = k
	}
	return r
}

var (
	intentStatusToProto  = reversed(intentStatusFromProto)
	refundStateToProto   = reversed(refundStateFromProto)
	disputeStatusToProto = reversed(disputeStatusFromProto)
	fulfilmentFromProto  = reversed(fulfilmentToProto)
)

func toMoney(currency string, minorUnits int64) *moneyv1.Money {
	return &moneyv1.Money{Currency: currency, MinorUnits: minorUnits}
}

// toTimestamp keeps absent absent.
func toTimestamp(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}

func fromTimestamp(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime()
	return &at
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (s *Service) orderToProto(o *order) *checkoutv1.Order {
	out := &checkoutv1.Order{
		Id: o.ID, OrganizerId: o.OrganizerID, EventId: o.EventID,
		PaymentState: paymentToProto[o.Payment], FulfilmentState: fulfilmentToProto[o.Fulfilment],
		HoldState: holdToProto[o.Hold.State], HoldExpireTime: timestamppb.New(o.Hold.ExpireTime),
		Total:              toMoney(o.Currency, o.TotalMinorUnits),
		CapturedMinorUnits: o.captured(), RefundedMinorUnits: o.refunded(), PayingIntentId: deref(o.PayingIntent),
		CreateTime: timestamppb.New(o.CreateTime), CompleteTime: toTimestamp(o.CompleteTime),
	}
	for _, l := range o.Lines {
		out.Lines = append(out.Lines, &checkoutv1.OrderLine{
			VariantId: l.VariantID, VariantVersion: l.VariantVersion, ProductName: l.ProductName, VariantName: l.VariantName,
			Quantity: l.Quantity, UnitPrice: toMoney(o.Currency, l.UnitPriceMinorUnits),
		})
	}
	for _, t := range o.Tickets {
		out.Tickets = append(out.Tickets, s.ticketToProto(t))
	}
	for _, p := range o.Intents {
		out.PaymentIntents = append(out.PaymentIntents, &checkoutv1.PaymentIntent{
			Id: deref(p.StripeID), StripeAccount: p.StripeAccount, Status: intentStatusToProto[p.Status],
			Amount: toMoney(p.Currency, p.AmountMinorUnits), CapturedMinorUnits: p.CapturedMinorUnits, Duplicate: p.Duplicate,
			ChargeId: p.ChargeID, FailureCode: p.FailureCode, CreateTime: timestamppb.New(p.CreateTime),
		})
	}
	for _, r := range o.Refunds {
		out.Refunds = append(out.Refunds, refundToProto(r))
	}
	for _, d := range o.Disputes {
		var fee int64
		for _, f := range o.Funds {
			if f.DisputeID == d.ID {
				fee += f.FeeMinorUnits
			}
		}
		out.Disputes = append(out.Disputes, &checkoutv1.Dispute{
			Id: d.ID, Status: disputeStatusToProto[d.Status], Amount: toMoney(d.Currency, d.AmountMinorUnits),
			FeeMinorUnits: fee, EvidenceDueTime: toTimestamp(d.EvidenceDueTime),
		})
	}
	return out
}

// buyerOrder is an order as its buyer sees it: without what only staff can use, and what may still arrive when the order
// is complete, so that all who signal one payment get one answer.
func (s *Service) buyerOrder(o *order) *checkoutv1.Order {
	out := s.orderToProto(o)
	for _, p := range out.GetPaymentIntents() {
		p.ChargeId = ""
	}
	return out
}

func (s *Service) ticketToProto(t checkoutdb.Ticket) *checkoutv1.TicketInstance {
	out := &checkoutv1.TicketInstance{
		Id: t.ID, OrderId: t.OrderID, EventId: t.EventID, VariantId: t.VariantID, VariantVersion: t.VariantVersion,
		State: ticketToProto[t.State], Code: s.codes.sign(t.ID, t.EventID, t.CodeKeyVersion), PassSerial: t.PassSerial,
		ChangeNumber: t.ChangeNumber, ValidTime: toTimestamp(t.ValidTime),
	}
	if snap, err := readSnapshot(t); err == nil {
		out.ProductName, out.VariantName = snap.ProductName, snap.VariantName
	}
	return out
}

func refundToProto(r checkoutdb.Refund) *checkoutv1.Refund {
	return &checkoutv1.Refund{
		Id: r.ID, StripeRefundId: deref(r.StripeRefundID), PaymentIntentId: r.PaymentIntent,
		Amount: toMoney(r.Currency, r.AmountMinorUnits), State: refundStateToProto[r.State], Reason: refundReasonToProto[r.Reason],
		TicketIds: r.TicketIds, CreateTime: timestamppb.New(r.CreateTime),
	}
}
