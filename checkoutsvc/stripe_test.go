package checkoutsvc_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// confirm pays an intent at Stripe, as the buyer's browser would.
func (w *harness) confirm(intentID string) {
	w.t.Helper()
	w.control("POST", "/_sandbox/payment_intents/"+intentID+"/confirm", map[string]any{})
}

// control calls Stripe's stand-in behind the scenes.
func (w *harness) control(method, path string, body any) []byte {
	w.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.stripe+path, bytes.NewReader(b))
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		w.t.Fatalf("%s %s: %d %s %v", method, path, res.StatusCode, answer, err)
	}
	return answer
}

// api calls Stripe's stand-in as an API client would, with a form.
func (w *harness) api(method, path, form string) map[string]any {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.stripe+path, strings.NewReader(form))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk_test_checkout")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil || res.StatusCode >= 300 {
		w.t.Fatalf("%s %s: %d %v %v", method, path, res.StatusCode, out, err)
	}
	return out
}

// field returns a field of Stripe's answer by its path, as text.
func field(object any, path ...string) string {
	for _, name := range path {
		m, ok := object.(map[string]any)
		if !ok {
			return fmt.Sprintf("no object above %s", name)
		}
		object = m[name]
	}
	return fmt.Sprint(object)
}
