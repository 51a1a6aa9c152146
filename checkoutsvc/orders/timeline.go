package orders

import (
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// timeline is what the order's rows report by themselves, and the notes between, by time.
func timeline(o *order.Order, notes []checkoutdb.Timeline) []*checkoutv1.TimelineEntry {
	entries := []*checkoutv1.TimelineEntry{{Time: timestamppb.New(o.CreateTime), Service: "checkoutsvc", Step: "order_created"}}
	add := func(e *checkoutv1.TimelineEntry) {
		e.Service = "checkoutsvc"
		entries = append(entries, e)
	}
	if o.FulfilmentStartTime != nil && o.Free() {
		add(&checkoutv1.TimelineEntry{Time: wire.TimeToProto(o.FulfilmentStartTime), Step: "nothing_to_pay"})
	} else if o.FulfilmentStartTime != nil {
		add(&checkoutv1.TimelineEntry{Time: wire.TimeToProto(o.FulfilmentStartTime), Step: "payment_accepted", Detail: o.PayingIntent})
	}
	for _, n := range notes {
		add(&checkoutv1.TimelineEntry{
			Time: timestamppb.New(n.Time), Step: n.Step, Attempt: n.Attempt, TookMs: n.TookMs, Error: n.Error, Detail: n.Detail,
			Actor: n.Actor,
		})
	}
	if o.CompleteTime != nil {
		at := wire.TimeToProto(o.CompleteTime)
		add(&checkoutv1.TimelineEntry{Time: at, Step: "issue_passes", Attempt: o.Attempt, TookMs: o.IssuePassesMs})
		add(&checkoutv1.TimelineEntry{Time: at, Step: "record_sale", Attempt: o.Attempt, TookMs: o.RecordSaleMs})
		add(&checkoutv1.TimelineEntry{Time: at, Step: "order_completed", Attempt: o.Attempt})
	}
	if o.ReceiptSentTime != nil {
		add(&checkoutv1.TimelineEntry{Time: wire.TimeToProto(o.ReceiptSentTime), Step: "receipt_sent"})
	}
	slices.SortStableFunc(entries, func(a, b *checkoutv1.TimelineEntry) int { return a.GetTime().AsTime().Compare(b.GetTime().AsTime()) })
	return entries
}
