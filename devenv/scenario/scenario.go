// Package scenario replays what Stripe reported of a payment against a running dayof, and compares where it ends.
//
// A scenario is a list of webhook bodies as Stripe sent them, with the end state they must lead to: in every order of
// delivery, with every event doubled, and with all of them at once. A replay makes an order of its own, writes that
// order's ids into the bodies and signs them, so that it may run any number of times on one system.
package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Scenario is one entry of a scenarios file. One without an amount has no sale: its events are about accounts, payouts and
// the like.
type Scenario struct {
	Key           string   `json:"key"`
	Dir           string   `json:"dir"` // folder of its files below the folder of events
	Title         string   `json:"title"`
	OrderID       string   `json:"order_id"` // as the bodies name it in metadata.order_id
	PaymentIntent string   `json:"payment_intent"`
	Charge        string   `json:"charge"`
	Currency      string   `json:"currency"` // lower case, as Stripe writes it
	Amount        int64    `json:"amount"`   // minor units; 0: no sale
	Files         []string `json:"files"`    // in the order of delivery
	// Objects are files of resources that Stripe has besides those in the events.
	Objects []string `json:"objects"`
	// HoldEnds lets the hold of the order expire before the first event, and SoldOut lets somebody else take its tickets.
	HoldEnds bool           `json:"hold_ends"`
	SoldOut  bool           `json:"sold_out"`
	Expect   map[string]any `json:"expect"`
	Note     string         `json:"note"`
}

// Load reads a scenarios file. Numbers stay exact.
func Load(path string) ([]Scenario, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read scenarios: %w", err)
	}
	defer file.Close()
	decoder := json.NewDecoder(file)
	decoder.UseNumber()
	var all []Scenario
	if err := decoder.Decode(&all); err != nil {
		return nil, fmt.Errorf("read scenarios: %s: %w", path, err)
	}
	for i, s := range all {
		switch {
		case s.Key == "":
			return nil, fmt.Errorf("read scenarios: %s: scenario %d has no key", path, i+1)
		case s.Amount < 0:
			return nil, fmt.Errorf("read scenarios: %s: scenario %s has a negative amount", path, s.Key)
		case s.hasSale() && (s.Currency == "" || s.PaymentIntent == ""):
			return nil, fmt.Errorf("read scenarios: %s: scenario %s has an amount and needs payment_intent and currency", path, s.Key)
		case len(s.Files) == 0:
			return nil, fmt.Errorf("read scenarios: %s: scenario %s has no files", path, s.Key)
		}
	}
	return all, nil
}

// bodies reads the files of a scenario, each from the folder of events itself or from the scenario's folder below it.
func (s Scenario) bodies(events string) ([][]byte, error) { return s.read(events, s.Files) }

func (s Scenario) read(events string, names []string) ([][]byte, error) {
	var out [][]byte
	for _, name := range names {
		body, err := os.ReadFile(filepath.Join(events, name))
		if errors.Is(err, fs.ErrNotExist) {
			body, err = os.ReadFile(filepath.Join(events, s.Dir, name))
		}
		if err != nil {
			return nil, fmt.Errorf("read event: %w", err)
		}
		out = append(out, body)
	}
	return out, nil
}

// hasSale reports whether the scenario's events are about an order.
func (s Scenario) hasSale() bool { return s.Amount > 0 }

// deferred is how many events the scenario expects to wait for good, as "deferred" by itself or among its "events" by
// state; true is any number. Files from before the word changed say "parked".
func (s Scenario) deferred() int {
	byState, _ := s.Expect["events"].(map[string]any)
	for _, among := range []map[string]any{s.Expect, byState} {
		for _, name := range []string{"deferred", "parked"} {
			switch want := among[name].(type) {
			case bool:
				if want {
					return len(s.Files)
				}
			case json.Number:
				if n, err := want.Int64(); err == nil && n > 0 {
					return int(n)
				}
			}
		}
	}
	return 0
}

// quantity is how many tickets the scenario's order buys: those that it expects in the end, whatever their state, and at
// least one.
func (s Scenario) quantity() int64 {
	tickets, _ := s.Expect["tickets"].(map[string]any)
	var sum int64
	for _, count := range tickets {
		if n, ok := count.(json.Number); ok {
			whole, err := n.Int64()
			if err == nil {
				sum += whole
			}
		}
	}
	return max(sum, 1)
}
