package orderproto

import (
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// TransferStateToProto has the message of each state of a transfer.
var TransferStateToProto = map[order.TransferState]checkoutv1.TransferState{
	order.TransferPending:  checkoutv1.TransferState_TRANSFER_STATE_PENDING,
	order.TransferAccepted: checkoutv1.TransferState_TRANSFER_STATE_ACCEPTED,
	order.TransferDeclined: checkoutv1.TransferState_TRANSFER_STATE_DECLINED,
	order.TransferCanceled: checkoutv1.TransferState_TRANSFER_STATE_CANCELED,
	order.TransferExpired:  checkoutv1.TransferState_TRANSFER_STATE_EXPIRED,
}

// VoidReasonToProto has the message of each reason why a ticket is void.
var VoidReasonToProto = map[order.VoidReason]checkoutv1.TicketVoidReason{
	"":                    checkoutv1.TicketVoidReason_TICKET_VOID_REASON_UNSPECIFIED,
	order.VoidByMoney:     checkoutv1.TicketVoidReason_TICKET_VOID_REASON_MONEY,
	order.VoidTransferred: checkoutv1.TicketVoidReason_TICKET_VOID_REASON_TRANSFERRED,
	order.VoidReissued:    checkoutv1.TicketVoidReason_TICKET_VOID_REASON_REISSUED,
}

// TransferToProto converts a transfer as staff may know it.
func TransferToProto(o *order.Order, t *order.Transfer) *checkoutv1.TicketTransfer {
	out := &checkoutv1.TicketTransfer{
		Id: t.ID, TicketId: t.TicketID, State: TransferStateToProto[t.State], RecipientName: string(t.RecipientName),
		RecipientEmail: string(t.RecipientEmail), CreateTime: timestamppb.New(t.CreateTime), ExpireTime: timestamppb.New(t.ExpireTime),
		EndTime: wire.TimeToProto(t.EndTime),
	}
	if next := o.Replacement(t.TicketID); next != nil && t.State == order.TransferAccepted {
		out.NewTicketId = next.ID
	}
	return out
}

// HolderTransferToProto converts a transfer as whoever offers the ticket may know it.
func HolderTransferToProto(o *order.Order, t *order.Transfer) *checkoutv1.TicketTransfer {
	out := TransferToProto(o, t)
	out.RecipientEmail, out.NewTicketId = "", ""
	return out
}

// hideTransferred takes from a buyer's order what is others': codes and passes of tickets that were transferred, and what their holders
// do with them. The buyer sees that a ticket is gone, and to whom.
func hideTransferred(o *order.Order, out *checkoutv1.Order) {
	for i, t := range out.GetTickets() {
		if !o.Tickets[i].Transferred() {
			continue
		}
		t.Code, t.PassSerial = "", ""
		if before := o.Ticket(o.Tickets[i].Replaces); before != nil && before.Transferred() {
			t.HolderName = ""
		}
	}
	out.Transfers = slices.DeleteFunc(out.GetTransfers(), func(t *checkoutv1.TicketTransfer) bool {
		return o.Ticket(t.GetTicketId()).Transferred()
	})
	for _, t := range out.GetTransfers() {
		t.RecipientEmail, t.NewTicketId = "", ""
	}
}
