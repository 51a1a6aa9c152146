package stripe

import "encoding/json"

const kindAccount = "account"

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

// requirements tell what an account still has to show before it may act.
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
func (*Account) expandable(string) *ref { return nil }

// ensureAccount makes the account of the change if the platform does not know it yet: one that may charge and be paid out.
func (c *change) ensureAccount() {
	if c.account == "" || c.entries[c.account] != nil {
		return
	}
	c.on("").save(&Account{
		ID: c.account, Object: kindAccount, BusinessProfile: json.RawMessage(`{"name":"Sandbox Organiser"}`),
		Capabilities:   map[string]string{"card_payments": "active", "transfers": "active"},
		ChargesEnabled: true, Country: "DE", Created: c.unix(), DefaultCurrency: "eur", DetailsSubmitted: true,
		ExternalAccounts: json.RawMessage(`{"object":"list","data":[],"has_more":false,"url":"/v1/accounts/` + c.account + `/external_accounts"}`),
		Metadata:         map[string]string{}, PayoutsEnabled: true, Settings: json.RawMessage(`{}`),
		TosAcceptance: json.RawMessage(`{"date":null}`), Type: "standard",
	})
}
