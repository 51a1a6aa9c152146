package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/dayof/dayof/devenv/sandbox/stripe"
)

// bodySizes are the sizes of the bodies, in bytes, in turn: what Stripe sends is 2 to 30 kB, most of it small.
// Source: specifications of the events in docs.stripe.com/api/events, and 50 metadata keys of 500 characters.
var bodySizes = []int{2 << 10, 2500, 3 << 10, 3500, 4 << 10, 5 << 10, 6 << 10, 8 << 10, 12 << 10, 30 << 10}

// placeholder stands in a template where each event has an id of its own.
const placeholder = "evt_000000000000000000000000"

// events makes distinct signed deliveries. Making one costs a copy and an HMAC.
type events struct {
	path      string
	host      string
	secret    string
	now       func() time.Time
	run       uint64 // sets the ids of this run apart from those of others
	templates [][]byte
	next      *atomic.Uint64
}

func newEvents(path, host, secret string, now func() time.Time, next *atomic.Uint64) (*events, error) {
	e := &events{path: path, host: host, secret: secret, now: now, run: rand.Uint64(), next: next}
	for _, size := range bodySizes {
		template, err := eventOfSize(size)
		if err != nil {
			return nil, err
		}
		e.templates = append(e.templates, template)
	}
	return e, nil
}

// eventOfSize is a payment_intent.succeeded as Stripe prints it, filled up with metadata.
func eventOfSize(size int) ([]byte, error) {
	metadata := map[string]string{"order_id": "bench0000000000000000"}
	event := func() ([]byte, error) {
		return json.MarshalIndent(map[string]any{
			"id": placeholder, "object": "event", "api_version": "2023-10-16", "created": 1764000040, "livemode": false,
			"data": map[string]any{"object": map[string]any{
				"id": "pi_3v6H8aCtTb1WUcve0mJVpNbb", "object": "payment_intent", "amount": 8900, "amount_capturable": 0,
				"amount_details": map[string]any{"tip": map[string]any{}}, "amount_received": 8900, "application": nil,
				"application_fee_amount": nil, "automatic_payment_methods": map[string]any{"allow_redirects": "always", "enabled": true},
				"canceled_at": nil, "cancellation_reason": nil, "capture_method": "automatic", "client_secret": "pi_3v6H8aCtTb1WUcve0mJVpNbb_secret_x",
				"confirmation_method": "automatic", "created": 1764000000, "currency": "eur", "customer": nil, "description": "Tickets",
				"invoice": nil, "last_payment_error": nil, "latest_charge": "ch_3v6H8aCtTb1WUcve0mJVpNbb", "livemode": false,
				"metadata": metadata, "next_action": nil, "on_behalf_of": nil, "payment_method": "pm_1v6H8aCtTb1WUcve0mJVpNbb",
				"payment_method_options": map[string]any{"card": map[string]any{"installments": nil, "mandate_options": nil, "network": nil, "request_three_d_secure": "automatic"}},
				"payment_method_types":   []string{"card", "link", "sepa_debit"}, "processing": nil, "receipt_email": nil, "review": nil,
				"setup_future_usage": nil, "shipping": nil, "source": nil, "statement_descriptor": nil, "statement_descriptor_suffix": nil,
				"status": "succeeded", "transfer_data": nil, "transfer_group": nil,
			}},
			"pending_webhooks": 2, "request": map[string]any{"id": "req_bench0000000", "idempotency_key": nil}, "type": "payment_intent.succeeded",
		}, "", "  ")
	}
	for n := 0; ; n++ {
		body, err := event()
		if err != nil {
			return nil, fmt.Errorf("write an event: %w", err)
		}
		if len(body) >= size {
			return body, nil
		}
		metadata[fmt.Sprintf("note_%02d", n)] = words(min(500, size-len(body)))
	}
}

// words are as compressible as what people write.
func words(size int) string {
	vocabulary := []string{"seat", "row", "gate", "north", "south", "early", "balcony", "member", "guest", "voucher", "summer", "open", "air", "hall"}
	var text bytes.Buffer
	for text.Len() < size {
		text.WriteString(vocabulary[rand.IntN(len(vocabulary))])
		text.WriteByte(' ')
		text.WriteString(strconv.Itoa(rand.IntN(100_000)))
		text.WriteByte(' ')
	}
	return text.String()[:size]
}

// request appends the bytes of one delivery, headers and all, to buffer[:0].
func (e *events) request(buffer []byte) []byte {
	n := e.next.Add(1)
	template := e.templates[n%uint64(len(e.templates))]
	id := fmt.Appendf(make([]byte, 0, len(placeholder)), "evt_%012x%012x", e.run&(1<<48-1), n)
	body := bytes.Replace(template, []byte(placeholder), id, 1)
	buffer = fmt.Appendf(buffer[:0], "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\nAccept: */*; q=0.5, application/xml\r\n"+
		"Cache-Control: no-cache\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\nStripe-Signature: %s\r\n\r\n",
		e.path, e.host, len(body), stripe.Sign(e.secret, e.now(), body))
	return append(buffer, body...)
}
