package stripe

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

const kindPaymentMethod = "payment_method"

// knownMethodTypes are the kinds of payment method the sandbox can take money with.
var knownMethodTypes = []string{"card", "sepa_debit"}

// PaymentMethod is the v1 resource: one card or bank account.
type PaymentMethod struct {
	ID             string            `json:"id"`
	Object         string            `json:"object"`
	BillingDetails json.RawMessage   `json:"billing_details"`
	Card           *card             `json:"card,omitempty"`
	Created        int64             `json:"created"`
	Customer       ref               `json:"customer"`
	Livemode       bool              `json:"livemode"`
	Metadata       map[string]string `json:"metadata"`
	SepaDebit      *sepaDebit        `json:"sepa_debit,omitempty"`
	Type           string            `json:"type"`
}

type card struct {
	Brand       string `json:"brand"`
	Country     string `json:"country"`
	ExpMonth    int    `json:"exp_month"`
	ExpYear     int    `json:"exp_year"`
	Fingerprint string `json:"fingerprint"`
	Funding     string `json:"funding"`
	Last4       string `json:"last4"`
}

type sepaDebit struct {
	BankCode    string `json:"bank_code"`
	Country     string `json:"country"`
	Fingerprint string `json:"fingerprint"`
	Last4       string `json:"last4"`
}

func (pm *PaymentMethod) objectID() string { return pm.ID }
func (pm *PaymentMethod) kind() string     { return kindPaymentMethod }
func (pm *PaymentMethod) clone() object    { c := *pm; return &c }
func (pm *PaymentMethod) createdAt() int64 { return pm.Created }
func (pm *PaymentMethod) expandable(name string) *ref {
	if name == "customer" {
		return &pm.Customer
	}
	return nil
}

// instrument is a test card or test bank account and what it does. As at Stripe the behaviour belongs to the number, so it
// is found again by the fingerprint of a stored payment method.
type instrument struct {
	brand, last4 string
	challenge    bool     // 3-D Secure is demanded
	decline      *decline // the attempt fails
	async        bool     // the money comes, or not, days later
	asyncFails   bool
	bypass       bool   // funds are available at once
	disputeAs    string // a dispute follows at once: its reason
	inquiry      bool   // ... as an inquiry
	refund       string // pending: refunds stay pending; failed: they fail after they succeeded
}

// decline is the answer of a bank that refuses.
type decline struct {
	code, declineCode, message string
	blocked                    bool // by Radar, the bank was not asked
}

var (
	declinedGeneric   = &decline{code: "card_declined", declineCode: "generic_decline", message: "Your card was declined."}
	declinedFunds     = &decline{code: "card_declined", declineCode: "insufficient_funds", message: "Your card has insufficient funds."}
	declinedLost      = &decline{code: "card_declined", declineCode: "lost_card", message: "Your card was declined."}
	declinedStolen    = &decline{code: "card_declined", declineCode: "stolen_card", message: "Your card was declined."}
	declinedVelocity  = &decline{code: "card_declined", declineCode: "card_velocity_exceeded", message: "Your card was declined."}
	declinedExpired   = &decline{code: "expired_card", message: "Your card has expired."}
	declinedCVC       = &decline{code: "incorrect_cvc", message: "Your card's security code is incorrect."}
	declinedErrored   = &decline{code: "processing_error", message: "An error occurred while processing your card. Try again in a little bit."}
	declinedByRadar   = &decline{code: "card_declined", declineCode: "fraudulent", message: "Your card was declined.", blocked: true}
	declinedSepaDebit = &decline{code: "payment_method_provider_decline", message: "The payment failed: the customer's bank returned the debit."}
)

// testMethods are Stripe's own test payment methods, by the ids its documentation gives them.
// Source: https://stripe.com/docs/testing.
var testMethods = map[string]instrument{
	"pm_card_visa":                                     {last4: "4242"},
	"pm_card_visa_debit":                               {last4: "5556"},
	"pm_card_mastercard":                               {brand: "mastercard", last4: "4444"},
	"pm_card_amex":                                     {brand: "amex", last4: "8431"},
	"pm_card_bypassPending":                            {last4: "0077", bypass: true},
	"pm_card_threeDSecure2Required":                    {last4: "3220", challenge: true},
	"pm_card_authenticationRequired":                   {last4: "3184", challenge: true},
	"pm_card_threeDSecureRequired":                     {last4: "3063", challenge: true},
	"pm_card_threeDSecureRequiredChargeDeclined":       {last4: "1629", challenge: true, decline: declinedGeneric},
	"pm_card_chargeDeclined":                           {last4: "0002", decline: declinedGeneric},
	"pm_card_visa_chargeDeclined":                      {last4: "0002", decline: declinedGeneric},
	"pm_card_chargeDeclinedInsufficientFunds":          {last4: "9995", decline: declinedFunds},
	"pm_card_visa_chargeDeclinedInsufficientFunds":     {last4: "9995", decline: declinedFunds},
	"pm_card_visa_chargeDeclinedLostCard":              {last4: "9987", decline: declinedLost},
	"pm_card_visa_chargeDeclinedStolenCard":            {last4: "9979", decline: declinedStolen},
	"pm_card_visa_chargeDeclinedVelocityLimitExceeded": {last4: "6975", decline: declinedVelocity},
	"pm_card_chargeDeclinedExpiredCard":                {last4: "0069", decline: declinedExpired},
	"pm_card_chargeDeclinedIncorrectCvc":               {last4: "0127", decline: declinedCVC},
	"pm_card_chargeDeclinedProcessingError":            {last4: "0119", decline: declinedErrored},
	"pm_card_radarBlock":                               {last4: "0019", decline: declinedByRadar},
	"pm_card_createDispute":                            {last4: "0259", disputeAs: "fraudulent"},
	"pm_card_createDisputeProductNotReceived":          {last4: "2685", disputeAs: "product_not_received"},
	"pm_card_createDisputeInquiry":                     {last4: "1976", disputeAs: "fraudulent", inquiry: true},
	"pm_card_pendingRefund":                            {last4: "7726", refund: refundPending},
	"pm_card_refundFail":                               {last4: "5126", refund: refundFailed},
}

// testIBANs are the test bank accounts for SEPA debits: both stay in processing until the control API settles them.
var testIBANs = map[string]instrument{
	"DE89370400440532013000": {last4: "3000", async: true},
	"DE62370400440532013001": {last4: "3001", async: true, asyncFails: true, decline: declinedSepaDebit},
}

// fingerprintOf identifies a card or account, the same for every payment method made of it.
func fingerprintOf(last4 string, sepa bool) string {
	if sepa {
		return "SandboxIban" + last4
	}
	return "SandboxCard" + last4
}

// instrumentOf finds the behaviour of a stored payment method; a method that was loaded from outside behaves as a plain card.
func instrumentOf(pm *PaymentMethod) instrument {
	known, wanted := testMethods, ""
	switch {
	case pm == nil:
		return instrument{}
	case pm.Card != nil:
		wanted = pm.Card.Fingerprint
	case pm.SepaDebit != nil:
		known, wanted = testIBANs, pm.SepaDebit.Fingerprint
	}
	for _, in := range known {
		if fingerprintOf(in.last4, pm.SepaDebit != nil) == wanted {
			return in
		}
	}
	return instrument{}
}

// methodOf finds or makes the payment method that a call names, nil if it names none. A test id makes a new method each
// time, as at Stripe.
func (c *change) methodOf(p *params, pi *PaymentIntent) (*PaymentMethod, *apiError) {
	var pm *PaymentMethod
	switch name := p.text("payment_method"); {
	case name != "" && p.has("payment_method_data[type]"):
		return nil, invalid("payment_method_data", "", "You may only specify one of these parameters: payment_method, payment_method_data.")
	case name != "":
		var e *apiError
		if pm, e = c.methodNamed(name); e != nil {
			return nil, e
		}
	case p.text("payment_method_data[type]") == "sepa_debit":
		iban := strings.ReplaceAll(p.text("payment_method_data[sepa_debit][iban]"), " ", "")
		in, ok := testIBANs[iban]
		if !ok {
			return nil, invalid("payment_method_data[sepa_debit][iban]", "invalid_bank_account_iban", "The IBAN you provided is invalid.")
		}
		pm = c.newMethod("sepa_debit")
		pm.SepaDebit = &sepaDebit{BankCode: iban[4:12], Country: iban[:2], Fingerprint: fingerprintOf(in.last4, true), Last4: in.last4}
	case p.has("payment_method_data[type]"):
		return nil, unsupported("payment_method_data")
	default:
		return nil, nil //nolint:nilnil // no method is named: nothing to refuse, nothing to return
	}
	if !slices.Contains(pi.PaymentMethodTypes, pm.Type) {
		return nil, invalid("payment_method", "payment_intent_incompatible_payment_method", "The PaymentMethod provided (%s) is not allowed for this PaymentIntent. "+
			"Please attach a PaymentMethod of one of the following types: %s.", pm.Type, strings.Join(pi.PaymentMethodTypes, ", "))
	}
	c.save(pm)
	return pm, nil
}

func (c *change) methodNamed(name string) (*PaymentMethod, *apiError) {
	if in, ok := testMethods[name]; ok {
		brand := in.brand
		if brand == "" {
			brand = "visa"
		}
		pm := c.newMethod("card")
		pm.Card = &card{
			Brand: brand, Country: "DE", ExpMonth: 8, ExpYear: c.now.Year() + 4,
			Fingerprint: fingerprintOf(in.last4, false), Funding: "credit", Last4: in.last4,
		}
		return pm, nil
	}
	if pm, ok := find[*PaymentMethod](c.store, c.account, name); ok {
		return pm, nil
	}
	return nil, missing("PaymentMethod", name, "payment_method")
}

func (c *change) newMethod(methodType string) *PaymentMethod {
	return &PaymentMethod{
		ID: c.newID("pm_"), Object: kindPaymentMethod, Created: c.unix(), Type: methodType, Metadata: map[string]string{},
		BillingDetails: json.RawMessage(emptyBilling),
	}
}

func (s *Server) getPaymentMethod(r *request) (any, *apiError) {
	r.params.allow()
	return get[*PaymentMethod](s, r, "PaymentMethod", "payment_method")
}

// dashboardMethods are the kinds that are switched on for a currency when the caller leaves the choice to Stripe.
func dashboardMethods(currency string) []string {
	if currency == "eur" {
		return []string{"card", "sepa_debit"}
	}
	return []string{"card"}
}

const emptyBilling = `{"address":{"city":null,"country":null,"line1":null,"line2":null,"postal_code":null,"state":null},"email":null,"name":null,"phone":null}`

// billingFor is the billing block of a charge: the mail address is the one the receipt goes to.
func billingFor(email *string) json.RawMessage {
	if email == nil {
		return json.RawMessage(emptyBilling)
	}
	quoted, err := json.Marshal(*email)
	if err != nil {
		panic(fmt.Sprintf("a string cannot be encoded: %v", err))
	}
	return json.RawMessage(strings.Replace(emptyBilling, `"email":null`, `"email":`+string(quoted), 1))
}
