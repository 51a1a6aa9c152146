package stripe

import (
	"encoding/json"
	"slices"
	"strings"
)

const kindPaymentIntent = "payment_intent"

// States of a payment intent.
const (
	intentRequiresPaymentMethod = "requires_payment_method"
	intentRequiresConfirmation  = "requires_confirmation"
	intentRequiresAction        = "requires_action"
	intentProcessing            = "processing"
	intentRequiresCapture       = "requires_capture"
	intentSucceeded             = "succeeded"
	intentCanceled              = "canceled"
)

// PaymentIntent is the v1 resource, with the fields of version 2023-10-16. Amounts are in minor units.
//
//	requires_payment_method -> requires_confirmation -> requires_action -> processing -> succeeded
//	        ^  any attempt that fails                                   \-> requires_capture -> succeeded
//	        any of them but processing and succeeded -> canceled
type PaymentIntent struct {
	ID                        string            `json:"id"`
	Object                    string            `json:"object"`
	Amount                    int64             `json:"amount"`
	AmountCapturable          int64             `json:"amount_capturable"`
	AmountDetails             json.RawMessage   `json:"amount_details"`
	AmountReceived            int64             `json:"amount_received"`
	Application               *string           `json:"application"`
	ApplicationFeeAmount      *int64            `json:"application_fee_amount"`
	AutomaticPaymentMethods   *automaticMethods `json:"automatic_payment_methods"`
	CanceledAt                *int64            `json:"canceled_at"`
	CancellationReason        *string           `json:"cancellation_reason"`
	CaptureMethod             string            `json:"capture_method"`
	ClientSecret              string            `json:"client_secret,omitempty"`
	ConfirmationMethod        string            `json:"confirmation_method"`
	Created                   int64             `json:"created"`
	Currency                  string            `json:"currency"`
	Customer                  ref               `json:"customer"`
	Description               *string           `json:"description"`
	Invoice                   ref               `json:"invoice"`
	LastPaymentError          *paymentError     `json:"last_payment_error"`
	LatestCharge              ref               `json:"latest_charge"`
	Livemode                  bool              `json:"livemode"`
	Metadata                  map[string]string `json:"metadata"`
	NextAction                json.RawMessage   `json:"next_action"`
	OnBehalfOf                *string           `json:"on_behalf_of"`
	PaymentMethod             ref               `json:"payment_method"`
	PaymentMethodConfig       json.RawMessage   `json:"payment_method_configuration_details"`
	PaymentMethodOptions      json.RawMessage   `json:"payment_method_options"`
	PaymentMethodTypes        []string          `json:"payment_method_types"`
	Processing                json.RawMessage   `json:"processing"`
	ReceiptEmail              *string           `json:"receipt_email"`
	Review                    ref               `json:"review"`
	SetupFutureUsage          *string           `json:"setup_future_usage"`
	Shipping                  json.RawMessage   `json:"shipping"`
	Source                    json.RawMessage   `json:"source"`
	StatementDescriptor       *string           `json:"statement_descriptor"`
	StatementDescriptorSuffix *string           `json:"statement_descriptor_suffix"`
	Status                    string            `json:"status"`
	TransferData              *transferData     `json:"transfer_data"`
	TransferGroup             *string           `json:"transfer_group"`
}

type automaticMethods struct {
	AllowRedirects string `json:"allow_redirects"`
	Enabled        bool   `json:"enabled"`
}

type transferData struct {
	Amount      *int64 `json:"amount,omitempty"`
	Destination string `json:"destination"`
}

// paymentError says why the last attempt failed.
type paymentError struct {
	Charge        string          `json:"charge,omitempty"`
	Code          string          `json:"code"`
	DeclineCode   string          `json:"decline_code,omitempty"`
	DocURL        string          `json:"doc_url"`
	Message       string          `json:"message"`
	PaymentMethod json.RawMessage `json:"payment_method"`
	Type          string          `json:"type"`
}

func (pi *PaymentIntent) objectID() string { return pi.ID }
func (pi *PaymentIntent) kind() string     { return kindPaymentIntent }
func (pi *PaymentIntent) clone() object    { return pi.copy() }
func (pi *PaymentIntent) createdAt() int64 { return pi.Created }

func (pi *PaymentIntent) copy() *PaymentIntent { c := *pi; return &c }

func (pi *PaymentIntent) expandable(name string) *ref {
	switch name {
	case "latest_charge":
		return &pi.LatestCharge
	case "payment_method":
		return &pi.PaymentMethod
	case "customer":
		return &pi.Customer
	case "invoice":
		return &pi.Invoice
	case "review":
		return &pi.Review
	}
	return nil
}

// intentParams are the parameters that create and update share.
var intentParams = []string{
	"amount", "currency", "metadata[*]", "description", "receipt_email", "payment_method", "payment_method_types[]",
	"payment_method_data[*]", "application_fee_amount", "statement_descriptor", "statement_descriptor_suffix",
	"transfer_group", "transfer_data[amount]", "capture_method",
	"setup_future_usage", "shipping[*]", "customer", "payment_method_options[*]", "payment_method_configuration",
}

// intentUnsupported exist at Stripe; the sandbox refuses them aloud instead of taking no notice.
var intentUnsupported = []string{
	"setup_future_usage", "shipping", "customer", "payment_method_options", "payment_method_configuration", "mandate",
	"mandate_data", "off_session", "radar_options", "error_on_requires_action", "use_stripe_sdk",
}

func (s *Server) createPaymentIntent(r *request) (any, *apiError) {
	p := r.params
	p.allow(append([]string{
		"automatic_payment_methods[enabled]", "automatic_payment_methods[allow_redirects]", "confirm", "confirmation_method",
		"transfer_data[destination]", "on_behalf_of", "return_url", "mandate", "mandate_data[*]", "off_session",
		"radar_options[*]", "error_on_requires_action", "use_stripe_sdk",
	}, intentParams...)...)
	p.unsupported(intentUnsupported...)
	p.required("amount")
	currency, e := checkCurrency(p.required("currency"))
	if p.err == nil && e != nil {
		p.fail(e)
	}
	pi := &PaymentIntent{
		Object: kindPaymentIntent, Amount: p.integer("amount"), AmountDetails: json.RawMessage(`{"tip":{}}`),
		CaptureMethod:      p.choice("capture_method", "automatic", "automatic_async", "manual"),
		ConfirmationMethod: p.choice("confirmation_method", "automatic", "manual"),
		Currency:           currency, Description: p.optional("description"), Metadata: p.metadata(nil),
		ReceiptEmail: p.optional("receipt_email"), Status: intentRequiresPaymentMethod,
		StatementDescriptor: p.optional("statement_descriptor"), StatementDescriptorSuffix: p.optional("statement_descriptor_suffix"),
		TransferGroup: p.optional("transfer_group"), OnBehalfOf: p.optional("on_behalf_of"),
		ApplicationFeeAmount: p.positive("application_fee_amount"),
	}
	if p.err == nil {
		p.fail(checkAmount(pi.Amount, currency, s.amountMax()))
	}
	chooseMethods(p, pi)
	readTransferData(p, pi)
	confirm := p.boolean("confirm")
	if p.err != nil {
		return nil, p.err
	}
	return s.change(r, func(c *change) (object, *apiError) {
		return c.createIntent(pi, confirm)
	})
}

// createIntent stores a new intent; with confirm it is attempted at once.
func (c *change) createIntent(pi *PaymentIntent, confirm bool) (object, *apiError) {
	if e := c.checkConnect(pi); e != nil {
		return nil, e
	}
	pi.ID = c.newID("pi_")
	pi.ClientSecret = pi.ID + "_secret_" + c.s.randomText(25)
	pi.Created = c.unix()
	method, e := c.methodOf(c.request.params, pi)
	if e != nil {
		return nil, e
	}
	if confirm {
		if method == nil {
			return nil, invalid("payment_method", "parameter_missing", "You must provide a payment method to confirm the PaymentIntent.")
		}
		if e := checkReturnURL(c.request.params, pi); e != nil {
			return nil, e
		}
	}
	created := pi.copy()
	c.save(created)
	c.emit("payment_intent.created", created, nil)
	if method != nil {
		pi = pi.copy()
		pi.PaymentMethod, pi.Status = refTo(method.ID), intentRequiresConfirmation
		c.save(pi)
	}
	if !confirm {
		return pi, nil
	}
	return c.confirm(pi, method)
}

// chooseMethods sets the kinds of payment method: named ones, or what the dashboard has switched on.
func chooseMethods(p *params, pi *PaymentIntent) {
	named := p.list("payment_method_types")
	automatic := p.text("automatic_payment_methods[enabled]")
	if len(named) > 0 {
		if automatic == "true" {
			p.fail(invalid("payment_method_types", "", "You may only specify one of these parameters: automatic_payment_methods, payment_method_types."))
		}
		for _, name := range named {
			if !slices.Contains(knownMethodTypes, name) {
				p.fail(invalid("payment_method_types", "payment_intent_invalid_parameter", "The payment method type \"%s\" is invalid.", name))
			}
		}
		pi.PaymentMethodTypes = named
	} else {
		// Since 2023-08-16 automatic payment methods are the default; automatic_payment_methods[enabled]=false asks for cards.
		pi.PaymentMethodTypes = []string{"card"}
		if automatic != "false" {
			pi.AutomaticPaymentMethods = &automaticMethods{
				AllowRedirects: p.choice("automatic_payment_methods[allow_redirects]", "always", "never"), Enabled: true,
			}
			pi.PaymentMethodTypes = dashboardMethods(pi.Currency)
			pi.PaymentMethodConfig = json.RawMessage(`{"id":"pmc_3SandboxDefault0000000001","parent":null}`)
		}
	}
	pi.PaymentMethodOptions = methodOptions(pi.PaymentMethodTypes)
}

func methodOptions(types []string) json.RawMessage {
	var parts []string
	for _, t := range types {
		switch t {
		case "card":
			parts = append(parts, `"card":{"installments":null,"mandate_options":null,"network":null,"request_three_d_secure":"automatic"}`)
		default:
			parts = append(parts, `"`+t+`":{}`)
		}
	}
	return json.RawMessage("{" + strings.Join(parts, ",") + "}")
}

func readTransferData(p *params, pi *PaymentIntent) {
	if destination := p.text("transfer_data[destination]"); destination != "" {
		pi.TransferData = &transferData{Destination: destination, Amount: p.positive("transfer_data[amount]")}
	} else if p.has("transfer_data[amount]") {
		p.fail(invalid("transfer_data[destination]", "parameter_missing", "Missing required param: transfer_data[destination]."))
	}
}

func (s *Server) getPaymentIntent(r *request) (any, *apiError) {
	r.params.allow("client_secret")
	s.mu.Lock()
	defer s.mu.Unlock()
	pi, e := s.intentFor(r)
	if e != nil {
		return nil, e
	}
	return s.verbatim(r, pi), nil
}

// intentFor finds the intent of the path; a browser must know its client secret. The mutex is held.
func (s *Server) intentFor(r *request) (*PaymentIntent, *apiError) {
	id := r.http.PathValue("id")
	pi, ok := find[*PaymentIntent](s.store, r.account, id)
	if !ok {
		return nil, missing(kindPaymentIntent, id, "intent")
	}
	if secret := r.params.text("client_secret"); (r.publishable || secret != "") && secret != pi.ClientSecret {
		if secret == "" {
			return nil, invalid("client_secret", "parameter_missing", "Missing required param: client_secret.")
		}
		return nil, invalid("client_secret", "payment_intent_invalid_parameter", "The client_secret provided does not match any associated PaymentIntent.")
	}
	return pi, nil
}

func (s *Server) updatePaymentIntent(r *request) (any, *apiError) {
	p := r.params
	p.allow(intentParams...)
	p.unsupported(intentUnsupported...)
	return s.change(r, func(c *change) (object, *apiError) {
		old, e := s.intentFor(r)
		if e != nil {
			return nil, e
		}
		pi := old.copy()
		pi.Metadata = p.metadata(old.Metadata)
		if e := c.applyUpdate(p, pi); e != nil {
			return nil, e
		}
		if p.err != nil {
			return nil, p.err
		}
		c.save(pi) // Stripe has no event for an update
		return pi, nil
	})
}

// applyUpdate changes the named fields; the money can only change before the payment is under way.
func (c *change) applyUpdate(p *params, pi *PaymentIntent) *apiError {
	open := pi.Status == intentRequiresPaymentMethod || pi.Status == intentRequiresConfirmation || pi.Status == intentRequiresAction
	for _, name := range []string{
		"amount", "currency", "payment_method", "payment_method_data[type]", "payment_method_types[]", "application_fee_amount",
		"receipt_email", "capture_method", "statement_descriptor", "statement_descriptor_suffix", "transfer_group", "transfer_data[amount]",
	} {
		if p.has(name) && !open {
			return unexpectedState(pi, "This PaymentIntent's %s could not be updated because it has a status of %s. "+
				"You may only update the %s of a PaymentIntent with one of the following statuses: requires_payment_method, requires_confirmation, requires_action.",
				name, pi.Status, name)
		}
	}
	if p.has("currency") {
		currency, e := checkCurrency(p.text("currency"))
		if e != nil {
			return e
		}
		pi.Currency = currency
	}
	if p.has("amount") {
		pi.Amount = p.integer("amount")
	}
	if p.has("amount") || p.has("currency") {
		if e := checkAmount(pi.Amount, pi.Currency, c.s.settings.AmountMaxMinorUnits); p.err == nil && e != nil {
			return e
		}
	}
	if p.has("capture_method") {
		pi.CaptureMethod = p.choice("capture_method", "automatic", "automatic_async", "manual")
	}
	if named := p.list("payment_method_types"); len(named) > 0 {
		pi.PaymentMethodTypes, pi.AutomaticPaymentMethods, pi.PaymentMethodConfig = named, nil, nil
		pi.PaymentMethodOptions = methodOptions(named)
	}
	if p.has("application_fee_amount") {
		pi.ApplicationFeeAmount = p.positive("application_fee_amount")
	}
	if p.has("transfer_data[amount]") && pi.TransferData != nil {
		pi.TransferData = &transferData{Destination: pi.TransferData.Destination, Amount: p.positive("transfer_data[amount]")}
	}
	for name, field := range map[string]**string{
		"description": &pi.Description, "receipt_email": &pi.ReceiptEmail, "transfer_group": &pi.TransferGroup,
		"statement_descriptor": &pi.StatementDescriptor, "statement_descriptor_suffix": &pi.StatementDescriptorSuffix,
	} {
		if p.has(name) {
			*field = p.optional(name)
		}
	}
	method, e := c.methodOf(p, pi)
	if e != nil {
		return e
	}
	if method != nil {
		pi.PaymentMethod, pi.Status, pi.NextAction = refTo(method.ID), intentRequiresConfirmation, nil
	}
	return nil
}

func (s *Server) listPaymentIntents(r *request) (any, *apiError) {
	r.params.allow(append([]string{"customer"}, pageParams...)...)
	return page(s, r, kindPaymentIntent, func(pi *PaymentIntent) bool {
		customer := r.params.text("customer")
		return customer == "" || pi.Customer.id == customer
	})
}

// unexpectedState refuses a call that the state of the intent forbids; the intent is part of the answer.
func unexpectedState(pi *PaymentIntent, format string, args ...any) *apiError {
	e := refused("", "payment_intent_unexpected_state", format, args...)
	e.PaymentIntent = pi
	return e
}

func noPaymentMethod(pi *PaymentIntent) *apiError {
	return unexpectedState(pi, "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update "+
		"the PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method or ConfirmationToken.")
}
