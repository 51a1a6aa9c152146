package order

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
)

// BuyerLimits are how many tickets one mail address may hold or own.
type BuyerLimits struct {
	Event    int32            // of the event; 0: no limit
	Variants map[string]int32 // of variants by their id; absent: no limit
}

// None says whether nothing is limited.
func (l BuyerLimits) None() bool { return l.Event == 0 && len(l.Variants) == 0 }

// buyerLimits are the limits of an event and of those of its variants that are bought.
func buyerLimits(e Event, offers []Offer) BuyerLimits {
	limits := BuyerLimits{Event: e.BuyerTicketLimit}
	for _, v := range offers {
		if v.BuyerTicketLimit > 0 {
			if limits.Variants == nil {
				limits.Variants = map[string]int32{}
			}
			limits.Variants[v.VariantID] = v.BuyerTicketLimit
		}
	}
	return limits
}

// LimitBuyer sets the limits that the order is checked against, for one that was not quoted now.
func (o *Order) LimitBuyer(e Event, offers []Offer) { o.BuyerLimits = buyerLimits(e, offers) }

// BuyerKey names the buyer of an event by the mail address, upper and lower case being the same. Addresses that only reach the same
// person, such as those with a tag, are others.
func (o *Order) BuyerKey() int64 {
	sum := sha256.Sum256([]byte(o.EventID + "/" + strings.ToLower(string(o.BuyerEmail))))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// CheckBuyer checks what the buyer has, by variant and this order included: tickets that are held, and tickets that were bought and are
// not void.
//
// Reasons: BUYER_TICKET_LIMIT.
func (o *Order) CheckBuyer(tickets map[string]int64) error {
	var all int64
	for _, n := range tickets {
		all += n
	}
	if limit := int64(o.BuyerLimits.Event); limit > 0 && all > limit {
		return o.overLimit("of this event", all, limit, int64(o.TicketCount()))
	}
	for _, l := range o.Lines {
		if limit := int64(o.BuyerLimits.Variants[l.VariantID]); limit > 0 && tickets[l.VariantID] > limit {
			return o.overLimit("of "+l.VariantName, tickets[l.VariantID], limit, int64(l.Quantity))
		}
	}
	return nil
}

func (o *Order) overLimit(of string, all, limit, wanted int64) error {
	return &Refusal{
		Reason: ReasonBuyerTicketLimit,
		Detail: fmt.Sprintf("one mail address may hold or own at most %d tickets %s; this one has %d already and wants %d more", limit, of, all-wanted, wanted),
	}
}

// CheckOpenHolds checks how many unpaid orders of the event the buyer has open, this one included. most is 0 for no limit.
//
// Reasons: BUYER_HOLD_LIMIT.
func CheckOpenHolds(open, most int) error {
	if most <= 0 || open <= most {
		return nil
	}
	return &Refusal{
		Reason: ReasonBuyerHoldLimit,
		Detail: fmt.Sprintf("one mail address may have at most %d unpaid orders of an event open; pay or cancel one of them, or wait until one has expired", most),
	}
}

// CheckNetworkHolds checks how many unpaid orders the callers of one network have open, the new one included. most is 0 for no limit.
//
// Reasons: OPEN_HOLDS_LIMIT.
func CheckNetworkHolds(ofNetwork, most int) error {
	if most <= 0 || ofNetwork <= most {
		return nil
	}
	return &Refusal{
		Reason: ReasonOpenHoldsLimit,
		Detail: fmt.Sprintf("callers of one network may have at most %d unpaid orders open; pay or cancel one of them, or wait until one has expired", most),
	}
}
