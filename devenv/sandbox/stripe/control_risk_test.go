package stripe_test

import (
	"encoding/json"
	"net/http"
	"testing"
)

func TestReviewAndBankAccount(t *testing.T) {
	t.Parallel()
	sb := newSandbox(t)
	pi := sb.newIntent()
	sb.control("POST", "payment_intents/"+pi.ID+"/confirm", nil, 200)
	paid, err := sb.api.PaymentIntents.Get(pi.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	var review struct {
		ID            string  `json:"id"`
		Open          bool    `json:"open"`
		PaymentIntent string  `json:"payment_intent"`
		ClosedReason  *string `json:"closed_reason"`
	}
	read := func(body []byte) {
		t.Helper()
		if err := json.Unmarshal(body, &review); err != nil {
			t.Fatal(err)
		}
	}
	read(sb.controlRaw("POST", "charges/"+paid.LatestCharge.ID+"/review", []byte(`{}`), 200))
	if !review.Open || review.PaymentIntent != pi.ID || review.ClosedReason != nil {
		t.Errorf("opened as %+v", review)
	}
	sb.controlRaw("POST", "reviews/"+review.ID+"/close", []byte(`{"closed_reason":"refunded"}`), 200)
	res, body := sb.raw("GET", "/v1/reviews/"+review.ID, "", http.Header{})
	if read([]byte(body)); res.StatusCode != http.StatusOK || review.Open || review.ClosedReason == nil || *review.ClosedReason != "refunded" {
		t.Errorf("%d, closed as %+v", res.StatusCode, review)
	}
	sb.control("PUT", "accounts/"+organiser, map[string]bool{"charges_enabled": true}, 200)
	sb.controlRaw("POST", "accounts/"+organiser+"/bank_account", []byte(`{"change":"updated","bank_account":"ba_1"}`), 200)
	sb.controlRaw("POST", "accounts/acct_nobody/bank_account", []byte(`{}`), 404)
	sb.controlRaw("POST", "accounts/"+organiser+"/bank_account", []byte(`{"change":"stolen"}`), 400)
	// An account that its own event shows is the platform's to see.
	loaded := `{"id":"acct_1Loaded","object":"account","charges_enabled":false,"metadata":{"organizer_id":"organizer00000001"}}`
	for range 2 {
		sb.controlRaw("PUT", "objects/acct_1Loaded?account=acct_1Loaded", []byte(loaded), 200)
	}
	if account, err := sb.api.Accounts.GetByID("acct_1Loaded", nil); err != nil || account.ChargesEnabled || account.Metadata["organizer_id"] == "" {
		t.Errorf("the loaded account reads %+v, %v", account, err)
	}
	for _, account := range []string{"acct_1A", "acct_1B"} {
		sb.controlRaw("PUT", "objects/card_payments?account="+account, []byte(`{"id":"card_payments","object":"capability"}`), 200)
	}
	sb.settled()
	if got := sb.connect.event(t, "account.external_account.updated"); got.Account != organiser {
		t.Errorf("the event is of account %q", got.Account)
	}
	sb.account.event(t, "review.opened")
	sb.account.event(t, "review.closed")
}
