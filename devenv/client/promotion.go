package client

import checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"

// Promotion is a promotion code as scripts and people read it.
type Promotion struct {
	ID               string `json:"promotion_code_id"`
	EventID          string `json:"event_id"`
	Code             string `json:"code"`
	BasisPoints      int32  `json:"basis_points,omitempty"`
	AmountMinorUnits int64  `json:"amount_minor_units,omitempty"`
	Currency         string `json:"currency,omitempty"`
	PerTicket        bool   `json:"per_ticket,omitempty"`
	StartTime        string `json:"start_time,omitempty"`
	EndTime          string `json:"end_time,omitempty"`
	OrderLimit       int32  `json:"order_limit,omitempty"`
	BuyerOrderLimit  int32  `json:"buyer_order_limit,omitempty"`
	UsedOrderCount   int32  `json:"used_order_count"`
	ArchiveTime      string `json:"archive_time,omitempty"`
}

// PromotionOf is a promotion code in these words.
func PromotionOf(p *checkoutv1.PromotionCode) Promotion {
	d := p.GetDiscount()
	return Promotion{
		ID: p.GetId(), EventID: p.GetEventId(), Code: p.GetCode(), BasisPoints: d.GetBasisPoints(), AmountMinorUnits: d.GetAmount().GetMinorUnits(),
		Currency: d.GetAmount().GetCurrency(), PerTicket: d.GetPerTicket(), StartTime: instant(p.GetStartTime()), EndTime: instant(p.GetEndTime()),
		OrderLimit: p.GetOrderLimit(), BuyerOrderLimit: p.GetBuyerOrderLimit(), UsedOrderCount: p.GetUsedOrderCount(), ArchiveTime: instant(p.GetArchiveTime()),
	}
}
