package stripe

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Objects of Stripe's risk team and of onboarding that the sandbox only keeps and sends events of.
const (
	nameReview      = "review"
	nameBankAccount = "bank_account"
)

// controlOpenReview puts a payment under manual review, as a rule would: {"reason"?: "rule"}.
func (s *Server) controlOpenReview(r *request) (any, *apiError) {
	body := struct {
		Reason string `json:"reason"`
	}{Reason: "rule"}
	if e := r.read(&body); e != nil {
		return nil, e
	}
	var review *rawObject
	_, e := controlOn(s, r, func(c *change, ch *Charge) (*Charge, *apiError) {
		review = c.review(c.newID("prv_"), ch, body.Reason)
		c.save(review)
		c.emit("review.opened", review, nil)
		return ch, nil
	})
	return review, e
}

// controlCloseReview ends a review: {"closed_reason"?: "approved"}. What the reason says of the money is done apart.
func (s *Server) controlCloseReview(r *request) (any, *apiError) {
	body := struct {
		ClosedReason string `json:"closed_reason"`
	}{ClosedReason: "approved"}
	if e := r.read(&body); e != nil {
		return nil, e
	}
	return controlOn(s, r, func(c *change, old *rawObject) (*rawObject, *apiError) {
		if old.name != nameReview {
			return nil, missing(nameReview, old.id, "id")
		}
		closed, err := closeReview(old, body.ClosedReason)
		if err != nil {
			return nil, invalid("id", "", "%v", err)
		}
		c.save(closed)
		c.emit("review.closed", closed, map[string]any{"open": true, "closed_reason": nil})
		return closed, nil
	})
}

// closeReview is the review as it reads when it has ended.
func closeReview(old *rawObject, reason string) (*rawObject, error) {
	fields := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(old.body))
	decoder.UseNumber()
	if err := decoder.Decode(&fields); err != nil {
		return nil, fmt.Errorf("read review %s: %w", old.id, err)
	}
	fields["open"], fields["closed_reason"], fields["reason"] = false, reason, reason
	return &rawObject{id: old.id, name: nameReview, body: mustJSON(fields)}, nil
}

// review is the v1 resource with the fields of version 2023-10-16 that a platform reads.
func (c *change) review(id string, ch *Charge, reason string) *rawObject {
	return &rawObject{id: id, name: nameReview, body: mustJSON(map[string]any{
		"id": id, "object": nameReview, "billing_zip": nil, "charge": ch.ID, "closed_reason": nil, "created": c.unix(), "ip_address": nil,
		"livemode": false, "open": true, "opened_reason": reason, "payment_intent": ch.PaymentIntent, "reason": reason, "session": nil,
	})}
}

// controlBankAccount changes where an account's payouts go: {"change"?: "created" | "updated" | "deleted", "bank_account"?: id}.
func (s *Server) controlBankAccount(r *request) (any, *apiError) {
	body := struct {
		Change      string `json:"change"`
		BankAccount string `json:"bank_account"`
	}{Change: "created"}
	if e := r.read(&body); e != nil {
		return nil, e
	}
	switch body.Change {
	case "created", "updated", "deleted":
	default:
		return nil, invalid("change", "", "A bank account is created, updated or deleted.")
	}
	r.account = r.http.PathValue("id")
	return s.change(r, func(c *change) (object, *apiError) {
		if _, ok := s.connected(c.account); !ok {
			return nil, missing(kindAccount, c.account, "id")
		}
		id := body.BankAccount
		if id == "" {
			id = c.newID("ba_")
		}
		bank := &rawObject{id: id, name: nameBankAccount, body: mustJSON(map[string]any{
			"id": id, "object": nameBankAccount, "account": c.account, "account_holder_name": "Erika Beispiel", "account_holder_type": "company",
			"bank_name": "STRIPE TEST BANK", "country": "DE", "currency": "eur", "default_for_currency": true, "fingerprint": "9RTBs4kLmN2xQz7v",
			"last4": "3000", "metadata": map[string]string{}, "routing_number": nil, "status": "new",
		})}
		c.save(bank)
		c.emit("account.external_account."+body.Change, bank, nil)
		return bank, nil
	})
}
