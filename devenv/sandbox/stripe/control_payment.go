package stripe

import "net/url"

// controlOn finds the object of the path on whatever account it lives and runs f on it.
func controlOn[T object](s *Server, r *request, f func(c *change, obj T) (T, *apiError)) (any, *apiError) {
	return s.change(r, func(c *change) (object, *apiError) {
		id := r.http.PathValue("id")
		e := c.entries[id]
		if e == nil {
			return nil, missing("object", id, "id")
		}
		obj, ok := e.obj.(T)
		if !ok {
			return nil, invalid("id", "", "%s is a %s.", id, e.obj.kind())
		}
		changed, refusal := f(c.on(e.account), obj)
		if refusal != nil {
			return nil, refusal
		}
		return changed, nil
	})
}

// confirmBody is what a buyer does on the payment page.
type confirmBody struct {
	// PaymentMethod is one of Stripe's test ids, pm_card_visa by default.
	PaymentMethod string `json:"payment_method"`
	// IBAN pays by SEPA debit instead.
	IBAN string `json:"iban"`
	// Challenge is what the buyer does when 3-D Secure asks: pass (default), fail, or leave (the intent stays in requires_action).
	Challenge string `json:"challenge"`
}

// controlConfirm confirms as the buyer's browser would, the challenge included. A decline answers 402 as Stripe.js gets it.
func (s *Server) controlConfirm(r *request) (any, *apiError) {
	body := confirmBody{PaymentMethod: "pm_card_visa", Challenge: "pass"}
	if e := r.read(&body); e != nil {
		return nil, e
	}
	form := url.Values{"payment_method": {body.PaymentMethod}}
	if body.IBAN != "" {
		form = url.Values{"payment_method_data[type]": {"sepa_debit"}, "payment_method_data[sepa_debit][iban]": {body.IBAN}}
	}
	p := newParams(form)
	return controlOn(s, r, func(c *change, pi *PaymentIntent) (*PaymentIntent, *apiError) {
		if e := confirmable(pi); e != nil {
			return nil, e
		}
		method, e := c.methodOf(p, pi)
		if e != nil {
			return nil, e
		}
		pi, e = c.confirm(pi, method)
		if e != nil || pi.Status != intentRequiresAction || body.Challenge == "leave" {
			return pi, e
		}
		return c.authenticate(pi, body.Challenge == "pass")
	})
}

// controlAuthenticate ends an open 3-D Secure challenge: {"passed": true}.
func (s *Server) controlAuthenticate(r *request) (any, *apiError) {
	var body struct {
		Passed bool `json:"passed"`
	}
	if e := r.read(&body); e != nil {
		return nil, e
	}
	return controlOn(s, r, func(c *change, pi *PaymentIntent) (*PaymentIntent, *apiError) { return c.authenticate(pi, body.Passed) })
}

// controlSettle ends a debit that is processing, as its test account says, or as {"succeeded": ...} says.
func (s *Server) controlSettle(r *request) (any, *apiError) {
	var body struct {
		Succeeded *bool `json:"succeeded"`
	}
	if e := r.read(&body); e != nil {
		return nil, e
	}
	return controlOn(s, r, func(c *change, pi *PaymentIntent) (*PaymentIntent, *apiError) {
		method, _ := find[*PaymentMethod](c.store, c.account, pi.PaymentMethod.id)
		succeeded := !instrumentOf(method).asyncFails
		if body.Succeeded != nil {
			succeeded = *body.Succeeded
		}
		return c.settleAsync(pi, succeeded)
	})
}

// controlExpire lets an uncaptured authorisation lapse, as banks do after about seven days.
func (s *Server) controlExpire(r *request) (any, *apiError) {
	return controlOn(s, r, func(c *change, pi *PaymentIntent) (*PaymentIntent, *apiError) {
		if pi.Status != intentRequiresCapture {
			return nil, unexpectedState(pi, "This PaymentIntent's status is %s: there is no authorisation to expire.", pi.Status)
		}
		return c.cancel(pi, new("automatic"))
	})
}

// controlFailRefund fails a refund, also one that succeeded days ago: {"reason": "expired_or_canceled_card"}.
func (s *Server) controlFailRefund(r *request) (any, *apiError) {
	body := struct {
		Reason string `json:"reason"`
	}{Reason: "expired_or_canceled_card"}
	if e := r.read(&body); e != nil {
		return nil, e
	}
	return controlOn(s, r, func(c *change, re *Refund) (*Refund, *apiError) { return c.failRefund(re, body.Reason) })
}

func (s *Server) controlSettleRefund(r *request) (any, *apiError) {
	return controlOn(s, r, func(c *change, re *Refund) (*Refund, *apiError) { return c.settleRefund(re) })
}

func (s *Server) controlAskBuyer(r *request) (any, *apiError) {
	return controlOn(s, r, func(c *change, re *Refund) (*Refund, *apiError) { return c.askBuyer(re) })
}

func (s *Server) controlLapse(r *request) (any, *apiError) {
	return controlOn(s, r, func(c *change, re *Refund) (*Refund, *apiError) { return c.lapse(re) })
}

// controlReference gives a refund its acquirer reference number: {"reference": "7400..."}.
func (s *Server) controlReference(r *request) (any, *apiError) {
	body := struct {
		Reference string `json:"reference"`
	}{Reference: "74000000000000000000001"}
	if e := r.read(&body); e != nil {
		return nil, e
	}
	return controlOn(s, r, func(c *change, re *Refund) (*Refund, *apiError) { return c.reference(re, body.Reference), nil })
}
