package order

import "github.com/dayof/dayof/internal/personal"

// correctionsMax is how often the buyer of an order is corrected; the database has the same limit.
const correctionsMax = 5

// BuyerCorrected is the fact that staff say who the buyer is.
type BuyerCorrected struct {
	Name     personal.Text
	Email    personal.Text
	Language string
	MailID   string // of the receipt to the buyer as of now
	Note     string
	By       string // who says so, for the timeline
}

// observe writes the buyer. Passes of tickets that show the buyer's name follow, and the receipt is mailed again. The buyer of before changes
// nothing.
//
// Reasons: ORDER_NOT_COMPLETED, BUYER_CORRECTION_LIMIT.
func (f BuyerCorrected) observe(d *decision) error {
	o := &d.order
	switch {
	case o.Fulfilment != FulfilmentCompleted: // passes that are being issued would show the name of before
		return &Refusal{
			Reason: ReasonOrderNotCompleted,
			Detail: "the buyer is corrected once the order has its tickets; it is " + string(o.Fulfilment),
		}
	case o.BuyerName == f.Name && o.BuyerEmail == f.Email && o.Language == f.Language:
		return nil
	case o.BuyerCorrections >= correctionsMax:
		return &Refusal{Reason: ReasonBuyerCorrectionLimit, Detail: "the buyer of the order was corrected as often as may be"}
	}
	changed := ""
	if o.BuyerName != f.Name {
		changed += "name, "
		d.nameBuyersPasses()
	}
	if o.BuyerEmail != f.Email {
		changed += "address, "
	}
	if o.Language != f.Language {
		changed += "language, "
	}
	key := o.BuyerKey()
	o.BuyerName, o.BuyerEmail, o.Language = f.Name, f.Email, f.Language
	o.BuyerCorrections++
	o.ReceiptSentTime = nil
	d.changes.Buyer, d.changes.BuyerKey = true, o.BuyerKey() != key
	d.noteBy(f.By, "buyer_corrected", changed[:len(changed)-2]+": "+f.Note)
	d.enqueue(WorkSendReceipt, f.MailID)
	return nil
}

// nameBuyersPasses has the passes that show the buyer's name follow it. A pass that is being issued follows once it is, see PassIssued.
func (d *decision) nameBuyersPasses() {
	for i := range d.order.Tickets {
		t := &d.order.Tickets[i]
		if t.State == TicketVoid || t.HolderName != "" {
			continue
		}
		t.HolderNumber++
		if t.PassSerial != "" {
			d.enqueue(WorkNamePass, t.ID)
		}
	}
}
