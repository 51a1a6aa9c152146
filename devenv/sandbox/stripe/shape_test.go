package stripe_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	stripego "github.com/stripe/stripe-go/v76"
)

// paths lists the fields of a JSON value in the order they stand, dotted. What hangs below the given fields is free.
func paths(t *testing.T, raw []byte, free ...string) []string {
	t.Helper()
	var out []string
	var walk func(dec *json.Decoder, at string)
	walk = func(dec *json.Decoder, at string) {
		tok, err := dec.Token()
		if err != nil {
			t.Fatalf("read JSON: %v", err)
		}
		switch tok {
		case json.Delim('{'):
			for dec.More() {
				key, err := dec.Token()
				if err != nil {
					t.Fatalf("read JSON: %v", err)
				}
				below := strings.TrimPrefix(fmt.Sprint(at, ".", key), ".")
				out = append(out, below)
				walk(dec, below)
			}
			_, _ = dec.Token()
		case json.Delim('['):
			for dec.More() {
				walk(dec, at+"[]")
			}
			_, _ = dec.Token()
		}
	}
	walk(json.NewDecoder(bytes.NewReader(raw)), "")
	return slices.DeleteFunc(out, func(path string) bool {
		return slices.ContainsFunc(free, func(f string) bool { return strings.HasPrefix(path, f+".") || strings.HasPrefix(path, f+"[]") })
	})
}

// The bodies that the sandbox sends have the fields of Stripe's own bodies, in the same order.
func TestEventsHaveStripesShape(t *testing.T) {
	t.Parallel()
	sb := newSandbox(t)
	sb.control("PATCH", "settings", map[string]any{"async_fees": true, "async_fees_delay_ms": 1, "available_delay_seconds": 0}, 200)
	bought := sb.newIntent()
	sb.control("POST", "payment_intents/"+bought.ID+"/confirm", map[string]string{"payment_method": "pm_card_threeDSecure2Required"}, 200)
	sb.settled()
	re, err := sb.api.Refunds.New(&stripego.RefundParams{PaymentIntent: &bought.ID, Amount: stripego.Int64(4450), Reason: new("requested_by_customer")})
	if err != nil {
		t.Fatalf("refund: %v", err)
	}
	sb.control("POST", "refunds/"+re.ID+"/reference", nil, 200)
	po := sb.control("POST", "payouts", nil, 200)
	sb.control("POST", "payouts/"+idOf(po)+"/paid", nil, 200)
	given := sb.newIntent()
	sb.control("POST", "payment_intents/"+given.ID+"/confirm", map[string]string{"payment_method": "pm_card_visa_chargeDeclinedInsufficientFunds"}, 402)
	if _, err := sb.api.PaymentIntents.Cancel(given.ID, &stripego.PaymentIntentCancelParams{CancellationReason: new("abandoned")}); err != nil {
		t.Fatalf("cancel: %v", err)
	}
	charged := sb.paid("pm_card_visa")
	du := sb.control("POST", "disputes", map[string]string{"payment_intent": charged.ID}, 200)
	sb.control("POST", "disputes/"+idOf(du)+"/close", map[string]string{"status": "lost"}, 200)
	sb.settled()

	sent := map[string][]byte{}
	sb.account.mu.Lock()
	for i, ev := range sb.account.events {
		if old := sent[string(ev.Type)]; old == nil || len(sb.account.bodies[i]) > len(old) { // the fullest: with 3-D Secure
			sent[string(ev.Type)] = sb.account.bodies[i]
		}
	}
	sb.account.mu.Unlock()

	files, err := filepath.Glob("testdata/events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	free := []string{
		"data.object.metadata", "data.object.payment_method_options", "data.object.payment_method_types", "data.previous_attributes",
		"data.object.last_payment_error.payment_method", "data.object.payment_method_details.card.three_d_secure",
	}
	for _, file := range files {
		sample, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("read sample: %v", err)
		}
		_, name, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-")
		got := sent[name]
		if got == nil {
			t.Errorf("%s: the sandbox sent none", name)
			continue
		}
		free := free
		if name == "payment_intent.canceled" { // in the sample the buyer's last failure is forgotten; here it is included
			free = append(slices.Clone(free), "data.object.last_payment_error")
		}
		want, have := paths(t, sample, free...), paths(t, got, free...)
		if slices.Equal(want, have) {
			continue
		}
		for _, path := range want {
			if !slices.Contains(have, path) {
				t.Errorf("%s: %s is missing", file, path)
			}
		}
		for _, path := range have {
			if !slices.Contains(want, path) {
				t.Errorf("%s: %s is no field of Stripe's", file, path)
			}
		}
		if len(want) == len(have) {
			t.Errorf("%s: the fields stand in another order:\n%v\n%v", file, want, have)
		}
	}
}
