package stripe

import (
	"encoding/json"
	"net/http"
)

const (
	kindAccount    = "account"
	kindCapability = "capability"
)

// Account is the v1 resource of a connected account, with the fields of version 2023-10-16 that a platform reads.
type Account struct {
	ID               string            `json:"id"`
	Object           string            `json:"object"`
	BusinessProfile  json.RawMessage   `json:"business_profile"`
	BusinessType     *string           `json:"business_type"`
	Capabilities     map[string]string `json:"capabilities"`
	ChargesEnabled   bool              `json:"charges_enabled"`
	Country          string            `json:"country"`
	Created          int64             `json:"created"`
	DefaultCurrency  string            `json:"default_currency"`
	DetailsSubmitted bool              `json:"details_submitted"`
	Email            *string           `json:"email"`
	ExternalAccounts json.RawMessage   `json:"external_accounts"`
	Metadata         map[string]string `json:"metadata"`
	PayoutsEnabled   bool              `json:"payouts_enabled"`
	Requirements     requirements      `json:"requirements"`
	Settings         json.RawMessage   `json:"settings"`
	TosAcceptance    json.RawMessage   `json:"tos_acceptance"`
	Type             string            `json:"type"`
}

// requirements say what an account still has to show before it may act.
type requirements struct {
	Alternatives        []string          `json:"alternatives"`
	CurrentDeadline     *int64            `json:"current_deadline"`
	CurrentlyDue        []string          `json:"currently_due"`
	DisabledReason      *string           `json:"disabled_reason"`
	Errors              []json.RawMessage `json:"errors"`
	EventuallyDue       []string          `json:"eventually_due"`
	PastDue             []string          `json:"past_due"`
	PendingVerification []string          `json:"pending_verification"`
}

func (a *Account) objectID() string     { return a.ID }
func (a *Account) kind() string         { return kindAccount }
func (a *Account) clone() object        { c := *a; return &c }
func (a *Account) createdAt() int64     { return a.Created }
func (*Account) expandable(string) *ref { return nil }

// ensureAccount makes the account of the change if the platform does not know it yet: one that may charge and be paid out.
func (c *change) ensureAccount() {
	if c.account == "" || c.entries[c.account] != nil {
		return
	}
	a := c.newAccount()
	a.Created = c.unix()
	c.on("").save(a)
}

// newAccount is an account that may charge and be paid out.
func (c *change) newAccount() *Account {
	return &Account{
		ID: c.account, Object: kindAccount, BusinessProfile: json.RawMessage(`{"name":"Sandbox Organiser"}`),
		Capabilities:   map[string]string{"card_payments": "active", "transfers": "active"},
		ChargesEnabled: true, Country: "DE", DefaultCurrency: "eur", DetailsSubmitted: true,
		ExternalAccounts: json.RawMessage(`{"object":"list","data":[],"has_more":false,"url":"/v1/accounts/` + c.account + `/external_accounts"}`),
		Metadata:         map[string]string{}, PayoutsEnabled: true, Settings: json.RawMessage(`{}`),
		TosAcceptance: json.RawMessage(`{"date":null}`), Type: "standard",
		Requirements: requirements{
			Alternatives: []string{}, CurrentlyDue: []string{}, Errors: []json.RawMessage{}, EventuallyDue: []string{},
			PastDue: []string{}, PendingVerification: []string{},
		},
	}
}

// connected finds a connected account that has not left. The mutex is held.
func (s *Server) connected(id string) (*Account, bool) {
	a, ok := find[*Account](s.store, "", id)
	return a, ok && !s.store.entries[id].revoked
}

func noAccess(id string) *apiError {
	e := invalid("", "account_invalid", "The provided key does not have access to account '%s' (or that account does not exist). "+
		"Application access may have been revoked.", id)
	e.status = http.StatusForbidden
	return e
}

// own is the platform's account as the API shows it.
func (s *Server) own() *Account {
	c := &change{s: s, account: s.ownID}
	a := c.newAccount()
	a.ID = s.ownID
	return a
}

func (s *Server) getOwnAccount(r *request) (any, *apiError) {
	r.params.allow()
	if r.account == "" {
		return s.own(), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store.entries[r.account].obj, nil
}

func (s *Server) getAccount(r *request) (any, *apiError) {
	r.params.allow()
	id := r.http.PathValue("id")
	if id == s.ownID {
		return s.own(), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.connected(id)
	if !ok || (r.account != "" && r.account != id) {
		return nil, noAccess(id)
	}
	return a, nil
}

func (s *Server) listAccounts(r *request) (any, *apiError) {
	r.params.allow(pageParams...)
	return page(s, r, kindAccount, func(a *Account) bool { return !s.store.entries[a.ID].revoked })
}

// accountBody is what the control API can set of a connected account; absent fields stay as they are.
type accountBody struct {
	ChargesEnabled   *bool             `json:"charges_enabled"`
	PayoutsEnabled   *bool             `json:"payouts_enabled"`
	DetailsSubmitted *bool             `json:"details_submitted"`
	Country          *string           `json:"country"`
	DefaultCurrency  *string           `json:"default_currency"`
	Email            *string           `json:"email"`
	CurrentlyDue     *[]string         `json:"currently_due"`
	DisabledReason   *string           `json:"disabled_reason"`
	Metadata         map[string]string `json:"metadata"`
}

// controlPutAccount connects an account, or changes what Stripe's checks came to: account.updated follows.
func (s *Server) controlPutAccount(r *request) (any, *apiError) {
	var body accountBody
	if e := r.read(&body); e != nil {
		return nil, e
	}
	r.account = r.http.PathValue("id")
	return s.change(r, func(c *change) (object, *apiError) {
		c.ensureAccount()
		old, ok := find[*Account](c.store, "", c.account)
		if !ok {
			return nil, invalid("id", "", "%s is no account.", c.account)
		}
		a := *old
		for _, f := range []struct{ to, from *bool }{
			{&a.ChargesEnabled, body.ChargesEnabled}, {&a.PayoutsEnabled, body.PayoutsEnabled}, {&a.DetailsSubmitted, body.DetailsSubmitted},
		} {
			if f.from != nil {
				*f.to = *f.from
			}
		}
		if body.Country != nil {
			a.Country = *body.Country
		}
		if body.DefaultCurrency != nil {
			a.DefaultCurrency = *body.DefaultCurrency
		}
		if body.Email != nil {
			a.Email = body.Email
		}
		if body.CurrentlyDue != nil {
			a.Requirements.CurrentlyDue, a.Requirements.EventuallyDue = *body.CurrentlyDue, *body.CurrentlyDue
		}
		a.Requirements.DisabledReason = body.DisabledReason
		if body.Metadata != nil {
			a.Metadata = body.Metadata
		}
		c.on("").save(&a)
		c.entries[a.ID].revoked = false
		c.emit("account.updated", &a, map[string]any{
			"charges_enabled": old.ChargesEnabled, "details_submitted": old.DetailsSubmitted, "payouts_enabled": old.PayoutsEnabled,
		})
		return &a, nil
	})
}

// controlDeauthorize disconnects an account: it can no longer be called. The event's object is the application.
func (s *Server) controlDeauthorize(r *request) (any, *apiError) {
	r.account = r.http.PathValue("id")
	return s.change(r, func(c *change) (object, *apiError) {
		a, ok := find[*Account](c.store, "", c.account)
		if !ok {
			return nil, missing(kindAccount, c.account, "id")
		}
		c.on("").save(a)
		c.entries[c.account].revoked = true
		c.emit("account.application.deauthorized", &rawObject{
			id: sandboxApplication, name: "application",
			body: mustJSON(map[string]any{"id": sandboxApplication, "object": "application", "name": "dayof"}),
		}, nil)
		return a, nil
	})
}
