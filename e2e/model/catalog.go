package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// catalog is what the sequences of one system buy: an event and an organiser per currency, a variant per price, and for
// those that find the tickets gone a variant of their own.
type catalog struct {
	clock    clock.Clock
	variants map[string]*checkoutv1.Variant // by currency and price
	mu       *sync.Mutex
}

// capacity is more than all sequences of a system buy.
const capacity = 1_000_000

func newCatalog(ctx context.Context, system *client.Client, c clock.Clock) (catalog, error) {
	out := catalog{clock: c, variants: map[string]*checkoutv1.Variant{}, mu: &sync.Mutex{}}
	for _, currency := range currencies {
		event, err := out.event(ctx, system, currency)
		if err != nil {
			return out, err
		}
		for i := range prices {
			h := sequence{currency: currency, price: i}
			if out.variants[h.class()], err = newVariant(ctx, system, event, h, capacity); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// class names what a sequence buys.
func (h sequence) class() string { return fmt.Sprintf("%s/%d", h.currency, h.price) }

func (c catalog) event(ctx context.Context, system *client.Client, currency string) (string, error) {
	day := c.clock.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 28)
	res, err := system.Catalog.CreateEvent(rpc.WithIdempotencyKey(ctx, "sequences/"+client.NewKey()), &checkoutv1.CreateEventRequest{
		OrganizerId: "organizerOf" + currency + "0000000", OrganizerName: "Organiser of " + currency, Name: "An evening for " + currency,
		Venue:     &checkoutv1.Venue{Name: "Hall", Address: "1 Some Street", TimeZone: "Europe/Berlin"},
		DoorsTime: timestamppb.New(day.Add(17 * time.Hour)), StartTime: timestamppb.New(day.Add(18 * time.Hour)), EndTime: timestamppb.New(day.Add(21 * time.Hour)),
	})
	if err != nil {
		return "", fmt.Errorf("create event: %w", err)
	}
	return res.GetEvent().GetId(), nil
}

func newVariant(ctx context.Context, system *client.Client, event string, h sequence, capacity int64) (*checkoutv1.Variant, error) {
	p := prices[h.price]
	v, err := system.CreateVariant(ctx, "sequences/"+client.NewKey(), event, "Standing", fmt.Sprintf("Class %d", h.price), capacity, &checkoutv1.VariantVersion{
		Price:                    &moneyv1.Money{Currency: h.currency, MinorUnits: h.unitPrice()},
		ApplicationFeeMinorUnits: p.fee, TaxMinorUnits: p.tax, TaxCountry: "DE", TaxKind: "vat",
	})
	if err != nil {
		return nil, fmt.Errorf("create variant: %w", err)
	}
	return v, nil
}

// variant is what a sequence buys.
func (c catalog) variant(ctx context.Context, system *client.Client, h sequence) (*checkoutv1.Variant, error) {
	if h.payment != payTooLate {
		return c.variants[h.class()], nil
	}
	event, err := c.event(ctx, system, h.currency)
	if err != nil {
		return nil, err
	}
	return newVariant(ctx, system, event, h, int64(h.quantity))
}
