package e2etest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
)

// StripeCall is one call of Stripe's API, as the sandbox's log of requests has it.
type StripeCall struct {
	Method  string     `json:"method"`
	Path    string     `json:"path"`
	Params  url.Values `json:"params"` // of query and form
	Account string     `json:"account,omitempty"`
}

// StripeCalls are all calls that a cluster has made so far. Those of a buyer's browser are among them.
func StripeCalls(ctx context.Context, m *cluster.Cluster) ([]StripeCall, error) {
	body, err := client.NewClient(m.File).Stripe.Control(ctx, http.MethodGet, "/_sandbox/requests", nil)
	if err != nil {
		return nil, err
	}
	var calls []StripeCall
	if err := json.Unmarshal(body, &calls); err != nil {
		return nil, fmt.Errorf("read the sandbox's log of requests: %w", err)
	}
	return calls, nil
}

// RecordStripeCalls appends the calls of a cluster to the file that DAYOF_E2E_STRIPE_CALLS names, one JSON object a line, for
// TestStripeCallsByTools to check.
func RecordStripeCalls(ctx context.Context, m *cluster.Cluster) error {
	name := os.Getenv("DAYOF_E2E_STRIPE_CALLS")
	if name == "" {
		return nil
	}
	calls, err := StripeCalls(ctx, m)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Clean(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // whoever runs the tests names it
	if err != nil {
		return err
	}
	lines := json.NewEncoder(file)
	for _, c := range calls {
		err = errors.Join(err, lines.Encode(c))
	}
	return errors.Join(err, file.Close())
}
