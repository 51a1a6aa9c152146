package stripeapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

func TestErrors(t *testing.T) {
	t.Parallel()
	refused := func(status int, code stripe.ErrorCode) error {
		return fmt.Errorf("create: %w", &stripe.Error{HTTPStatusCode: status, Code: code})
	}
	for name, tc := range map[string]struct {
		err                     error
		away, failure, notFound bool
	}{
		"success":              {nil, false, false, false},
		"no answer":            {io.ErrUnexpectedEOF, true, true, false},
		"timeout":              {context.DeadlineExceeded, true, true, false},
		"open breaker":         {fmt.Errorf("stripe: %w", breaker.ErrOpen), true, true, false},
		"server error":         {refused(500, ""), true, true, false},
		"too many requests":    {refused(429, "rate_limit"), true, true, false},
		"lock of the object":   {refused(429, stripe.ErrorCodeLockTimeout), true, false, false},
		"lock with 400":        {refused(400, stripe.ErrorCodeLockTimeout), true, false, false},
		"same key in progress": {refused(409, stripe.ErrorCodeIdempotencyKeyInUse), true, false, false},
		"conflict":             {refused(409, ""), true, false, false},
		"key for another body": {refused(400, "idempotency_error"), false, false, false},
		"declined":             {refused(402, stripe.ErrorCodeCardDeclined), false, false, false},
		"unauthorized":         {refused(401, ""), false, false, false},
		"forbidden":            {refused(403, ""), false, false, false},
		"not found":            {refused(404, stripe.ErrorCodeResourceMissing), false, false, true},
	} {
		if got := stripeapi.Away(tc.err); got != tc.away {
			t.Errorf("%s: away is %t", name, got)
		}
		if got := stripeapi.IsFailure(tc.err); got != tc.failure {
			t.Errorf("%s: failure is %t", name, got)
		}
		if got := stripeapi.NotFound(tc.err); got != tc.notFound {
			t.Errorf("%s: not found is %t", name, got)
		}
	}
	if got := stripeapi.Code(refused(402, stripe.ErrorCodeCardDeclined)); got != stripe.ErrorCodeCardDeclined {
		t.Errorf("code %q", got)
	}
	if got := stripeapi.Code(io.EOF); got != "" {
		t.Errorf("code %q of no answer", got)
	}
}

// TestClient makes calls that Stripe does not answer until the breaker opens: one try each, none while it is open.
func TestClient(t *testing.T) {
	t.Parallel()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		if got := r.Header.Get("Authorization"); got != "Bearer sk_test_1" {
			t.Errorf("authorization %q", got)
		}
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, `{"error": {"type": "api_error"}}`)
	}))
	t.Cleanup(server.Close)
	c := stripeapi.New(stripeapi.Config{Key: config.NewSecret("sk_test_1"), URL: server.URL + "/", Timeout: time.Minute})
	if !c.HasKey() {
		t.Error("there is a key")
	}
	get := func() error {
		return c.Do(t.Context(), stripeapi.Target{}, func() error {
			params := &stripe.ChargeParams{}
			params.Context = t.Context()
			_, err := c.Charges.Get("ch_1", params)
			return err
		})
	}
	for range 5 {
		if err := get(); !stripeapi.Away(err) || stripeapi.Status(err) != http.StatusInternalServerError {
			t.Errorf("error %v", err)
		}
	}
	if err := get(); !errors.Is(err, breaker.ErrOpen) || calls != 5 {
		t.Errorf("after 5 failures: %v after %d calls", err, calls)
	}
}

// TestRefusalsCarryNoContent: a declined card comes with the whole payment intent, of which no error may hold a word.
func TestRefusalsCarryNoContent(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Request-Id", "req_1")
		w.WriteHeader(http.StatusPaymentRequired)
		fmt.Fprint(w, `{"error": {"type": "card_error", "code": "card_declined", "decline_code": "lost_card", "message": "Sorry, Erika",
			"param": "payment_method", "payment_intent": {"id": "pi_1", "client_secret": "pi_1_secret_2", "receipt_email": "erika@example.test"},
			"payment_method": {"id": "pm_1", "billing_details": {"name": "Erika"}}}}`)
	}))
	t.Cleanup(server.Close)
	c := stripeapi.New(stripeapi.Config{Key: config.NewSecret("sk_test_1"), URL: server.URL, Timeout: time.Minute})
	err := c.Do(t.Context(), stripeapi.Target{}, func() error {
		params := &stripe.PaymentIntentConfirmParams{}
		params.Context = t.Context()
		_, err := c.PaymentIntents.Confirm("pi_1", params)
		return err
	})
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("refused", slog.Any("error", fmt.Errorf("confirm: %w", err)))
	fmt.Fprintf(&logged, "%v %+v", err, err)
	if text := strings.ToLower(logged.String()); strings.Contains(text, "erika") || strings.Contains(text, "secret") {
		t.Errorf("the error holds what Stripe sent along: %s", logged.String())
	}
	if want := "stripe answers 402 card_error, code card_declined, decline code lost_card, parameter payment_method, request req_1"; err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if stripeapi.Code(err) != stripe.ErrorCodeCardDeclined || stripeapi.Status(err) != http.StatusPaymentRequired {
		t.Errorf("code %s, status %d", stripeapi.Code(err), stripeapi.Status(err))
	}
}
