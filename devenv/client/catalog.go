package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// DemoOrganizer sells the event that a fresh system starts with.
const DemoOrganizer = "demoOrganizer0000001"

// eventsMax is how many events Choose searches, one page of the catalogue.
const eventsMax = 100

// Seed puts one event on sale unless there is one already, and returns it. Its sale is open, it starts in four weeks,
// and a ticket of its first variant costs 44.50 EUR.
func (c *Client) Seed(ctx context.Context, now time.Time) (*checkoutv1.Event, error) {
	events, err := c.Catalog.ListEvents(ctx, &checkoutv1.ListEventsRequest{PageSize: 1})
	if err != nil {
		return nil, fmt.Errorf("find events: %w", err)
	}
	if len(events.GetEvents()) > 0 {
		return events.GetEvents()[0], nil
	}
	// An evening four weeks from today; the hours are in UTC, the venue's zone shows them.
	day := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 28)
	created, err := c.Catalog.CreateEvent(rpc.WithIdempotencyKey(ctx, "seed/event"), &checkoutv1.CreateEventRequest{
		OrganizerId: DemoOrganizer, OrganizerName: "Nachtschicht Konzerte", Name: "Sommernacht am Fluss",
		Venue: &checkoutv1.Venue{
			Name: "Kulturhafen", Address: "Am Kai 7, 10115 Berlin", TimeZone: "Europe/Berlin",
			Latitude: new(52.5319), Longitude: new(13.3843),
		},
		DoorsTime: timestamppb.New(day.Add(17 * time.Hour)),
		StartTime: timestamppb.New(day.Add(18 * time.Hour)),
		EndTime:   timestamppb.New(day.Add(21 * time.Hour)),
	})
	if err != nil {
		return nil, fmt.Errorf("seed event: %w", err)
	}
	event := created.GetEvent()
	for _, v := range []struct {
		product, variant     string
		price, fee, capacity int64
	}{
		{"Standing", "Floor", 4450, 250, 100_000},
		{"Seated", "Block A", 8900, 450, 20_000},
	} {
		if _, err := c.CreateVariant(ctx, "seed", event.GetId(), v.product, v.variant, v.capacity, &checkoutv1.VariantVersion{
			Price:                    &moneyv1.Money{Currency: "EUR", MinorUnits: v.price},
			ApplicationFeeMinorUnits: v.fee,
			TaxMinorUnits:            v.price * 7 / 107, // 7 % contained in the price
			TaxCountry:               "DE", TaxKind: "vat",
			Terms: "Tickets may be returned until seven days before the event. Admission from 14 years.",
		}); err != nil {
			return nil, fmt.Errorf("seed variant: %w", err)
		}
	}
	return event, nil
}

// CreateVariant adds a product with one variant to an event. The same key returns the same variant. Without a
// capacity it is a seated one, whose seats SetSeats sets.
func (c *Client) CreateVariant(
	ctx context.Context, key, eventID, product, variant string, capacity int64, version *checkoutv1.VariantVersion,
) (*checkoutv1.Variant, error) {
	base := fmt.Sprintf("%s/%s/%s/%s", key, eventID, word(product), word(variant))
	made, err := c.Catalog.CreateProduct(rpc.WithIdempotencyKey(ctx, base+"/product"),
		&checkoutv1.CreateProductRequest{EventId: eventID, Name: product})
	if err != nil {
		return nil, err
	}
	res, err := c.Catalog.CreateVariant(rpc.WithIdempotencyKey(ctx, base+"/variant"), &checkoutv1.CreateVariantRequest{
		ProductId: made.GetProduct().GetId(), Name: variant, CapacityTicketCount: capacity, OrderTicketLimit: 100, Version: version,
		Seated: capacity == 0,
	})
	if err != nil {
		return nil, err
	}
	return res.GetVariant(), nil
}

// word makes a name fit an idempotency key.
func word(name string) string {
	out := []byte(name)
	for i, b := range out {
		if b <= ' ' || b > '~' {
			out[i] = '-'
		}
	}
	return string(out)
}

// Choose returns the event and the variant to sell: those that are named, else the first with enough tickets left.
func (c *Client) Choose(ctx context.Context, eventID, variantID string, tickets int32) (*checkoutv1.Variant, error) {
	if variantID != "" {
		res, err := c.Catalog.GetVariant(ctx, &checkoutv1.GetVariantRequest{VariantId: variantID})
		if err != nil {
			return nil, err
		}
		if eventID != "" && res.GetVariant().GetEventId() != eventID {
			return nil, fmt.Errorf("variant %s belongs to another event", variantID)
		}
		return res.GetVariant(), nil
	}
	events := []string{eventID}
	if eventID == "" {
		res, err := c.Catalog.ListEvents(ctx, &checkoutv1.ListEventsRequest{PageSize: eventsMax})
		if err != nil {
			return nil, err
		}
		events = nil
		for _, e := range res.GetEvents() {
			events = append(events, e.GetId())
		}
	}
	for _, id := range events {
		req := &checkoutv1.ListVariantsRequest{EventId: id}
		for more := true; more; more = req.GetPageToken() != "" {
			res, err := c.Catalog.ListVariants(ctx, req)
			if err != nil {
				return nil, err
			}
			for _, v := range res.GetVariants() {
				if v.GetAvailableTicketCount() >= int64(tickets) {
					return v, nil
				}
			}
			req.PageToken = res.GetNextPageToken()
		}
	}
	return nil, errors.New("no variant has enough tickets left")
}
