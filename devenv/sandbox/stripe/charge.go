package stripe

import (
	"encoding/json"
	"fmt"
	"maps"
)

const kindCharge = "charge"

// States of a charge.
const (
	chargePending   = "pending"
	chargeSucceeded = "succeeded"
	chargeFailed    = "failed"
)

// Charge is the v1 resource, with the fields of version 2023-10-16: one attempt of an intent. Amounts are in minor units.
type Charge struct {
	ID                        string            `json:"id"`
	Object                    string            `json:"object"`
	Amount                    int64             `json:"amount"`
	AmountCaptured            int64             `json:"amount_captured"`
	AmountRefunded            int64             `json:"amount_refunded"`
	Application               ref               `json:"application"`
	ApplicationFee            ref               `json:"application_fee"`
	ApplicationFeeAmount      *int64            `json:"application_fee_amount"`
	BalanceTransaction        ref               `json:"balance_transaction"`
	BillingDetails            json.RawMessage   `json:"billing_details"`
	CalculatedDescriptor      *string           `json:"calculated_statement_descriptor"`
	Captured                  bool              `json:"captured"`
	Created                   int64             `json:"created"`
	Currency                  string            `json:"currency"`
	Customer                  ref               `json:"customer"`
	Description               *string           `json:"description"`
	Destination               ref               `json:"destination"`
	Dispute                   ref               `json:"dispute"`
	Disputed                  bool              `json:"disputed"`
	FailureBalanceTransaction ref               `json:"failure_balance_transaction"`
	FailureCode               *string           `json:"failure_code"`
	FailureMessage            *string           `json:"failure_message"`
	FraudDetails              json.RawMessage   `json:"fraud_details"`
	Invoice                   ref               `json:"invoice"`
	Livemode                  bool              `json:"livemode"`
	Metadata                  map[string]string `json:"metadata"`
	OnBehalfOf                ref               `json:"on_behalf_of"`
	Order                     json.RawMessage   `json:"order"`
	Outcome                   json.RawMessage   `json:"outcome"`
	Paid                      bool              `json:"paid"`
	PaymentIntent             ref               `json:"payment_intent"`
	PaymentMethod             string            `json:"payment_method"`
	PaymentMethodDetails      json.RawMessage   `json:"payment_method_details"`
	ReceiptEmail              *string           `json:"receipt_email"`
	ReceiptNumber             *string           `json:"receipt_number"`
	ReceiptURL                *string           `json:"receipt_url"`
	Refunded                  bool              `json:"refunded"`
	Review                    ref               `json:"review"`
	Shipping                  json.RawMessage   `json:"shipping"`
	Source                    json.RawMessage   `json:"source"`
	SourceTransfer            ref               `json:"source_transfer"`
	StatementDescriptor       *string           `json:"statement_descriptor"`
	StatementDescriptorSuffix *string           `json:"statement_descriptor_suffix"`
	Status                    string            `json:"status"`
	Transfer                  string            `json:"transfer,omitempty"`
	TransferData              *transferData     `json:"transfer_data"`
	TransferGroup             *string           `json:"transfer_group"`
}

func (ch *Charge) objectID() string { return ch.ID }
func (ch *Charge) kind() string     { return kindCharge }
func (ch *Charge) clone() object    { return ch.copy() }
func (ch *Charge) createdAt() int64 { return ch.Created }

func (ch *Charge) copy() *Charge { c := *ch; return &c }

func (ch *Charge) expandable(name string) *ref {
	switch name {
	case "balance_transaction":
		return &ch.BalanceTransaction
	case "payment_intent":
		return &ch.PaymentIntent
	case "application_fee":
		return &ch.ApplicationFee
	case "dispute":
		return &ch.Dispute
	case "failure_balance_transaction":
		return &ch.FailureBalanceTransaction
	case "customer":
		return &ch.Customer
	case "review":
		return &ch.Review
	case "source_transfer":
		return &ch.SourceTransfer
	}
	return nil
}

// unrefunded is what the buyer can still get back: a released rest of a partial capture is no customer money.
func (ch *Charge) unrefunded() int64 {
	if !ch.Captured || ch.Status != chargeSucceeded {
		return 0
	}
	return ch.Amount - ch.AmountRefunded
}

// newCharge makes the charge of an attempt, before its outcome is known.
func (c *change) newCharge(pi *PaymentIntent, method *PaymentMethod, authenticated bool) *Charge {
	return &Charge{
		ID: c.newID("ch_"), Object: kindCharge, Amount: pi.Amount, ApplicationFeeAmount: pi.ApplicationFeeAmount,
		BillingDetails: billingFor(pi.ReceiptEmail), CalculatedDescriptor: new("DEMO TICKETS"),
		Created: c.unix(), Currency: pi.Currency, Customer: pi.Customer, Description: pi.Description,
		FraudDetails: json.RawMessage(`{}`), Metadata: pi.Metadata, Outcome: json.RawMessage(approvedOutcome),
		PaymentIntent: refTo(pi.ID), PaymentMethod: method.ID, PaymentMethodDetails: methodDetails(method, pi.Amount, authenticated),
		ReceiptEmail: pi.ReceiptEmail, StatementDescriptor: pi.StatementDescriptor,
		StatementDescriptorSuffix: pi.StatementDescriptorSuffix, TransferData: pi.TransferData, TransferGroup: pi.TransferGroup,
	}
}

const approvedOutcome = `{"network_status":"approved_by_network","reason":null,"risk_level":"normal","risk_score":12,` +
	`"seller_message":"Payment complete.","type":"authorized"}`

func declinedOutcome(d *decline) json.RawMessage {
	reason := d.declineCode
	if reason == "" {
		reason = d.code
	}
	if d.blocked {
		return json.RawMessage(`{"network_status":"not_sent_to_network","reason":"highest_risk_level","risk_level":"highest","risk_score":98,` +
			`"seller_message":"Stripe blocked this payment as too risky.","type":"blocked"}`)
	}
	return json.RawMessage(fmt.Sprintf(`{"network_status":"declined_by_network","reason":%q,"risk_level":"normal","risk_score":9,`+
		`"seller_message":"The bank returned the decline code `+"`%s`"+`.","type":"issuer_declined"}`, reason, reason))
}

// methodDetails is the payment_method_details block of a charge.
func methodDetails(method *PaymentMethod, amount int64, authenticated bool) json.RawMessage {
	if method.SepaDebit != nil {
		d := method.SepaDebit
		return json.RawMessage(fmt.Sprintf(`{"sepa_debit":{"bank_code":%q,"branch_code":"","country":%q,"fingerprint":%q,"last4":%q,"mandate":null},"type":"sepa_debit"}`,
			d.BankCode, d.Country, d.Fingerprint, d.Last4))
	}
	secure := "null"
	if authenticated {
		secure = `{"authentication_flow":"challenge","electronic_commerce_indicator":"05","exemption_indicator":null,` +
			`"result":"authenticated","result_reason":null,"transaction_id":"` + method.ID[len(method.ID)-20:] + `","version":"2.2.0"}`
	}
	cd := method.Card
	return json.RawMessage(fmt.Sprintf(`{"card":{"amount_authorized":%d,"brand":%q,`+
		`"checks":{"address_line1_check":null,"address_postal_code_check":null,"cvc_check":"pass"},`+
		`"country":%q,"exp_month":%d,"exp_year":%d,"extended_authorization":{"status":"disabled"},"fingerprint":%q,"funding":%q,`+
		`"incremental_authorization":{"status":"unavailable"},"installments":null,"last4":%q,"mandate":null,`+
		`"multicapture":{"status":"unavailable"},"network":%q,"network_token":{"used":false},`+
		`"overcapture":{"maximum_amount_capturable":%d,"status":"unavailable"},"three_d_secure":%s,"wallet":null},"type":"card"}`,
		amount, cd.Brand, cd.Country, cd.ExpMonth, cd.ExpYear, cd.Fingerprint, cd.Funding, cd.Last4, cd.Brand, amount, secure))
}

func (s *Server) getCharge(r *request) (any, *apiError) {
	r.params.allow()
	return get[*Charge](s, r, kindCharge, "id")
}

func (s *Server) listCharges(r *request) (any, *apiError) {
	p := r.params
	p.allow(append([]string{"payment_intent", "customer", "transfer_group"}, pageParams...)...)
	return pageOf(s, r, kindCharge, p.text("payment_intent"), func(ch *Charge) bool {
		group, customer := p.text("transfer_group"), p.text("customer")
		return (group == "" || (ch.TransferGroup != nil && *ch.TransferGroup == group)) && (customer == "" || ch.Customer.id == customer)
	})
}

func (s *Server) updateCharge(r *request) (any, *apiError) {
	p := r.params
	p.allow("metadata[*]", "description", "receipt_email", "transfer_group", "fraud_details[*]", "shipping[*]", "customer")
	p.unsupported("fraud_details", "shipping", "customer")
	return s.change(r, func(c *change) (object, *apiError) {
		id := r.http.PathValue("id")
		old, ok := find[*Charge](c.store, c.account, id)
		if !ok {
			return nil, missing(kindCharge, id, "id")
		}
		ch, previous := old.copy(), map[string]any{}
		ch.Metadata = p.metadata(old.Metadata)
		if !maps.Equal(ch.Metadata, old.Metadata) {
			previous["metadata"] = old.Metadata
		}
		for _, f := range []struct {
			name  string
			field **string
		}{{"description", &ch.Description}, {"receipt_email", &ch.ReceiptEmail}, {"transfer_group", &ch.TransferGroup}} {
			if p.has(f.name) {
				previous[f.name] = *f.field
				*f.field = p.optional(f.name)
			}
		}
		if p.err != nil {
			return nil, p.err
		}
		c.save(ch)
		c.emit("charge.updated", ch, previous)
		return ch, nil
	})
}
