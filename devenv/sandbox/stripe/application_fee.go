package stripe

const (
	kindApplicationFee = "application_fee"
	kindFeeRefund      = "fee_refund"
	// sandboxApplication is the platform as connected accounts see it.
	sandboxApplication = "ca_SandboxPlatform00000000000001"
)

// ApplicationFee is the v1 resource: what the platform keeps of a connected account's charge, in minor units. It belongs to
// the platform, its charge to the account.
type ApplicationFee struct {
	ID                     string        `json:"id"`
	Object                 string        `json:"object"`
	Account                ref           `json:"account"`
	Amount                 int64         `json:"amount"`
	AmountRefunded         int64         `json:"amount_refunded"`
	Application            ref           `json:"application"`
	BalanceTransaction     ref           `json:"balance_transaction"`
	Charge                 ref           `json:"charge"`
	Created                int64         `json:"created"`
	Currency               string        `json:"currency"`
	Livemode               bool          `json:"livemode"`
	OriginatingTransaction ref           `json:"originating_transaction"`
	Refunded               bool          `json:"refunded"`
	Refunds                feeRefundList `json:"refunds"`
}

type feeRefundList struct {
	Object     string       `json:"object"`
	Data       []*FeeRefund `json:"data"`
	HasMore    bool         `json:"has_more"`
	TotalCount int          `json:"total_count"`
	URL        string       `json:"url"`
}

// FeeRefund is the v1 resource: part of an application fee given back to the account.
type FeeRefund struct {
	ID                 string            `json:"id"`
	Object             string            `json:"object"`
	Amount             int64             `json:"amount"`
	BalanceTransaction ref               `json:"balance_transaction"`
	Created            int64             `json:"created"`
	Currency           string            `json:"currency"`
	Fee                ref               `json:"fee"`
	Metadata           map[string]string `json:"metadata"`
}

func (fee *ApplicationFee) objectID() string { return fee.ID }
func (fee *ApplicationFee) kind() string     { return kindApplicationFee }
func (fee *ApplicationFee) clone() object    { return fee.copy() }
func (fee *ApplicationFee) createdAt() int64 { return fee.Created }

func (fee *ApplicationFee) copy() *ApplicationFee { c := *fee; return &c }

func (fee *ApplicationFee) expandable(name string) *ref {
	switch name {
	case "account":
		return &fee.Account
	case "balance_transaction":
		return &fee.BalanceTransaction
	case "charge":
		return &fee.Charge
	case "originating_transaction":
		return &fee.OriginatingTransaction
	}
	return nil
}

func (fr *FeeRefund) objectID() string { return fr.ID }
func (fr *FeeRefund) kind() string     { return kindFeeRefund }
func (fr *FeeRefund) clone() object    { c := *fr; return &c }
func (fr *FeeRefund) createdAt() int64 { return fr.Created }

func (fr *FeeRefund) expandable(name string) *ref {
	switch name {
	case "balance_transaction":
		return &fr.BalanceTransaction
	case "fee":
		return &fr.Fee
	}
	return nil
}

// checkConnect refuses fees and transfers that nobody could receive.
func (c *change) checkConnect(pi *PaymentIntent) *apiError {
	if pi.TransferData != nil {
		if _, ok := find[*Account](c.store, "", pi.TransferData.Destination); !ok || c.account != "" {
			return missing("destination", pi.TransferData.Destination, "transfer_data[destination]")
		}
		if amount := pi.TransferData.Amount; amount != nil && *amount > pi.Amount {
			return invalid("transfer_data[amount]", "", "The transfer amount may not be greater than the amount of the PaymentIntent.")
		}
	}
	if pi.ApplicationFeeAmount == nil {
		return nil
	}
	switch {
	case c.account == "" && pi.TransferData == nil:
		return invalid("application_fee_amount", "", "Can only apply an application_fee_amount when the PaymentIntent is attempting a direct payment "+
			"(using an OAuth key or Stripe-Account header) or destination payment (using `transfer_data[destination]`).")
	case *pi.ApplicationFeeAmount > pi.Amount:
		return invalid("application_fee_amount", "", "The application_fee_amount may not be greater than the amount of the PaymentIntent.")
	}
	return nil
}

// share moves the connected account's part and the platform's fee of a captured charge, and notes both on it.
func (c *change) share(ch *Charge) *Charge {
	ch = ch.copy()
	payer := c.account // who pays the fee
	if ch.TransferData != nil {
		payer = ch.TransferData.Destination
		amount := ch.AmountCaptured
		if ch.TransferData.Amount != nil {
			amount = min(*ch.TransferData.Amount, amount)
		}
		tr := &Transfer{
			Amount: amount, Currency: ch.Currency, Destination: refTo(payer), Metadata: map[string]string{},
			SourceTransaction: refTo(ch.ID), TransferGroup: ch.TransferGroup,
		}
		c.transfer(tr)
		ch.Transfer, ch.Destination = tr.ID, refTo(payer)
	}
	if ch.ApplicationFeeAmount == nil || payer == "" {
		return ch
	}
	ours := c.on("")
	fee := &ApplicationFee{
		ID: c.newID("fee_"), Object: kindApplicationFee, Account: refTo(payer), Amount: *ch.ApplicationFeeAmount,
		Application: refTo(sandboxApplication), Charge: refTo(ch.ID), Created: c.unix(), Currency: ch.Currency,
	}
	if ch.TransferData != nil { // the account pays it from what it was transferred
		c.on(payer).move(movement{kind: "application_fee", category: "platform_earning", source: fee.ID, currency: ch.Currency, amount: -fee.Amount})
		fee.OriginatingTransaction = refTo(ch.ID)
	}
	fee.Refunds = feeRefundList{Object: "list", Data: []*FeeRefund{}, URL: "/v1/application_fees/" + fee.ID + "/refunds"}
	fee.BalanceTransaction = refTo(ours.move(movement{
		kind: "application_fee", category: "platform_earning", source: fee.ID, currency: ch.Currency, amount: fee.Amount,
	}).ID)
	ours.save(fee)
	ours.emit("application_fee.created", fee, nil)
	ch.ApplicationFee = refTo(fee.ID)
	return ch
}

// feeShare is the application fee as it stands in the fee details of a direct charge's balance transaction.
func (c *change) feeShare(ch *Charge) []feeDetail {
	if ch.ApplicationFeeAmount == nil || c.account == "" {
		return nil
	}
	return []feeDetail{{
		Amount: *ch.ApplicationFeeAmount, Application: new(sandboxApplication), Currency: ch.Currency,
		Description: "application fee", Type: "application_fee",
	}}
}

// returnFee gives part of an application fee back; booked says that the account gets a balance transaction of its own for it.
func (c *change) returnFee(old *ApplicationFee, amount int64, metadata map[string]string, booked bool) *FeeRefund {
	ours := c.on("")
	fr := &FeeRefund{
		ID: c.newID("fr_"), Object: kindFeeRefund, Amount: amount, Created: c.unix(), Currency: old.Currency, Fee: refTo(old.ID), Metadata: metadata,
	}
	fr.BalanceTransaction = refTo(ours.move(movement{
		kind: "application_fee_refund", category: "platform_earning_refund", source: fr.ID, currency: old.Currency, amount: -amount,
	}).ID)
	if booked {
		c.on(old.Account.id).move(movement{
			kind: "application_fee_refund", category: "platform_earning_refund", source: fr.ID, currency: old.Currency, amount: amount,
		})
	}
	fee := old.copy()
	fee.AmountRefunded += amount
	fee.Refunded = fee.AmountRefunded == fee.Amount
	fee.Refunds.Data = append([]*FeeRefund{fr}, old.Refunds.Data...)
	fee.Refunds.TotalCount++
	ours.save(fr, fee)
	ours.emit("application_fee.refunded", fee, map[string]any{"amount_refunded": old.AmountRefunded, "refunded": old.Refunded})
	return fr
}

func (s *Server) getApplicationFee(r *request) (any, *apiError) {
	r.params.allow()
	return get[*ApplicationFee](s, r, "application fee", "id")
}

func (s *Server) listApplicationFees(r *request) (any, *apiError) {
	p := r.params
	p.allow(append([]string{"charge"}, pageParams...)...)
	return page(s, r, kindApplicationFee, func(fee *ApplicationFee) bool {
		charge := p.text("charge")
		return charge == "" || fee.Charge.id == charge
	})
}

func (s *Server) createFeeRefund(r *request) (any, *apiError) {
	p := r.params
	p.allow("amount", "metadata[*]")
	amount, metadata := p.positive("amount"), p.metadata(nil)
	if p.err != nil {
		return nil, p.err
	}
	return s.change(r, func(c *change) (object, *apiError) {
		id := r.http.PathValue("id")
		fee, ok := find[*ApplicationFee](c.store, c.account, id)
		if !ok {
			return nil, missing("application fee", id, "id")
		}
		left := fee.Amount - fee.AmountRefunded
		if amount == nil {
			amount = &left
		}
		switch {
		case left == 0:
			return nil, refused("", "", "Application fee %s has already been refunded.", id)
		case *amount > left:
			return nil, refused("amount", "", "Refund amount (%s) is greater than fee amount (%s)", formatAmount(*amount, fee.Currency), formatAmount(left, fee.Currency))
		}
		return c.returnFee(fee, *amount, metadata, true), nil
	})
}
