package stripe

// disputeBody opens a dispute as the cardholder's bank would.
type disputeBody struct {
	Charge        string `json:"charge"`
	PaymentIntent string `json:"payment_intent"`
	Amount        *int64 `json:"amount"`  // minor units; default is what was captured
	Reason        string `json:"reason"`  // default fraudulent
	Inquiry       bool   `json:"inquiry"` // a warning_* dispute: no money moves yet
}

func (s *Server) controlOpenDispute(r *request) (any, *apiError) {
	body := disputeBody{Reason: "fraudulent"}
	if e := r.read(&body); e != nil {
		return nil, e
	}
	if networkReasons[body.Reason] == "" {
		return nil, invalid("reason", "", "%s is no reason for a dispute.", body.Reason)
	}
	return s.change(r, func(c *change) (object, *apiError) {
		id := body.Charge
		if e := c.entries[body.PaymentIntent]; e != nil && id == "" {
			if pi, ok := e.obj.(*PaymentIntent); ok {
				id = pi.LatestCharge.id
			}
		}
		e := c.entries[id]
		if e == nil {
			return nil, missing(kindCharge, id, "charge")
		}
		ch, ok := e.obj.(*Charge)
		if !ok || ch.Status != chargeSucceeded || !ch.Captured {
			return nil, refused("charge", "", "%s is no captured charge: there is nothing to dispute.", id)
		}
		amount, left := ch.AmountCaptured, ch.AmountCaptured
		if body.Amount != nil {
			amount = *body.Amount
		}
		for _, du := range childrenOf[*Dispute](c.store, ch.ID, kindDispute) {
			left -= du.Amount
		}
		if amount < 1 || amount > left {
			return nil, refused("amount", "", "%s of charge %s is left to dispute, not %s.", formatAmount(left, ch.Currency), id, formatAmount(amount, ch.Currency))
		}
		return c.on(e.account).openDispute(ch, amount, body.Reason, body.Inquiry), nil
	})
}

// controlCloseDispute decides a dispute: {"status": "won" | "lost" | "warning_closed", "return_fee"?: bool}.
func (s *Server) controlCloseDispute(r *request) (any, *apiError) {
	var body struct {
		Status    string `json:"status"`
		ReturnFee bool   `json:"return_fee"`
	}
	if e := r.read(&body); e != nil {
		return nil, e
	}
	switch body.Status {
	case disputeWon, disputeLost, disputeWarningClosed:
	default:
		return nil, invalid("status", "", "A dispute closes as won, lost or warning_closed.")
	}
	return controlOn(s, r, func(c *change, du *Dispute) (*Dispute, *apiError) {
		return c.closeDispute(du, body.Status, body.ReturnFee)
	})
}

func (s *Server) controlEscalate(r *request) (any, *apiError) {
	return controlOn(s, r, func(c *change, du *Dispute) (*Dispute, *apiError) { return c.escalate(du) })
}

// controlReinstate returns the money of a dispute that was lost, as banks do now and then: {"return_fee"?: bool}.
func (s *Server) controlReinstate(r *request) (any, *apiError) {
	var body struct {
		ReturnFee bool `json:"return_fee"`
	}
	if e := r.read(&body); e != nil {
		return nil, e
	}
	return controlOn(s, r, func(c *change, du *Dispute) (*Dispute, *apiError) {
		if du.Status != disputeLost || len(du.BalanceTransactions) > 1 {
			return nil, refused("", "", "Dispute %s is %s: only the money of a lost one can come back, once.", du.ID, du.Status)
		}
		return c.reinstate(du, body.ReturnFee), nil
	})
}

// controlFraudWarning is what an issuer reports to Stripe: {"fraud_type"?: "unauthorized_use_of_card"}.
func (s *Server) controlFraudWarning(r *request) (any, *apiError) {
	body := struct {
		FraudType string `json:"fraud_type"`
	}{FraudType: "unauthorized_use_of_card"}
	if e := r.read(&body); e != nil {
		return nil, e
	}
	var warning *rawObject
	_, e := controlOn(s, r, func(c *change, ch *Charge) (*Charge, *apiError) {
		warning = &rawObject{id: c.newID("issfr_"), name: "radar.early_fraud_warning"}
		warning.body = mustJSON(map[string]any{
			"id": warning.id, "object": warning.name, "actionable": !ch.Refunded && !ch.Disputed, "charge": ch.ID, "created": c.unix(),
			"fraud_type": body.FraudType, "livemode": false, "payment_intent": ch.PaymentIntent,
		})
		c.save(warning)
		c.emit("radar.early_fraud_warning.created", warning, nil)
		return ch, nil
	})
	return warning, e
}

// controlSweep makes the automatic payout of a currency: {"currency"?: "eur"}. ?account= names a connected account.
func (s *Server) controlSweep(r *request) (any, *apiError) {
	body := struct {
		Currency string `json:"currency"`
	}{Currency: "eur"}
	if e := r.read(&body); e != nil {
		return nil, e
	}
	return s.change(r, func(c *change) (object, *apiError) {
		po, e := c.sweep(body.Currency)
		if e != nil {
			return nil, e
		}
		return po, nil
	})
}

func (s *Server) controlTransit(r *request) (any, *apiError) {
	return controlOn(s, r, func(c *change, po *Payout) (*Payout, *apiError) { return c.transit(po) })
}

func (s *Server) controlPay(r *request) (any, *apiError) {
	return controlOn(s, r, func(c *change, po *Payout) (*Payout, *apiError) { return c.pay(po) })
}

// controlBounce sends a payout back, also after it was paid: {"failure_code"?: "account_closed"}.
func (s *Server) controlBounce(r *request) (any, *apiError) {
	body := struct {
		FailureCode string `json:"failure_code"`
	}{FailureCode: "account_closed"}
	if e := r.read(&body); e != nil {
		return nil, e
	}
	return controlOn(s, r, func(c *change, po *Payout) (*Payout, *apiError) { return c.bounce(po, body.FailureCode) })
}

// getLoaded serves a kind of object that the sandbox only keeps.
func (s *Server) getLoaded(kind string) handler {
	return func(r *request) (any, *apiError) {
		r.params.allow()
		id := r.http.PathValue("id")
		s.mu.Lock()
		defer s.mu.Unlock()
		obj, ok := find[*rawObject](s.store, r.account, id)
		if !ok || obj.name != kind {
			return nil, missing(kind, id, "id")
		}
		return obj, nil
	}
}
