package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// parties are Stripe and the ledger as every engine calls them: one HTTP server in this process that answers at once, and that has one
// effect for each idempotency key.
type parties struct {
	url    string
	server *http.Server
	client *http.Client

	mu      sync.Mutex
	effects map[string]map[string]bool // keys, by path
}

// The paths of the two calls of an attempt.
const (
	intentPath = "/v1/payment_intents"
	entryPath  = "/entries"
)

func startParties(ctx context.Context) (*parties, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &parties{
		url:    "http://" + listener.Addr().String(),
		client: &http.Client{Timeout: callTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute}},
	}
	p.forget()
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: callTimeout}
	go func() { _ = p.server.Serve(listener) }() // it ends with stop
	return p, nil
}

// callTimeout bounds one call to a party.
const callTimeout = 30 * time.Second

// ServeHTTP answers both calls: the id is made of the key, so a repeated call has the same answer.
func (p *parties) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	prefix := map[string]string{intentPath: "pi_", entryPath: "entry_"}[r.URL.Path]
	if _, err := io.Copy(io.Discard, r.Body); err != nil || key == "" || prefix == "" {
		http.Error(w, "not a call of an attempt", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	p.effects[r.URL.Path][key] = true
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"id":%q,"object":"payment_intent","status":"succeeded"}`, prefix+key)
}

// call posts to a party and returns the id of what it made.
func (p *parties) call(ctx context.Context, path, key, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Idempotency-Key", key)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var made struct {
		ID string `json:"id"`
	}
	if err := json.NewDecoder(res.Body).Decode(&made); err != nil {
		return "", fmt.Errorf("POST %s: %w", path, err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil { // so that the connection is used again
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("POST %s: status %d", path, res.StatusCode)
	}
	return made.ID, nil
}

// forget starts counting effects again.
func (p *parties) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.effects = map[string]map[string]bool{intentPath: {}, entryPath: {}}
}

// verify fails unless each of so many orders has one payment intent and one entry.
func (p *parties) verify(orders int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if intents, entries := len(p.effects[intentPath]), len(p.effects[entryPath]); intents != orders || entries != orders {
		return fmt.Errorf("%d orders have %d payment intents and %d entries", orders, intents, entries)
	}
	return nil
}

func (p *parties) stop() error {
	if err := p.server.Close(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
