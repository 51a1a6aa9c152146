package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

const (
	secretKey      = "sk_test_dayof" // the sandbox takes any key of this shape
	publishableKey = "pk_test_dayof"
	// answerMax bounds what is read of an answer, in bytes.
	answerMax = 4 << 20
)

// Stripe plays the parts of Stripe's API that are not ours to call: the buyer's browser that confirms a payment, and
// the sandbox's controls.
type Stripe struct {
	BaseURL string
	HTTP    *http.Client
}

// Confirm pays an intent with a card as Stripe.js does: by the intent's client secret. A declined card is an error.
func (s Stripe) Confirm(ctx context.Context, intentID, clientSecret, paymentMethod string) error {
	form := url.Values{
		"client_secret":  {clientSecret},
		"payment_method": {paymentMethod},
		"return_url":     {"https://shop.example/paid"},
	}
	_, err := s.do(ctx, http.MethodPost, "/v1/payment_intents/"+url.PathEscape(intentID)+"/confirm", publishableKey,
		strings.NewReader(form.Encode()), "application/x-www-form-urlencoded")
	return err
}

// Get reads an API resource as the platform, such as "/v1/refunds?payment_intent=pi_1".
func (s Stripe) Get(ctx context.Context, path string, into any) error {
	body, err := s.do(ctx, http.MethodGet, path, secretKey, nil, "")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read stripe's answer to %s: %w", path, err)
	}
	return nil
}

// Control calls the sandbox's own controls, such as POST /_sandbox/settings; the answer is its JSON.
func (s Stripe) Control(ctx context.Context, method, path string, request any) ([]byte, error) {
	var body io.Reader
	if request != nil {
		text, err := json.Marshal(request)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", path, err)
		}
		body = bytes.NewReader(text)
	}
	return s.do(ctx, method, path, secretKey, body, "application/json")
}

func (s Stripe) do(ctx context.Context, method, path, key string, body io.Reader, contentType string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.BaseURL+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := s.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call stripe: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, answerMax))
	if err != nil {
		return nil, fmt.Errorf("read stripe's answer to %s: %w", path, err)
	}
	if res.StatusCode/100 != 2 {
		return nil, fmt.Errorf("stripe refuses %s %s: status %d: %s", method, path, res.StatusCode, compact(answer))
	}
	return answer, nil
}

// compact makes JSON fit one line of an error.
func compact(body []byte) string {
	var out bytes.Buffer
	if json.Compact(&out, body) != nil {
		return string(body)
	}
	return out.String()
}

// Withhold keeps every webhook about an intent back until Release.
func (s Stripe) Withhold(ctx context.Context, intentID string) error {
	_, err := s.Control(ctx, http.MethodPost, "/_sandbox/webhooks/withhold", map[string]any{"payment_intent": intentID})
	return err
}

// Release sends the webhooks about an intent that were withheld.
func (s Stripe) Release(ctx context.Context, intentID string) error {
	_, err := s.Control(ctx, http.MethodPost, "/_sandbox/webhooks/release", map[string]any{"payment_intent": intentID})
	return err
}

// Load makes an API resource exist as it is, without any webhook. account is the connected account that owns it; "" is
// the platform.
func (s Stripe) Load(ctx context.Context, id, account string, body json.RawMessage) error {
	path := "/_sandbox/objects/" + url.PathEscape(id)
	if account != "" {
		path += "?account=" + url.QueryEscape(account)
	}
	_, err := s.Control(ctx, http.MethodPut, path, body)
	return err
}

// Idle reports whether no webhook is on its way any more, of all or of those about some payment intents; withheld ones do
// not count.
func (s Stripe) Idle(ctx context.Context, intentIDs ...string) (bool, error) {
	path := "/_sandbox/idle"
	if len(intentIDs) > 0 {
		path += "?" + url.Values{"payment_intent": intentIDs}.Encode()
	}
	body, err := s.Control(ctx, http.MethodGet, path, nil)
	if err != nil {
		return false, err
	}
	var state struct {
		Idle bool `json:"idle"`
	}
	if err := json.Unmarshal(body, &state); err != nil {
		return false, fmt.Errorf("read whether stripe is idle: %w", err)
	}
	return state.Idle, nil
}
