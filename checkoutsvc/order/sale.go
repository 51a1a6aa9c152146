package order

import (
	"slices"
	"time"
)

// Publication says who sees an event and whether it is on sale.
type Publication string

// How an event may be published. A draft is published, a published event archived, an archived one published again.
const (
	EventDraft     Publication = "draft"     // staff prepare it
	EventPublished Publication = "published" // it is on sale
	EventArchived  Publication = "archived"  // it is not sold any more
)

// words says it in a sentence.
func (p Publication) words() string {
	if p == EventDraft {
		return "a draft"
	}
	return string(p)
}

// VariantState says who sees a variant and whether it is on sale.
type VariantState string

// The states of a variant. Each may follow each.
const (
	VariantOnSale   VariantState = "on_sale"  // everybody sees and buys it
	VariantHidden   VariantState = "hidden"   // who knows its id sees and buys it
	VariantArchived VariantState = "archived" // it is not sold any more
)

// closed says whether the variant is not sold any more. The end of its sale is the first instant at which it is not.
func (v Offer) closed(now time.Time) bool {
	return v.State == VariantArchived || v.SaleEndTime != nil && !now.Before(*v.SaleEndTime)
}

// SaleClosed says whether something of an order is not sold any more, so that money that comes after the hold's end buys nothing:
// it is for who has found that such money wants stock ([WantsStock]). That the event is over is known by then.
func SaleClosed(e Event, offers []Offer, now time.Time) bool {
	return e.Publication != EventPublished || slices.ContainsFunc(offers, func(v Offer) bool { return v.closed(now) })
}
