package stripeapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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
		return c.Do(t.Context(), func() error {
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
