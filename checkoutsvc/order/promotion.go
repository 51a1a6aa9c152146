package order

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/dayof/dayof/internal/money"
)

// Promotion is a promotion code: what it takes off an order, and which variants it unlocks.
type Promotion struct {
	ID, Code string // Code is as its maker wrote it
	Discount Discount
	// VariantIDs are the variants that it makes cheaper; none means all of the event.
	VariantIDs []string
	// UnlockedVariantIDs are hidden variants that are sold with it.
	UnlockedVariantIDs              []string
	StartTime, EndTime, ArchiveTime *time.Time // nil: always, and never archived
	BuyerOrderLimit                 int32      // 0: none
}

// Discount is a part of the price, or an amount off the order or off each ticket. The zero value takes nothing off.
type Discount struct {
	BasisPoints int32
	Amount      Amount
	PerTicket   bool
}

// active says whether the code can be used. Its end is the first instant at which it cannot.
func (p *Promotion) active(now time.Time) bool {
	return p.ArchiveTime == nil && (p.StartTime == nil || !now.Before(*p.StartTime)) && (p.EndTime == nil || now.Before(*p.EndTime))
}

// discounts says whether the code makes a variant cheaper.
func (p *Promotion) discounts(variantID string) bool {
	return p.Discount != Discount{} && (len(p.VariantIDs) == 0 || slices.Contains(p.VariantIDs, variantID))
}

// unlocks says whether a cart's code, nil for none, unlocks a variant.
func (p *Promotion) unlocks(variantID string) bool {
	return p != nil && slices.Contains(p.UnlockedVariantIDs, variantID)
}

// checkPromotion checks a cart whose lines are sound against its code.
//
// Reasons: PROMOTION_CODE_NOT_ACTIVE, PROMOTION_CODE_REQUIRED, PROMOTION_CODE_NOT_APPLICABLE.
func checkPromotion(offers []Offer, cart Cart, now time.Time) error {
	p := cart.Promotion
	if p != nil && !p.active(now) {
		return &Refusal{Reason: ReasonPromotionNotActive, Detail: "the promotion code is not active now"}
	}
	useful := false
	for i, line := range cart.Lines {
		if offers[offerOf(offers, line)].NeedsCode && !p.unlocks(line.VariantID) {
			path := fmt.Sprintf("lines[%d].variant_id", i)
			detail := "this variant is sold with its promotion code only"
			return &Refusal{Reason: ReasonPromotionRequired, Detail: path + ": " + detail, Fields: []RefusedField{{Path: path, Detail: detail}}}
		}
		useful = useful || p.unlocks(line.VariantID) || p != nil && p.discounts(line.VariantID)
	}
	if p != nil && !useful {
		return &Refusal{Reason: ReasonPromotionNotApplicable, Detail: "the promotion code is for other tickets of the event"}
	}
	return nil
}

// promote takes a code's discount off a quoted order, and off the shares of its fee and taxes, which taxes has by country and kind.
//
// A part of the price is rounded to a minor unit, half up, over all tickets that it is about. What is off several tickets is shared out
// in proportion to their prices by largest remainder, so that the price of each ticket is known, and none is below 0. A tax is scaled with
// the price of its ticket; the fee stays as it is, and is at most what is left.
//
// Reasons: PROMOTION_CODE_NOT_APPLICABLE.
func (o *Order) promote(p *Promotion, taxes map[[2]string]int64) error {
	if a := p.Discount.Amount; a.MinorUnits > 0 && a.Currency != o.Currency {
		return &Refusal{Reason: ReasonPromotionNotApplicable, Detail: "the promotion code takes off " + a.Currency + ", the order is in " + o.Currency}
	}
	o.PromotionCodeID, o.PromotionCode, o.Promotion = p.ID, p.Code, p
	o.shareDiscount(p)
	for _, l := range o.Lines {
		if l.DiscountMinorUnits == 0 {
			continue
		}
		o.TotalMinorUnits -= l.DiscountMinorUnits
		o.DiscountMinorUnits += l.DiscountMinorUnits
		list := l.priceParts()
		for k, n := range l.priceGroups() {
			parts := l.partsOf(k)
			o.ApplicationFeeMinorUnits -= (list.ApplicationFeeMinorUnits - parts.ApplicationFeeMinorUnits) * n
			for i, t := range list.Taxes {
				taxes[[2]string{t.Country, t.Kind}] -= (t.MinorUnits - parts.Taxes[i].MinorUnits) * n
			}
		}
	}
	total := money.Money{Currency: o.Currency, MinorUnits: o.TotalMinorUnits}
	if least := money.ChargeMin(o.Currency); total.MinorUnits > 0 && total.MinorUnits < least.MinorUnits {
		return &Refusal{
			Reason: ReasonPromotionNotApplicable,
			Detail: fmt.Sprintf("the promotion code would leave %s to pay, and the smallest payment is %s; order more tickets, or none with the code", total, least),
		}
	}
	return nil
}

// shareDiscount says how much is off each line.
func (o *Order) shareDiscount(p *Promotion) {
	var whole int64
	for i := range o.Lines {
		l := &o.Lines[i]
		if p.discounts(l.VariantID) {
			whole += l.UnitPriceMinorUnits * int64(l.Quantity)
			if p.Discount.PerTicket {
				l.DiscountMinorUnits = min(p.Discount.Amount.MinorUnits, l.UnitPriceMinorUnits) * int64(l.Quantity)
			}
		}
	}
	if p.Discount.PerTicket || whole == 0 {
		return
	}
	off := min(p.Discount.Amount.MinorUnits, whole)
	if p.Discount.BasisPoints > 0 {
		off = roundedShare(whole, 10_000, int64(p.Discount.BasisPoints))
		for off > 0 && !(money.Money{Currency: o.Currency, MinorUnits: whole - off}).Chargeable() { // such as a dinar amount whose last digit is not 0
			off--
		}
	}
	o.shareByRemainder(p, whole, off)
}

// shareByRemainder shares out what is off the whole price of some lines, in proportion and by largest remainder: tickets of one line have equal
// remainders, so that the first ones of a line get a unit more.
func (o *Order) shareByRemainder(p *Promotion, whole, off int64) {
	type share struct {
		line      *Line
		remainder uint64
	}
	var shares []share
	left := off
	for i := range o.Lines {
		l := &o.Lines[i]
		if !p.discounts(l.VariantID) {
			continue
		}
		high, low := bits.Mul64(uint64(l.UnitPriceMinorUnits), uint64(off))
		each, remainder := bits.Div64(high, low, uint64(whole)) // at most the price, as off is at most the whole
		l.DiscountMinorUnits = int64(each) * int64(l.Quantity)
		left -= l.DiscountMinorUnits
		shares = append(shares, share{l, remainder})
	}
	slices.SortStableFunc(shares, func(a, b share) int { return cmp.Compare(b.remainder, a.remainder) })
	for _, s := range shares {
		more := min(left, int64(s.line.Quantity))
		s.line.DiscountMinorUnits += more
		left -= more
	}
}

// ticketPrice is what the k-th ticket of the line, from 0, is sold for.
func (l Line) ticketPrice(k int64) int64 {
	off := l.DiscountMinorUnits / int64(l.Quantity)
	if k < l.DiscountMinorUnits%int64(l.Quantity) {
		off++
	}
	return l.UnitPriceMinorUnits - off
}

// priceGroups are how many tickets of the line have one price, by the first of them.
func (l Line) priceGroups() map[int64]int64 {
	cheaper := l.DiscountMinorUnits % int64(l.Quantity)
	groups := map[int64]int64{cheaper: int64(l.Quantity) - cheaper}
	if cheaper > 0 {
		groups[0] = cheaper
	}
	return groups
}

// partsOf are the parts of the price of the k-th ticket of the line, with a share for each tax of the list price; nil when they are not known.
func (l Line) partsOf(k int64) *PriceParts {
	list, price := l.priceParts(), l.ticketPrice(k)
	if list == nil || price == l.UnitPriceMinorUnits {
		return list
	}
	parts, left := &PriceParts{}, price
	for _, t := range list.Taxes {
		t.MinorUnits = min(roundedShare(t.MinorUnits, l.UnitPriceMinorUnits, price), left)
		left -= t.MinorUnits
		parts.Taxes = append(parts.Taxes, t)
	}
	parts.ApplicationFeeMinorUnits = min(list.ApplicationFeeMinorUnits, left)
	return parts
}

// CheckPromotionUses checks how many orders with its code the buyer holds or has bought, this one included.
//
// Reasons: PROMOTION_CODE_USED_UP.
func (o *Order) CheckPromotionUses(orders int64) error {
	if most := int64(o.Promotion.BuyerOrderLimit); most > 0 && orders > most {
		return &Refusal{Reason: ReasonPromotionUsedUp, Detail: fmt.Sprintf("one mail address may use the promotion code for at most %d orders", most)}
	}
	return nil
}
