package stripe

import (
	"encoding/json"
	"net/http"
	"slices"
)

func (s *Server) confirmPaymentIntent(r *request) (any, *apiError) {
	p := r.params
	p.allow("payment_method", "payment_method_data[*]", "return_url", "client_secret", "receipt_email", "capture_method",
		"setup_future_usage", "shipping[*]", "payment_method_options[*]", "payment_method_types[]", "mandate", "mandate_data[*]",
		"off_session", "radar_options[*]", "error_on_requires_action", "use_stripe_sdk")
	p.unsupported("setup_future_usage", "shipping", "payment_method_options", "mandate", "off_session", "radar_options",
		"error_on_requires_action", "payment_method_types", "capture_method")
	if p.err != nil {
		return nil, p.err
	}
	return s.change(r, func(c *change) (object, *apiError) {
		pi, e := s.intentFor(r)
		if e != nil {
			return nil, e
		}
		if e := confirmable(pi); e != nil {
			return nil, e
		}
		pi = pi.copy()
		if p.has("receipt_email") {
			pi.ReceiptEmail = p.optional("receipt_email")
		}
		method, e := c.methodOf(p, pi)
		if e != nil {
			return nil, e
		}
		if method == nil {
			method, _ = find[*PaymentMethod](c.store, c.account, pi.PaymentMethod.id)
		}
		if method == nil {
			return nil, noPaymentMethod(pi)
		}
		if e := checkReturnURL(p, pi); e != nil {
			return nil, e
		}
		return c.confirm(pi, method)
	})
}

// confirmable refuses intents that are under way or at their end.
func confirmable(pi *PaymentIntent) *apiError {
	switch pi.Status {
	case intentRequiresPaymentMethod, intentRequiresConfirmation, intentRequiresAction:
		return nil
	case intentSucceeded:
		return unexpectedState(pi, "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.")
	}
	return unexpectedState(pi, "This PaymentIntent's status is %s, but must be one of requires_payment_method, requires_confirmation, requires_action to be confirmed.", pi.Status)
}

// checkReturnURL demands the page to come back to where a method of the intent may redirect the buyer.
func checkReturnURL(p *params, pi *PaymentIntent) *apiError {
	if p.has("return_url") || pi.AutomaticPaymentMethods == nil || pi.AutomaticPaymentMethods.AllowRedirects == "never" {
		return nil
	}
	return invalid("return_url", "", "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of these "+
		"payment methods might redirect your customer off of your page, you must provide a `return_url`. If you don't want to accept redirect-based "+
		"payment methods, set `automatic_payment_methods[enabled]` to `true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment Intents.")
}

// confirm starts an attempt: a challenge for the buyer where the card demands one, else the charge.
func (c *change) confirm(pi *PaymentIntent, method *PaymentMethod) (*PaymentIntent, *apiError) {
	if a, ok := find[*Account](c.store, "", c.account); ok && !a.ChargesEnabled {
		return nil, refused("", "", "Your account cannot currently make charges. Its charges_enabled is false.")
	}
	pi = pi.copy()
	pi.PaymentMethod, pi.LastPaymentError = refTo(method.ID), nil
	if instrumentOf(method).challenge {
		pi.Status = intentRequiresAction
		pi.NextAction = json.RawMessage(`{"type":"use_stripe_sdk","use_stripe_sdk":{"type":"three_d_secure_redirect","directory_server_name":"visa"}}`)
		c.save(pi)
		c.emit("payment_intent.requires_action", pi, nil)
		return pi, nil
	}
	return c.attempt(pi, method, false)
}

// attempt charges the method once. A declined attempt leaves a failed charge, puts the intent back to
// requires_payment_method and answers 402; it is not the end of the intent.
func (c *change) attempt(pi *PaymentIntent, method *PaymentMethod, authenticated bool) (*PaymentIntent, *apiError) {
	pi = pi.copy()
	pi.NextAction = nil
	ch := c.newCharge(pi, method, authenticated)
	pi.LatestCharge = refTo(ch.ID)
	in := instrumentOf(method)
	switch {
	case in.async:
		ch.Status, ch.Paid = chargePending, false
		ch.Captured, ch.AmountCaptured = true, 0
		pi.Status = intentProcessing
		c.save(ch, pi)
		c.emit("charge.pending", ch, nil)
		c.emit("payment_intent.processing", pi, nil)
	case in.decline != nil:
		return pi, c.declineCharge(pi, ch, method, in.decline)
	case pi.CaptureMethod == "manual":
		ch.Status, ch.Paid = chargeSucceeded, true
		pi.Status, pi.AmountCapturable = intentRequiresCapture, pi.Amount
		c.save(ch, pi)
		c.emit("charge.succeeded", ch, nil)
		c.emit("payment_intent.amount_capturable_updated", pi, nil)
	default:
		pi = c.succeed(pi, ch, in)
	}
	return pi, nil
}

// succeed captures the whole amount at once.
func (c *change) succeed(pi *PaymentIntent, ch *Charge, in instrument) *PaymentIntent {
	ch, pi = ch.copy(), pi.copy()
	ch.Status, ch.Paid, ch.Captured, ch.AmountCaptured = chargeSucceeded, true, true, ch.Amount
	ch.ReceiptURL = new("https://pay.stripe.example/receipts/" + c.s.randomText(24))
	pi.Status, pi.AmountReceived, pi.AmountCapturable = intentSucceeded, pi.Amount, 0
	ch = c.book(ch, pi, in)
	c.save(ch, pi)
	c.emit("charge.succeeded", ch, nil)
	c.emit("payment_intent.succeeded", pi, nil)
	c.disputeAtOnce(ch, in)
	return pi
}

// declineCharge records a failed attempt and returns the 402 that the confirming caller gets.
func (c *change) declineCharge(pi *PaymentIntent, ch *Charge, method *PaymentMethod, d *decline) *apiError {
	ch, pi = ch.copy(), pi.copy()
	ch.Status, ch.Paid, ch.Captured, ch.AmountCaptured = chargeFailed, false, false, 0
	ch.FailureCode, ch.FailureMessage = new(d.code), new(d.message)
	ch.Outcome = declinedOutcome(d)
	pi.Status, pi.PaymentMethod, pi.Processing = intentRequiresPaymentMethod, ref{}, nil
	pi.LastPaymentError = &paymentError{
		Charge: ch.ID, Code: d.code, DeclineCode: d.declineCode, DocURL: docURL(d.code), Message: d.message,
		PaymentMethod: mustJSON(method), Type: typeCard,
	}
	c.save(ch, pi)
	c.emit("charge.failed", ch, nil)
	c.emit("payment_intent.payment_failed", pi, nil)
	return &apiError{
		status: http.StatusPaymentRequired, Type: typeCard, Code: d.code, DeclineCode: d.declineCode, Message: d.message,
		Charge: ch.ID, PaymentIntent: pi, PaymentMethod: method,
	}
}

// authenticate ends the buyer's 3-D Secure challenge: passed, the charge is attempted; failed, another method is needed.
func (c *change) authenticate(pi *PaymentIntent, passed bool) (*PaymentIntent, *apiError) {
	if pi.Status != intentRequiresAction {
		return nil, unexpectedState(pi, "This PaymentIntent's status is %s: there is no challenge to complete.", pi.Status)
	}
	method, e := c.methodNamed(pi.PaymentMethod.id)
	if e != nil {
		return nil, e
	}
	if passed {
		return c.attempt(pi, method, true)
	}
	pi = pi.copy()
	const code = "payment_intent_authentication_failure"
	pi.Status, pi.NextAction, pi.PaymentMethod = intentRequiresPaymentMethod, nil, ref{}
	pi.LastPaymentError = &paymentError{
		Code: code, DocURL: docURL(code), PaymentMethod: mustJSON(method), Type: typeInvalidRequest,
		Message: "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod to attempt to fulfill this PaymentIntent again.",
	}
	c.save(pi)
	c.emit("payment_intent.payment_failed", pi, nil)
	return pi, nil
}

// settleAsync ends a debit that was processing.
func (c *change) settleAsync(pi *PaymentIntent, succeeded bool) (*PaymentIntent, *apiError) {
	ch, ok := find[*Charge](c.store, c.account, pi.LatestCharge.id)
	if pi.Status != intentProcessing || !ok {
		return nil, unexpectedState(pi, "This PaymentIntent's status is %s: there is no debit under way.", pi.Status)
	}
	method, _ := find[*PaymentMethod](c.store, c.account, pi.PaymentMethod.id)
	if succeeded {
		return c.succeed(pi, ch, instrumentOf(method)), nil
	}
	// Nobody waits for the answer of a bank that refuses days later: the events report it.
	_ = c.declineCharge(pi, c.returnDebit(ch), method, declinedSepaDebit)
	failed, _ := find[*PaymentIntent](c.store, c.account, pi.ID)
	return failed, nil
}

// returnDebit takes back what a debit was to bring, and its fee, and charges for the failure.
//
// Source: Stripe, "Balance transaction types", payment_failure_refund; API reference, Charge, failure_balance_transaction.
func (c *change) returnDebit(ch *Charge) *Charge {
	costs := c.s.settings.FailedPaymentFeeMinorUnits
	if costs == 0 {
		return ch
	}
	ch = ch.copy()
	debit := movement{kind: "payment", category: "charge", source: ch.ID, currency: ch.Currency, amount: ch.Amount, conversion: c.settlement(ch.Currency)}
	debit.fees = []feeDetail{{Amount: c.s.settings.fee(ch.Amount), Currency: ch.Currency, Description: "Stripe processing fees", Type: "stripe_fee"}}
	ch.BalanceTransaction = refTo(c.move(debit).ID)
	failure := debit
	failure.kind, failure.category, failure.amount = "payment_failure_refund", "charge_failure", -ch.Amount
	failure.fees = []feeDetail{{
		Amount: costs - c.s.settings.fee(ch.Amount), Currency: ch.Currency, Description: "Failed payment fee", Type: "stripe_fee",
	}}
	ch.FailureBalanceTransaction = refTo(c.move(failure).ID)
	return ch
}

func (s *Server) capturePaymentIntent(r *request) (any, *apiError) {
	p := r.params
	p.allow("amount_to_capture", "application_fee_amount", "statement_descriptor", "statement_descriptor_suffix", "metadata[*]",
		"transfer_data[amount]", "final_capture")
	p.unsupported("final_capture", "application_fee_amount", "transfer_data")
	wanted := p.positive("amount_to_capture")
	if p.err != nil {
		return nil, p.err
	}
	return s.change(r, func(c *change) (object, *apiError) {
		pi, e := s.intentFor(r)
		if e != nil {
			return nil, e
		}
		ch, ok := find[*Charge](c.store, c.account, pi.LatestCharge.id)
		if pi.Status != intentRequiresCapture || !ok {
			return nil, unexpectedState(pi, "This PaymentIntent could not be captured because it has a status of %s. "+
				"Only a PaymentIntent with one of the following statuses may be captured: requires_capture.", pi.Status)
		}
		amount := pi.AmountCapturable
		if wanted != nil {
			amount = *wanted
		}
		if amount > pi.AmountCapturable {
			return nil, refused("amount_to_capture", "amount_too_large", "The amount to capture is greater than the remaining amount that can be captured (%s).",
				formatAmount(pi.AmountCapturable, pi.Currency))
		}
		pi = pi.copy()
		pi.Metadata = p.metadata(pi.Metadata)
		if p.err != nil {
			return nil, p.err
		}
		return c.capture(pi, ch, amount), nil
	})
}

// capture takes part or all of an authorised amount; the rest is released, which the charge shows as refunded.
func (c *change) capture(pi *PaymentIntent, ch *Charge, amount int64) *PaymentIntent {
	pi = pi.copy()
	method, _ := find[*PaymentMethod](c.store, c.account, pi.PaymentMethod.id)
	in := instrumentOf(method)
	ch = ch.copy()
	ch.Captured, ch.AmountCaptured, ch.AmountRefunded = true, amount, ch.Amount-amount
	ch.ReceiptURL = new("https://pay.stripe.example/receipts/" + c.s.randomText(24))
	pi.Status, pi.AmountReceived, pi.AmountCapturable = intentSucceeded, amount, 0
	ch = c.book(ch, pi, in)
	c.save(ch, pi)
	c.emit("charge.captured", ch, map[string]any{"captured": false, "amount_captured": 0})
	c.emit("payment_intent.succeeded", pi, nil)
	c.disputeAtOnce(ch, in)
	return pi
}

func (s *Server) cancelPaymentIntent(r *request) (any, *apiError) {
	p := r.params
	p.allow("cancellation_reason", "client_secret")
	reason := p.optional("cancellation_reason")
	if reason != nil {
		p.choice("cancellation_reason", "duplicate", "fraudulent", "requested_by_customer", "abandoned")
	}
	if p.err != nil {
		return nil, p.err
	}
	return s.change(r, func(c *change) (object, *apiError) {
		pi, e := s.intentFor(r)
		if e != nil {
			return nil, e
		}
		return c.cancel(pi, reason)
	})
}

// cancel ends an intent that has no money. A debit under way cannot be called back: Stripe allows that in rare cases only.
func (c *change) cancel(pi *PaymentIntent, reason *string) (*PaymentIntent, *apiError) {
	if !slices.Contains([]string{intentRequiresPaymentMethod, intentRequiresCapture, intentRequiresConfirmation, intentRequiresAction}, pi.Status) {
		return nil, unexpectedState(pi, "You cannot cancel this PaymentIntent because it has a status of %s. Only a PaymentIntent with one of the "+
			"following statuses may be canceled: requires_payment_method, requires_capture, requires_confirmation, requires_action, processing.", pi.Status)
	}
	authorised := pi.Status == intentRequiresCapture
	pi = pi.copy()
	pi.Status, pi.CanceledAt, pi.CancellationReason = intentCanceled, new(c.unix()), reason
	pi.AmountCapturable, pi.NextAction = 0, nil
	if ch, ok := find[*Charge](c.store, c.account, pi.LatestCharge.id); ok && authorised {
		released := ch.copy()
		released.Refunded, released.AmountRefunded = true, ch.Amount
		c.save(released)
		event := "charge.refunded"
		if reason != nil && *reason == "automatic" { // the authorisation lapsed
			event = "charge.expired"
		}
		c.emit(event, released, map[string]any{"amount_refunded": ch.AmountRefunded, "refunded": false})
	}
	c.save(pi)
	c.emit("payment_intent.canceled", pi, nil)
	return pi, nil
}

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("a resource cannot be encoded: " + err.Error())
	}
	return b
}
