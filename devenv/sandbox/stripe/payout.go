package stripe

const kindPayout = "payout"

// States of a payout.
const (
	payoutPending   = "pending"
	payoutInTransit = "in_transit"
	payoutPaid      = "paid"
	payoutFailed    = "failed"
	payoutCanceled  = "canceled"
)

// Payout is the v1 resource, with the fields of version 2023-10-16: money on its way to a bank account, in minor units.
// Paid is not final: the bank may send it back days later.
type Payout struct {
	ID                        string            `json:"id"`
	Object                    string            `json:"object"`
	Amount                    int64             `json:"amount"`
	ArrivalDate               int64             `json:"arrival_date"`
	Automatic                 bool              `json:"automatic"`
	BalanceTransaction        ref               `json:"balance_transaction"`
	Created                   int64             `json:"created"`
	Currency                  string            `json:"currency"`
	Description               *string           `json:"description"`
	Destination               ref               `json:"destination"`
	FailureBalanceTransaction ref               `json:"failure_balance_transaction"`
	FailureCode               *string           `json:"failure_code"`
	FailureMessage            *string           `json:"failure_message"`
	Livemode                  bool              `json:"livemode"`
	Metadata                  map[string]string `json:"metadata"`
	Method                    string            `json:"method"`
	OriginalPayout            ref               `json:"original_payout"`
	ReconciliationStatus      string            `json:"reconciliation_status"`
	ReversedBy                ref               `json:"reversed_by"`
	SourceType                string            `json:"source_type"`
	StatementDescriptor       *string           `json:"statement_descriptor"`
	Status                    string            `json:"status"`
	Type                      string            `json:"type"`
}

func (po *Payout) objectID() string { return po.ID }
func (po *Payout) kind() string     { return kindPayout }
func (po *Payout) clone() object    { return po.copy() }
func (po *Payout) createdAt() int64 { return po.Created }

func (po *Payout) copy() *Payout { c := *po; return &c }

func (po *Payout) expandable(name string) *ref {
	switch name {
	case "balance_transaction":
		return &po.BalanceTransaction
	case "failure_balance_transaction":
		return &po.FailureBalanceTransaction
	case "destination":
		return &po.Destination
	case "original_payout":
		return &po.OriginalPayout
	case "reversed_by":
		return &po.ReversedBy
	}
	return nil
}

func (s *Server) createPayout(r *request) (any, *apiError) {
	p := r.params
	p.allow("amount", "currency", "description", "metadata[*]", "statement_descriptor", "method", "source_type", "destination")
	p.unsupported("method", "source_type", "destination")
	p.required("amount")
	amount := p.positive("amount")
	currency, e := checkCurrency(p.required("currency"))
	p.fail(e)
	metadata := p.metadata(nil)
	if p.err != nil {
		return nil, p.err
	}
	return s.change(r, func(c *change) (object, *apiError) {
		if available := c.available(currency); *amount > available {
			return nil, insufficient()
		}
		po := c.newPayout(*amount, currency)
		po.Description, po.StatementDescriptor, po.Metadata = p.optional("description"), p.optional("statement_descriptor"), metadata
		po.ReconciliationStatus = "not_applicable"
		c.send(po)
		return po, nil
	})
}

// insufficient refuses to move money that is not available yet.
func insufficient() *apiError {
	return refused("", "balance_insufficient", "You have insufficient available funds in your Stripe account. Try adding funds directly to your "+
		"available balance by creating Charges using the 4000000000000077 test card. See: https://stripe.com/docs/testing#available-balance")
}

func (c *change) newPayout(amount int64, currency string) *Payout {
	return &Payout{
		ID: c.newID("po_"), Object: kindPayout, Amount: amount, ArrivalDate: c.unix() + 24*60*60, Created: c.unix(), Currency: currency,
		Destination: refTo("ba_3SandboxBankAccount00001"), Metadata: map[string]string{}, Method: "standard",
		SourceType: "card", Status: payoutPending, Type: "bank_account",
	}
}

// send takes the payout's amount off the balance and sends its event.
func (c *change) send(po *Payout) {
	t := c.move(movement{
		kind: "payout", category: "payout", source: po.ID, currency: po.Currency, amount: -po.Amount, description: new("STRIPE PAYOUT"), immediate: true,
	})
	if po.Automatic {
		c.link(t.ID, po.ID)
	}
	po.BalanceTransaction = refTo(t.ID)
	c.save(po)
	c.emit("payout.created", po, nil)
}

// sweep pays out everything of a currency that is available and in no payout yet, as the daily automatic payout does. What is
// below zero is debited from the bank.
func (c *change) sweep(currency string) (*Payout, *apiError) {
	var taken []string
	var amount int64
	for _, e := range c.lists[listKey(c.account, kindBalanceTransaction)] {
		t, ok := e.obj.(*BalanceTransaction)
		if !ok || t.Currency != currency || e.linked != "" || t.at(c.now).Status != "available" {
			continue
		}
		taken = append(taken, t.ID)
		amount += t.Net
	}
	if amount == 0 {
		return nil, insufficient()
	}
	po := c.newPayout(amount, currency)
	po.Automatic, po.Description, po.ReconciliationStatus = true, new("STRIPE PAYOUT"), "in_progress"
	for _, id := range taken {
		c.link(id, po.ID)
	}
	c.send(po)
	return po, nil
}

func (s *Server) getPayout(r *request) (any, *apiError) {
	r.params.allow()
	return get[*Payout](s, r, kindPayout, "id")
}

func (s *Server) listPayouts(r *request) (any, *apiError) {
	p := r.params
	p.allow(append([]string{"status", "destination", "arrival_date"}, pageParams...)...)
	p.unsupported("arrival_date")
	return page(s, r, kindPayout, func(po *Payout) bool {
		status, destination := p.text("status"), p.text("destination")
		return (status == "" || po.Status == status) && (destination == "" || po.Destination.id == destination)
	})
}

func (s *Server) cancelPayout(r *request) (any, *apiError) {
	r.params.allow()
	if r.params.err != nil {
		return nil, r.params.err
	}
	return s.change(r, func(c *change) (object, *apiError) {
		id := r.http.PathValue("id")
		old, ok := find[*Payout](c.store, c.account, id)
		if !ok {
			return nil, missing(kindPayout, id, "id")
		}
		if old.Status != payoutPending || old.Automatic {
			return nil, refused("", "", "Payouts can only be canceled while they are pending and were not made automatically; %s is %s.", id, old.Status)
		}
		po := old.copy()
		po.Status = payoutCanceled
		c.move(movement{kind: "payout_cancel", category: "payout", source: po.ID, currency: po.Currency, amount: po.Amount, immediate: true})
		c.save(po)
		c.emit("payout.canceled", po, nil)
		return po, nil
	})
}

// transit, pay and bounce are what the banks do to a payout.
func (c *change) transit(old *Payout) (*Payout, *apiError) {
	if old.Status != payoutPending {
		return nil, refused("", "", "Payout %s is %s: only a pending payout can be sent.", old.ID, old.Status)
	}
	po := old.copy()
	po.Status = payoutInTransit
	c.save(po)
	c.emit("payout.updated", po, map[string]any{"status": old.Status})
	return po, nil
}

func (c *change) pay(old *Payout) (*Payout, *apiError) {
	if old.Status != payoutPending && old.Status != payoutInTransit {
		return nil, refused("", "", "Payout %s is %s: it cannot be paid any more.", old.ID, old.Status)
	}
	po := old.copy()
	po.Status = payoutPaid
	c.save(po)
	c.emit("payout.paid", po, nil)
	if po.Automatic {
		po = po.copy()
		po.ReconciliationStatus = "completed"
		c.save(po)
		c.emit("payout.reconciliation_completed", po, nil)
	}
	return po, nil
}

func (c *change) bounce(old *Payout, code string) (*Payout, *apiError) {
	if old.Status == payoutFailed || old.Status == payoutCanceled {
		return nil, refused("", "", "Payout %s is %s: it cannot fail any more.", old.ID, old.Status)
	}
	po := old.copy()
	po.Status, po.FailureCode = payoutFailed, new(code)
	po.FailureMessage = new("The bank could not process this payout.")
	po.FailureBalanceTransaction = refTo(c.move(movement{
		kind: "payout_failure", category: "payout_reversal", source: po.ID, currency: po.Currency, amount: po.Amount,
		description: new("PAYOUT FAILURE"), immediate: true,
	}).ID)
	c.save(po)
	c.emit("payout.failed", po, nil)
	return po, nil
}
