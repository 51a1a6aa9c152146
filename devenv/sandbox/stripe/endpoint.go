package stripe

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// Endpoint is one webhook endpoint. Events of the platform go to those with Connect false, events of connected accounts to
// those with Connect true.
type Endpoint struct {
	ID         string   `json:"id,omitempty"` // stable name; default we_account, we_connect, then numbered
	URL        string   `json:"url"`
	Secret     string   `json:"secret"`
	OldSecrets []string `json:"old_secrets,omitempty"` // rolled secrets that still live: one more v1 each
	Connect    bool     `json:"connect"`
	// APIVersion is what events call themselves; empty is 2023-10-16. The shapes are always those of 2023-10-16.
	APIVersion string `json:"api_version,omitempty"`
	// EnabledEvents are the types wanted, a trailing * for a family; empty wants all.
	EnabledEvents []string `json:"enabled_events,omitempty"`
}

// setEndpoints replaces the endpoints. An endpoint without a secret is refused: an empty key would verify.
func (d *deliverer) setEndpoints(endpoints []Endpoint) error {
	named := slices.Clone(endpoints)
	seen := map[string]bool{}
	for i := range named {
		e := &named[i]
		if e.URL == "" || e.Secret == "" {
			return fmt.Errorf("webhook endpoint %d needs a url and a secret", i)
		}
		if e.ID == "" {
			base := "we_account"
			if e.Connect {
				base = "we_connect"
			}
			e.ID = base
			for n := 2; seen[e.ID]; n++ {
				e.ID = base + strconv.Itoa(n)
			}
		}
		if seen[e.ID] {
			return fmt.Errorf("two webhook endpoints are named %s", e.ID)
		}
		seen[e.ID] = true
		e.APIVersion = cmp.Or(e.APIVersion, APIVersion)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endpoints = named
	return nil
}

func (d *deliverer) allEndpoints() []Endpoint {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.endpoints)
}

// owed lists the endpoints that get an event.
func (d *deliverer) owed(ev *Event) *deliveryState {
	d.mu.Lock()
	defer d.mu.Unlock()
	state := &deliveryState{open: map[string]string{}}
	for _, e := range d.endpoints {
		if e.Connect == (ev.Account != "") && (len(e.EnabledEvents) == 0 || matchesType(ev.Type, e.EnabledEvents)) {
			state.open[e.ID] = deliveryOwed
		}
	}
	return state
}

// WebhookEndpoint is the v1 resource of an endpoint, without its secret.
type WebhookEndpoint struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	APIVersion    string            `json:"api_version"`
	Application   *string           `json:"application"`
	Created       int64             `json:"created"`
	Description   *string           `json:"description"`
	EnabledEvents []string          `json:"enabled_events"`
	Livemode      bool              `json:"livemode"`
	Metadata      map[string]string `json:"metadata"`
	Status        string            `json:"status"`
	URL           string            `json:"url"`
}

// listWebhookEndpoints serves all endpoints on one page: an account has 16 at most.
func (s *Server) listWebhookEndpoints(r *request) (any, *apiError) {
	r.params.allow(pageParams...)
	if r.params.err != nil {
		return nil, r.params.err
	}
	data := []WebhookEndpoint{}
	for _, e := range s.deliverer.allEndpoints() {
		wanted := e.EnabledEvents
		if len(wanted) == 0 {
			wanted = []string{"*"}
		}
		data = append(data, WebhookEndpoint{
			ID: e.ID, Object: "webhook_endpoint", APIVersion: e.APIVersion, EnabledEvents: wanted, Metadata: map[string]string{},
			Status: "enabled", URL: e.URL,
		})
	}
	return struct {
		Object  string            `json:"object"`
		Data    []WebhookEndpoint `json:"data"`
		HasMore bool              `json:"has_more"`
		URL     string            `json:"url"`
	}{Object: "list", Data: data, URL: "/v1/webhook_endpoints"}, nil
}
