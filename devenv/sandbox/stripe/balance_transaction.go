package stripe

import "time"

const kindBalanceTransaction = "balance_transaction"

// BalanceTransaction is the v1 resource: one movement of an account's balance. amount - fee = net, in minor units.
type BalanceTransaction struct {
	ID                string      `json:"id"`
	Object            string      `json:"object"`
	Amount            int64       `json:"amount"`
	AvailableOn       int64       `json:"available_on"`
	Created           int64       `json:"created"`
	Currency          string      `json:"currency"`
	Description       *string     `json:"description"`
	ExchangeRate      *float64    `json:"exchange_rate"`
	Fee               int64       `json:"fee"`
	FeeDetails        []feeDetail `json:"fee_details"`
	Net               int64       `json:"net"`
	ReportingCategory string      `json:"reporting_category"`
	Source            ref         `json:"source"`
	Status            string      `json:"status"`
	Type              string      `json:"type"`
}

type feeDetail struct {
	Amount      int64   `json:"amount"`
	Application *string `json:"application"`
	Currency    string  `json:"currency"`
	Description string  `json:"description"`
	Type        string  `json:"type"`
}

func (t *BalanceTransaction) objectID() string { return t.ID }
func (t *BalanceTransaction) kind() string     { return kindBalanceTransaction }
func (t *BalanceTransaction) clone() object    { c := *t; return &c }
func (t *BalanceTransaction) createdAt() int64 { return t.Created }

func (t *BalanceTransaction) expandable(name string) *ref {
	if name == "source" {
		return &t.Source
	}
	return nil
}

// at returns the transaction as it reads at a time: pending turns to available by the clock alone.
func (t *BalanceTransaction) at(now time.Time) *BalanceTransaction {
	if t.Status == "pending" && t.AvailableOn <= now.Unix() {
		c := *t
		c.Status = "available"
		return &c
	}
	return t
}

// movement describes a balance transaction to make. Amount is signed: negative leaves the balance.
type movement struct {
	kind, category, source string
	currency               string
	amount                 int64
	description            *string
	fees                   []feeDetail
	immediate              bool // available at once
	conversion             conversion
}

// move records a movement on the balance of the change's account.
func (c *change) move(m movement) *BalanceTransaction { return c.moveAs(c.newID("txn_"), m) }

// moveAs is move under a given id.
func (c *change) moveAs(id string, m movement) *BalanceTransaction {
	m = m.converted()
	t := &BalanceTransaction{
		ID: id, Object: kindBalanceTransaction, Amount: m.amount, Created: c.unix(), Currency: m.currency, ExchangeRate: m.conversion.rate(),
		Description: m.description, FeeDetails: m.fees, ReportingCategory: m.category, Source: refTo(m.source),
		Status: "pending", Type: m.kind, AvailableOn: c.unix() + c.s.settings.AvailableDelaySeconds,
	}
	if m.fees == nil {
		t.FeeDetails = []feeDetail{}
	}
	for _, f := range m.fees {
		t.Fee += f.Amount
	}
	t.Net = t.Amount - t.Fee
	if m.immediate {
		t.AvailableOn, t.Status = t.Created, "available"
	}
	c.save(t)
	return t
}

// book shares a captured charge with a connected account where that was asked for, and gives it its balance transaction, unless fees arrive later by charge.updated.
func (c *change) book(ch *Charge, pi *PaymentIntent, in instrument) *Charge {
	ch = c.share(ch)
	if c.s.settings.AsyncFees || pi.CaptureMethod == "automatic_async" {
		c.s.deliverer.later(c.s.settings.AsyncFeesDelayMS, func() { c.s.bookLate(ch.ID) })
		return ch
	}
	ch = ch.copy()
	ch.BalanceTransaction = refTo(c.moveCharge(ch, in).ID)
	return ch
}

// moveCharge books the captured amount less Stripe's fee and, for a direct charge, the platform's.
func (c *change) moveCharge(ch *Charge, in instrument) *BalanceTransaction {
	fees := []feeDetail{{
		Amount: c.s.settings.fee(ch.AmountCaptured), Currency: ch.Currency, Description: "Stripe processing fees", Type: "stripe_fee",
	}}
	fees = append(fees, c.feeShare(ch)...)
	return c.move(movement{
		kind: "charge", category: "charge", source: ch.ID, currency: ch.Currency, amount: ch.AmountCaptured,
		description: ch.Description, fees: fees, immediate: in.bypass, conversion: c.settlement(ch.Currency),
	})
}

// bookLate gives a charge the balance transaction it did not have at first, and sends charge.updated.
func (s *Server) bookLate(chargeID string) {
	r := &request{}
	s.mu.Lock()
	c := &change{store: s.store, s: s, request: r, now: s.clock.Now()}
	if e := s.store.entries[chargeID]; e != nil {
		if ch, ok := e.obj.(*Charge); ok && ch.BalanceTransaction.id == "" {
			c.account = e.account
			method, _ := find[*PaymentMethod](c.store, c.account, ch.PaymentMethod)
			ch = ch.copy()
			ch.BalanceTransaction = refTo(c.moveCharge(ch, instrumentOf(method)).ID)
			c.save(ch)
			c.emit("charge.updated", ch, map[string]any{"balance_transaction": nil})
		}
	}
	s.mu.Unlock()
	s.settle(r, nil)
}

func (s *Server) getBalanceTransaction(r *request) (any, *apiError) {
	r.params.allow()
	return get[*BalanceTransaction](s, r, "balance transaction", "id")
}

func (s *Server) listBalanceTransactions(r *request) (any, *apiError) {
	p := r.params
	p.allow(append([]string{"currency", "payout", "source", "type"}, pageParams...)...)
	parent := p.text("source")
	if payout := p.text("payout"); payout != "" {
		if parent != "" {
			return nil, invalid("payout", "", "You may only specify one of these parameters: payout, source.")
		}
		parent = payoutItems(payout)
	}
	return pageOf(s, r, kindBalanceTransaction, parent, func(t *BalanceTransaction) bool {
		currency, wanted := p.text("currency"), p.text("type")
		return (currency == "" || t.Currency == currency) && (wanted == "" || t.Type == wanted)
	})
}
