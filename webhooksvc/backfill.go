package webhooksvc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	stripe "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

const (
	// backfillReach is how far back Stripe lists events. Source: Stripe API reference, "List all events".
	backfillReach = 30 * 24 * time.Hour
	// backfillOverlap is read again each time: an event may become visible a little after events that are younger.
	backfillOverlap = time.Hour
	// backfillTypesMax is how many types one list may ask for. Source: Stripe API reference.
	backfillTypesMax = 20
	// backfillPageSize is the largest that Stripe gives.
	backfillPageSize = 100
	// backfillPagesMax bounds one run for one account and group of types: a hundred thousand events.
	backfillPagesMax = 1000
)

// backfillArgs asks for a backfill now, at the start of a process. Replicas that start together each ask; what the
// first one found is known to the others.
type backfillArgs struct{}

// Kind implements river.JobArgs.
func (backfillArgs) Kind() string { return "webhook_backfill" }

// backfillPolicy gives up after a while, because the periodic run comes anyway.
var backfillPolicy = jobs.Policy{MaxAttempts: 5, Timeout: 5 * time.Minute, Queue: eventQueue}

func (s *Service) workBackfill(ctx context.Context, _ *river.Job[backfillArgs]) error {
	return s.backfill(ctx)
}

// backfill fetches the events that Stripe could not deliver, and feeds them through the inbox: known ones change
// nothing, new ones are processed like deliveries. It covers the platform and each account whose events arrived at the
// Connect endpoint. Source: docs.stripe.com/webhooks/process-undelivered-events.
func (s *Service) backfill(ctx context.Context) error {
	now := s.Clock.Now()
	accounts, err := s.q.ListConnectedAccounts(ctx, s.Pool, now.Add(-backfillReach))
	if err != nil {
		return fmt.Errorf("list connected accounts: %w", err)
	}
	var errs []error
	for _, account := range append([]string{""}, accounts...) {
		errs = append(errs, s.backfillAccount(ctx, account, now)) // one account that is gone does not stop the others
	}
	return errors.Join(errs...)
}

func (s *Service) backfillAccount(ctx context.Context, account string, now time.Time) error {
	since := now.Add(-backfillReach)
	until, err := s.q.GetWebhookBackfill(ctx, s.Pool, account)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read backfill of %q: %w", account, err)
	}
	if overlap := until.Add(-backfillOverlap); overlap.After(since) {
		since = overlap
	}
	found := 0
	for types := range slices.Chunk(s.handledTypes(), backfillTypesMax) {
		err := s.stripe.list(ctx, account, types, since, func(raw json.RawMessage) error {
			isNew, err := s.storeListed(ctx, account, raw)
			if isNew {
				found++
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("backfill of %q: %w", account, err)
		}
	}
	if found > 0 {
		s.Logger.LogAttrs(ctx, slog.LevelWarn, "webhook events had not been delivered",
			slog.String("stripe_account", account), slog.Int("events", found))
	}
	if err := s.q.SetWebhookBackfill(ctx, s.Pool, account, now); err != nil {
		return fmt.Errorf("note backfill of %q: %w", account, err)
	}
	return nil
}

// storeListed puts an event of Stripe's list into the inbox of the endpoint that it should have come to.
func (s *Service) storeListed(ctx context.Context, account string, raw json.RawMessage) (isNew bool, err error) {
	event, err := decodeEvent(raw)
	if err != nil {
		s.Logger.LogAttrs(ctx, slog.LevelWarn, "listed event passed over", slog.String("error", err.Error()))
		return false, nil
	}
	d := delivery{endpoint: endpointAccount, source: sourceBackfill, event: event, body: raw, receiveTime: s.Clock.Now()}
	if account != "" {
		d.endpoint, d.event.account = endpointConnect, account
	}
	result, err := s.store(ctx, d)
	return result.isNew, err
}

// handledTypes are the types worth asking for, sorted.
func (s *Service) handledTypes() []string {
	var types []string
	for eventType, h := range s.handlers {
		if h.translate != nil {
			types = append(types, eventType)
		}
	}
	slices.Sort(types)
	return types
}

// stripeEvents is Stripe as webhooksvc asks it: its event list, and what events leave open.
type stripeEvents struct {
	client  *client.API
	breaker *breaker.Breaker
	hasKey  bool
}

// newStripeEvents makes a client without global state and without retries of its own, which would sleep through the
// end of a context.
func newStripeEvents(c Config, d Deps) stripeEvents {
	transport := d.StripeTransport
	if transport == nil {
		transport = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: 90 * time.Second}
	}
	httpClient := &http.Client{Timeout: c.StripeTimeout, Transport: transport}
	backend := func() *stripe.BackendConfig { // a new value per backend: the library writes into it
		return &stripe.BackendConfig{
			URL:               new(strings.TrimSuffix(c.StripeURL, "/")),
			HTTPClient:        httpClient,
			LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
			MaxNetworkRetries: stripe.Int64(0),
			EnableTelemetry:   new(false),
		}
	}
	return stripeEvents{
		hasKey:  c.StripeKey.IsSet(),
		breaker: breaker.New(breaker.Config{Party: "stripe", Logger: d.Logger, IsFailure: speaksAgainstStripe}),
		client: client.New(c.StripeKey.Reveal(), &stripe.Backends{
			API:     stripe.GetBackendWithConfig(stripe.APIBackend, backend()),
			Connect: stripe.GetBackendWithConfig(stripe.ConnectBackend, backend()),
			Uploads: stripe.GetBackendWithConfig(stripe.UploadsBackend, backend()),
		}),
	}
}

// list calls each with every undelivered event of these types since a time, the newest first, as the bytes that Stripe
// sent: stripe-go's own structs would refuse what is newer than they are.
func (s stripeEvents) list(ctx context.Context, account string, types []string, since time.Time, each func(json.RawMessage) error) error {
	after := ""
	for range backfillPagesMax {
		params := &stripe.EventListParams{
			Types:           stripe.StringSlice(types),
			DeliverySuccess: new(false),
			CreatedRange:    &stripe.RangeQueryParams{GreaterThanOrEqual: since.Unix()},
		}
		params.Context = ctx
		params.Single = true // one page per call
		params.Limit = stripe.Int64(backfillPageSize)
		if after != "" {
			params.StartingAfter = new(after)
		}
		if account != "" {
			params.SetStripeAccount(account)
		}
		page, err := s.page(ctx, params)
		if err != nil {
			return err
		}
		for _, raw := range page.Data {
			if err := each(raw); err != nil {
				return err
			}
		}
		if !page.HasMore || page.lastID == "" {
			return nil
		}
		after = page.lastID
	}
	return fmt.Errorf("list events: more than %d pages", backfillPagesMax)
}

// eventPage is one page of the list.
type eventPage struct {
	Data    []json.RawMessage `json:"data"`
	HasMore bool              `json:"has_more"`
	lastID  string
}

// page fetches one page, behind the breaker.
func (s stripeEvents) page(ctx context.Context, params *stripe.EventListParams) (eventPage, error) {
	var page eventPage
	err := s.breaker.Do(ctx, func(context.Context) error {
		iter := s.client.Events.List(params)
		if err := iter.Err(); err != nil {
			return err
		}
		if err := json.Unmarshal(iter.EventList().LastResponse.RawJSON, &page); err != nil {
			return fmt.Errorf("read page: %w", err)
		}
		if data := iter.EventList().Data; len(data) > 0 {
			page.lastID = data[len(data)-1].ID
		}
		return nil
	})
	if err != nil {
		return eventPage{}, fmt.Errorf("list events: %w", err)
	}
	return page, nil
}
