package webhooksvc

import (
	"context"
	"net/url"
	"slices"
	"strings"

	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/internal/chassis/diagnosis"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

// endpointsMax bounds the endpoints at Stripe that are looked at: an account has 16 at most.
const endpointsMax = 100

// Diagnose asks Stripe for the endpoints that it delivers to, and holds them against what the handlers need. Nothing is changed.
func Diagnose(ctx context.Context, c Config) diagnosis.Findings {
	clientConfig := stripeapi.Config{Key: c.StripeKey, URL: c.StripeURL}
	f := stripeapi.Diagnose(ctx, clientConfig, c.Livemode)
	if !c.StripeKey.IsSet() {
		return f
	}
	clientConfig.Timeout = diagnosis.Timeout
	params := &stripe.WebhookEndpointListParams{}
	params.Context, params.Single, params.Limit = ctx, true, stripe.Int64(endpointsMax)
	iterator := stripeapi.New(clientConfig).WebhookEndpoints.List(params)
	var endpoints []*stripe.WebhookEndpoint
	for iterator.Next() {
		endpoints = append(endpoints, iterator.WebhookEndpoint())
	}
	if iterator.Err() != nil {
		f.Problem("webhook endpoints", "stripe lists none: the key may not read them")
		return f
	}
	diagnoseEndpoint(&f, c, endpoints, pathAccount)
	if len(c.ConnectSecrets) > 0 {
		diagnoseEndpoint(&f, c, endpoints, pathConnect)
	}
	return f
}

// diagnoseEndpoint examines the endpoints at Stripe that lead to a path of ours: one at least is enabled, in our version and mode, and has
// every type that a handler needs.
func diagnoseEndpoint(f *diagnosis.Findings, c Config, endpoints []*stripe.WebhookEndpoint, path string) {
	name := "webhook endpoint " + path
	found := false
	for _, e := range endpoints {
		address, err := url.Parse(e.URL)
		if err != nil || strings.TrimRight(address.Path, "/") != path {
			continue
		}
		found = true
		missing := slices.DeleteFunc(EndpointTypes(), func(eventType string) bool { return wants(e.EnabledEvents, eventType) })
		switch {
		case e.Status != "enabled":
			f.Problem(name, "%s (%s) is %s", e.URL, e.ID, e.Status)
		case e.Livemode != c.Livemode:
			f.Problem(name, "%s (%s) is of the other mode", e.URL, e.ID)
		case e.APIVersion != c.APIVersion:
			f.Problem(name, "%s (%s) is pinned to version %q, and we expect %s", e.URL, e.ID, e.APIVersion, c.APIVersion)
		case len(missing) > 0:
			f.Problem(name, "%s (%s) lacks %s", e.URL, e.ID, strings.Join(missing, ", "))
		default:
			f.OK(name, "%s (%s) has all %d types", e.URL, e.ID, len(EndpointTypes()))
		}
	}
	if !found {
		f.Problem(name, "stripe has no endpoint whose URL ends so")
	}
}

// wants says whether an endpoint's list has a type: by name, by a family such as charge.*, or by * alone.
func wants(enabled []string, eventType string) bool {
	return slices.ContainsFunc(enabled, func(e string) bool {
		family, isFamily := strings.CutSuffix(e, "*")
		return e == eventType || isFamily && strings.HasPrefix(eventType, family)
	})
}
