package order

import (
	"slices"
	"time"

	"github.com/dayof/dayof/internal/personal"
)

// Order is an order with all that hangs on it, as one transaction sees it. JSON names are the columns of its row.
type Order struct {
	ID          string        `json:"id"`
	OrganizerID string        `json:"organizer_id"`
	EventID     string        `json:"event_id"`
	Kind        Kind          `json:"kind"`
	BuyerName   personal.Text `json:"buyer_name"`
	BuyerEmail  personal.Text `json:"buyer_email"`
	Language    string        `json:"language"`
	Currency    string        `json:"currency"`
	// BuyerCorrections is how often staff corrected name, address or language.
	BuyerCorrections int32 `json:"buyer_corrections"`
	// TotalMinorUnits is what the buyer pays; fee and taxes are shares of it, frozen with the quote.
	TotalMinorUnits          int64      `json:"total_minor_units"`
	ApplicationFeeMinorUnits int64      `json:"application_fee_minor_units"`
	Taxes                    []TaxShare `json:"taxes"`
	// PromotionCode is the code that took DiscountMinorUnits off, or unlocked what is bought; empty for none. The total is what is left.
	PromotionCodeID    string `json:"promotion_code_id"`
	PromotionCode      string `json:"promotion_code"`
	DiscountMinorUnits int64  `json:"discount_minor_units"`

	Payment    PaymentState    `json:"payment"`
	Fulfilment FulfilmentState `json:"fulfilment"`
	// PayingIntent is the id at Stripe of the intent whose money this order is about; set once, empty before.
	PayingIntent string     `json:"paying_intent"`
	CaptureTime  *time.Time `json:"capture_time"`
	// Attempt numbers the attempts to fulfil the order; who holds another number than the row is fenced off.
	Attempt             int32      `json:"attempt"`
	FulfilmentStartTime *time.Time `json:"fulfilment_start_time"`
	LastError           string     `json:"last_error"`
	CreateTime          time.Time  `json:"create_time"`
	CompleteTime        *time.Time `json:"complete_time"`
	IssuePassesMs       int64      `json:"issue_passes_ms"`
	RecordSaleMs        int64      `json:"record_sale_ms"`
	ReceiptSentTime     *time.Time `json:"receipt_sent_time"`
	Review              ReviewHold `json:"review"`

	Lines    []Line          `json:"-"`
	Hold     Hold            `json:"-"`
	Tickets  []Ticket        `json:"-"` // by position; none before payment
	Intents  []PaymentIntent `json:"-"` // by number; the last one is the current one; none of a free order
	Refunds  []Refund        `json:"-"` // by time
	Disputes []Dispute       `json:"-"` // by time
	Funds    []DisputeFunds  `json:"-"` // of all disputes
	Warnings []FraudWarning  `json:"-"`
	Reviews  []Review        `json:"-"`
	// Transfers are of all tickets, by time.
	Transfers []Transfer `json:"-"`

	// SeatsReturnUntil is when seats of void tickets stop to return to sale; nil when they never do. It and the schedule are the event's
	// as of the load.
	SeatsReturnUntil *time.Time `json:"-"`
	Schedule         Schedule   `json:"-"`
	// WaitingRoomNumber is the place in the event's waiting room that a new order is of; nil for none.
	WaitingRoomNumber *int64 `json:"-"`
	// TransferTerms are the event's, too.
	TransferTerms TransferTerms `json:"-"`
	// Promotion is the code that the order was quoted with, nil for none; it is not stored.
	Promotion *Promotion `json:"-"`
	// BuyerLimits are what the order was checked against when it took stock; they are not stored.
	BuyerLimits BuyerLimits `json:"-"`
	// HoldDue, HoldOverdue and FulfillingFor are as of the load, by the database's clock: no reader's clock ends a hold or an attempt.
	HoldDue       bool          `json:"-"`
	HoldOverdue   time.Duration `json:"-"` // since the hold's time, negative before
	FulfillingFor time.Duration `json:"-"`
}

// Line is one kind of ticket in an order, as it was quoted.
type Line struct {
	Position            int32    `json:"position"`
	VariantID           string   `json:"variant_id"`
	VariantVersion      int32    `json:"variant_version"`
	ProductName         string   `json:"product_name"`
	VariantName         string   `json:"variant_name"`
	Quantity            int32    `json:"quantity"`
	UnitPriceMinorUnits int64    `json:"unit_price_minor_units"` // without a discount
	DiscountMinorUnits  int64    `json:"discount_minor_units"`   // off all tickets of the line together
	SnapshotSchema      int32    `json:"snapshot_schema"`
	Snapshot            Document `json:"snapshot"`
	// Seats are those of its tickets, in their order; none for general admission.
	Seats []Seat `json:"seats"`
	// Seated says of a new line that the best seats are to be found for it; it is not stored.
	Seated bool `json:"-"`
}

// eventOver says whether the event has ended or is canceled, so that nothing of it is sold any more.
func (o *Order) eventOver(now time.Time) bool {
	return o.Schedule.Canceled() || !now.Before(o.Schedule.EndTime)
}

// clone returns a copy whose rows may be changed without changing o's.
func (o Order) clone() Order {
	o.Tickets, o.Intents, o.Refunds = slices.Clone(o.Tickets), slices.Clone(o.Intents), slices.Clone(o.Refunds)
	o.Disputes, o.Funds = slices.Clone(o.Disputes), slices.Clone(o.Funds)
	o.Warnings, o.Reviews = slices.Clone(o.Warnings), slices.Clone(o.Reviews)
	o.Transfers = slices.Clone(o.Transfers)
	return o
}

// StripeAccount is the account that the order is sold on; empty for the platform's own, and where nothing is to be paid.
func (o *Order) StripeAccount() string {
	if len(o.Intents) == 0 {
		return ""
	}
	return o.Intents[0].StripeAccount
}

// TicketCount is the number of tickets that the lines add up to.
func (o *Order) TicketCount() int {
	n := 0
	for _, l := range o.Lines {
		n += int(l.Quantity)
	}
	return n
}

// StockLines returns the lines in the order in which rows of stock are locked, so that two orders cannot block each other.
func (o *Order) StockLines() []Line {
	return slices.SortedFunc(slices.Values(o.Lines), func(a, b Line) int {
		if a.VariantID < b.VariantID {
			return -1
		}
		return 1
	})
}

// Intent returns the intent of that id at Stripe on that account; nil if the order has none.
func (o *Order) Intent(account, stripeID string) *PaymentIntent {
	return findIntent(o.Intents, func(p PaymentIntent) bool {
		return p.StripeAccount == account && p.StripeID == stripeID && stripeID != ""
	})
}

// IntentByStripeID returns the intent of that id at Stripe, on whichever account; nil if the order has none.
func (o *Order) IntentByStripeID(stripeID string) *PaymentIntent {
	return findIntent(o.Intents, func(p PaymentIntent) bool { return p.StripeID == stripeID && stripeID != "" })
}

// IntentByID returns the intent of that id of ours; nil if the order has none.
func (o *Order) IntentByID(id string) *PaymentIntent {
	return findIntent(o.Intents, func(p PaymentIntent) bool { return p.ID == id })
}

// Paying returns the intent whose money the order is about; nil before payment.
func (o *Order) Paying() *PaymentIntent {
	if o.PayingIntent == "" {
		return nil
	}
	p := o.IntentByStripeID(o.PayingIntent)
	if p == nil {
		panic("order " + o.ID + " is paid by an intent that is not its own")
	}
	return p
}

func findIntent(intents []PaymentIntent, is func(PaymentIntent) bool) *PaymentIntent {
	if i := slices.IndexFunc(intents, is); i >= 0 {
		return &intents[i]
	}
	return nil
}

// Refund returns the refund of that id of ours; nil if the order has none.
func (o *Order) Refund(id string) *Refund {
	if i := slices.IndexFunc(o.Refunds, func(r Refund) bool { return r.ID == id }); i >= 0 {
		return &o.Refunds[i]
	}
	return nil
}

// Dispute returns the dispute of that id at Stripe; nil if the order has none.
func (o *Order) Dispute(id string) *Dispute {
	if i := slices.IndexFunc(o.Disputes, func(d Dispute) bool { return d.ID == id }); i >= 0 {
		return &o.Disputes[i]
	}
	return nil
}

// Ticket returns the ticket of that id; nil if the order has none.
func (o *Order) Ticket(id string) *Ticket {
	if i := slices.IndexFunc(o.Tickets, func(t Ticket) bool { return t.ID == id }); i >= 0 {
		return &o.Tickets[i]
	}
	return nil
}
