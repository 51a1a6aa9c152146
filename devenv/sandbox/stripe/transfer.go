package stripe

const (
	kindTransfer         = "transfer"
	kindTransferReversal = "transfer_reversal"
)

// Transfer is the v1 resource, with the fields of version 2023-10-16: money from the platform to a connected account, in
// minor units. To the account it is a payment of its own (destination_payment).
type Transfer struct {
	ID                 string            `json:"id"`
	Object             string            `json:"object"`
	Amount             int64             `json:"amount"`
	AmountReversed     int64             `json:"amount_reversed"`
	BalanceTransaction ref               `json:"balance_transaction"`
	Created            int64             `json:"created"`
	Currency           string            `json:"currency"`
	Description        *string           `json:"description"`
	Destination        ref               `json:"destination"`
	DestinationPayment ref               `json:"destination_payment"`
	Livemode           bool              `json:"livemode"`
	Metadata           map[string]string `json:"metadata"`
	Reversals          reversalList      `json:"reversals"`
	Reversed           bool              `json:"reversed"` // whole
	SourceTransaction  ref               `json:"source_transaction"`
	SourceType         string            `json:"source_type"`
	TransferGroup      *string           `json:"transfer_group"`
}

// reversalList is the list of reversals inside a transfer, newest first.
type reversalList struct {
	Object     string              `json:"object"`
	Data       []*TransferReversal `json:"data"`
	HasMore    bool                `json:"has_more"`
	TotalCount int                 `json:"total_count"`
	URL        string              `json:"url"`
}

// TransferReversal is the v1 resource: part of a transfer taken back.
type TransferReversal struct {
	ID                       string            `json:"id"`
	Object                   string            `json:"object"`
	Amount                   int64             `json:"amount"`
	BalanceTransaction       ref               `json:"balance_transaction"`
	Created                  int64             `json:"created"`
	Currency                 string            `json:"currency"`
	DestinationPaymentRefund ref               `json:"destination_payment_refund"`
	Metadata                 map[string]string `json:"metadata"`
	SourceRefund             ref               `json:"source_refund"`
	Transfer                 ref               `json:"transfer"`
}

func (tr *Transfer) objectID() string { return tr.ID }
func (tr *Transfer) kind() string     { return kindTransfer }
func (tr *Transfer) clone() object    { return tr.copy() }
func (tr *Transfer) createdAt() int64 { return tr.Created }

func (tr *Transfer) copy() *Transfer { c := *tr; return &c }

func (tr *Transfer) expandable(name string) *ref {
	switch name {
	case "balance_transaction":
		return &tr.BalanceTransaction
	case "destination":
		return &tr.Destination
	case "destination_payment":
		return &tr.DestinationPayment
	case "source_transaction":
		return &tr.SourceTransaction
	}
	return nil
}

func (rv *TransferReversal) objectID() string { return rv.ID }
func (rv *TransferReversal) kind() string     { return kindTransferReversal }
func (rv *TransferReversal) clone() object    { c := *rv; return &c }
func (rv *TransferReversal) createdAt() int64 { return rv.Created }

func (rv *TransferReversal) expandable(name string) *ref {
	switch name {
	case "balance_transaction":
		return &rv.BalanceTransaction
	case "source_refund":
		return &rv.SourceRefund
	case "transfer":
		return &rv.Transfer
	}
	return nil
}

func (s *Server) createTransfer(r *request) (any, *apiError) {
	p := r.params
	p.allow("amount", "currency", "destination", "description", "metadata[*]", "source_transaction", "transfer_group", "source_type")
	p.unsupported("source_type")
	destination := p.required("destination")
	p.required("amount")
	amount := p.positive("amount")
	currency, e := checkCurrency(p.required("currency"))
	p.fail(e)
	metadata := p.metadata(nil)
	if p.err != nil {
		return nil, p.err
	}
	return s.change(r, func(c *change) (object, *apiError) {
		if _, ok := find[*Account](c.store, "", destination); !ok {
			return nil, missing("destination", destination, "destination")
		}
		tr := &Transfer{
			Amount: *amount, Currency: currency, Description: p.optional("description"), Destination: refTo(destination),
			Metadata: metadata, TransferGroup: p.optional("transfer_group"),
		}
		if source := p.text("source_transaction"); source != "" {
			if e := c.checkSource(source, tr); e != nil {
				return nil, e
			}
		} else if *amount > c.available(currency) {
			return nil, insufficient()
		}
		c.transfer(tr)
		return tr, nil
	})
}

// checkSource ties a transfer to a charge: it may be made before the money is available, up to the charge's amount.
func (c *change) checkSource(source string, tr *Transfer) *apiError {
	ch, ok := find[*Charge](c.store, c.account, source)
	if !ok {
		return missing(kindCharge, source, "source_transaction")
	}
	if ch.Currency != tr.Currency {
		return refused("currency", "", "The currency of source_transaction's balance transaction (%s) is different from %s.", ch.Currency, tr.Currency)
	}
	left := ch.AmountCaptured
	for _, other := range childrenOf[*Transfer](c.store, source, kindTransfer) {
		left -= other.Amount - other.AmountReversed
	}
	if tr.Amount > left {
		return refused("amount", "", "Transfers using this transaction as a source must not exceed the source amount of %s. (There is already a transfer using this source, amounting to %s.)",
			formatAmount(ch.AmountCaptured, ch.Currency), formatAmount(ch.AmountCaptured-left, ch.Currency))
	}
	tr.SourceTransaction = refTo(source)
	if tr.TransferGroup == nil {
		tr.TransferGroup = ch.TransferGroup
	}
	return nil
}

// transfer moves the money from the platform's balance to the destination's and sends its event.
func (c *change) transfer(tr *Transfer) {
	tr.ID, tr.Object, tr.Created, tr.SourceType = c.newID("tr_"), kindTransfer, c.unix(), "card"
	tr.Reversals = reversalList{Object: "list", Data: []*TransferReversal{}, URL: "/v1/transfers/" + tr.ID + "/reversals"}
	immediate := tr.SourceTransaction.id == ""
	tr.BalanceTransaction = refTo(c.move(movement{
		kind: "transfer", category: "transfer", source: tr.ID, currency: tr.Currency, amount: -tr.Amount, description: tr.Description, immediate: immediate,
	}).ID)
	theirs := c.on(tr.Destination.id)
	payment := &Charge{
		ID: c.newID("py_"), Object: kindCharge, Amount: tr.Amount, AmountCaptured: tr.Amount, BillingDetails: billingFor(nil), Captured: true,
		Created: c.unix(), Currency: tr.Currency, Description: tr.Description, FraudDetails: emptyObject, Metadata: map[string]string{}, Paid: true,
		SourceTransfer: refTo(tr.ID), Status: chargeSucceeded,
	}
	payment.BalanceTransaction = refTo(theirs.move(movement{
		kind: "payment", category: "charge", source: payment.ID, currency: tr.Currency, amount: tr.Amount, immediate: immediate,
	}).ID)
	theirs.save(payment)
	tr.DestinationPayment = refTo(payment.ID)
	c.save(tr)
	c.emit("transfer.created", tr, nil)
}

func (s *Server) getTransfer(r *request) (any, *apiError) {
	r.params.allow()
	return get[*Transfer](s, r, kindTransfer, "id")
}

func (s *Server) listTransfers(r *request) (any, *apiError) {
	p := r.params
	p.allow(append([]string{"destination", "transfer_group"}, pageParams...)...)
	return page(s, r, kindTransfer, func(tr *Transfer) bool {
		destination, group := p.text("destination"), p.text("transfer_group")
		return (destination == "" || tr.Destination.id == destination) && (group == "" || (tr.TransferGroup != nil && *tr.TransferGroup == group))
	})
}

func (s *Server) updateTransfer(r *request) (any, *apiError) {
	p := r.params
	p.allow("metadata[*]", "description")
	return s.change(r, func(c *change) (object, *apiError) {
		old, e := c.transferOf(r)
		if e != nil {
			return nil, e
		}
		tr, previous := old.copy(), map[string]any{"metadata": old.Metadata}
		tr.Metadata = p.metadata(old.Metadata)
		if p.has("description") {
			previous["description"], tr.Description = old.Description, p.optional("description")
		}
		if p.err != nil {
			return nil, p.err
		}
		c.save(tr)
		c.emit("transfer.updated", tr, previous)
		return tr, nil
	})
}

func (c *change) transferOf(r *request) (*Transfer, *apiError) {
	id := r.http.PathValue("id")
	tr, ok := find[*Transfer](c.store, c.account, id)
	if !ok {
		return nil, missing(kindTransfer, id, "transfer")
	}
	return tr, nil
}

func (s *Server) createReversal(r *request) (any, *apiError) {
	p := r.params
	p.allow("amount", "metadata[*]", "description", "refund_application_fee")
	p.unsupported("refund_application_fee", "description")
	amount, metadata := p.positive("amount"), p.metadata(nil)
	if p.err != nil {
		return nil, p.err
	}
	return s.change(r, func(c *change) (object, *apiError) {
		tr, e := c.transferOf(r)
		if e != nil {
			return nil, e
		}
		left := tr.Amount - tr.AmountReversed
		if amount == nil {
			amount = &left
		}
		switch {
		case left == 0:
			return nil, refused("", "", "Transfer %s has already been reversed.", tr.ID)
		case *amount > left:
			return nil, refused("amount", "", "Reversal amount (%s) is greater than unreversed amount on transfer (%s)",
				formatAmount(*amount, tr.Currency), formatAmount(left, tr.Currency))
		}
		return c.reverse(tr, *amount, metadata, ""), nil
	})
}

// reverse takes part of a transfer back; the connected account's balance may go below zero by it.
func (c *change) reverse(old *Transfer, amount int64, metadata map[string]string, refundID string) *TransferReversal {
	rv := &TransferReversal{
		ID: c.newID("trr_"), Object: kindTransferReversal, Amount: amount, Created: c.unix(), Currency: old.Currency,
		Metadata: metadata, SourceRefund: refTo(refundID), Transfer: refTo(old.ID),
	}
	rv.BalanceTransaction = refTo(c.move(movement{
		kind: "transfer_refund", category: "transfer_reversal", source: rv.ID, currency: old.Currency, amount: amount, immediate: true,
	}).ID)
	theirs := c.on(old.Destination.id)
	theirs.move(movement{kind: "payment_refund", category: "refund", source: old.DestinationPayment.id, currency: old.Currency, amount: -amount, immediate: true})
	if payment, ok := find[*Charge](c.store, theirs.account, old.DestinationPayment.id); ok {
		payment = payment.copy()
		payment.AmountRefunded += amount
		payment.Refunded = payment.AmountRefunded == payment.Amount
		theirs.save(payment)
	}
	tr := old.copy()
	tr.AmountReversed += amount
	tr.Reversed = tr.AmountReversed == tr.Amount
	tr.Reversals.Data = append([]*TransferReversal{rv}, old.Reversals.Data...)
	tr.Reversals.TotalCount++
	c.save(rv, tr)
	c.emit("transfer.reversed", tr, map[string]any{"amount_reversed": old.AmountReversed, "reversed": old.Reversed})
	return rv
}

func (s *Server) getReversal(r *request) (any, *apiError) {
	r.params.allow()
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.http.PathValue("reversal")
	rv, ok := find[*TransferReversal](s.store, r.account, id)
	if !ok || rv.Transfer.id != r.http.PathValue("id") {
		return nil, missing("transfer reversal", id, "id")
	}
	return rv, nil
}

func (s *Server) listReversals(r *request) (any, *apiError) {
	r.params.allow(pageParams...)
	return pageOf(s, r, kindTransferReversal, r.http.PathValue("id"), func(*TransferReversal) bool { return true })
}
