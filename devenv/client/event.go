package client

import (
	"context"
	"fmt"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// Event is an event as scripts and people read it.
type Event struct {
	ID               string    `json:"event_id"`
	OrganizerID      string    `json:"organizer_id"`
	OrganizerName    string    `json:"organizer_name"`
	Name             string    `json:"name"`
	Publication      string    `json:"publication"`
	VenueName        string    `json:"venue_name"`
	TimeZone         string    `json:"time_zone"`
	DoorsTime        string    `json:"doors_time,omitempty"`
	StartTime        string    `json:"start_time"`
	EndTime          string    `json:"end_time"`
	BuyerTicketLimit int32     `json:"buyer_ticket_limit,omitempty"`
	UpdateNumber     int64     `json:"update_number"`
	Variants         []Variant `json:"variants,omitempty"`
}

// Variant is a variant of an event with the price of now.
type Variant struct {
	ID              string `json:"variant_id"`
	ProductName     string `json:"product_name"`
	Name            string `json:"name"`
	State           string `json:"state"`
	Version         int32  `json:"version"`
	Currency        string `json:"currency"`
	PriceMinorUnits int64  `json:"price_minor_units"`
	Capacity        int64  `json:"capacity_ticket_count"`
	Available       int64  `json:"available_ticket_count"`
}

// EventOf is an event without its variants.
func EventOf(e *checkoutv1.Event) Event {
	return Event{
		ID: e.GetId(), OrganizerID: e.GetOrganizerId(), OrganizerName: e.GetOrganizerName(), Name: e.GetName(), Publication: Word(e.GetPublication()),
		VenueName: e.GetVenue().GetName(), TimeZone: e.GetVenue().GetTimeZone(), StartTime: instant(e.GetStartTime()),
		EndTime: instant(e.GetEndTime()), BuyerTicketLimit: e.GetBuyerTicketLimit(), UpdateNumber: e.GetUpdateNumber(), DoorsTime: instant(e.GetDoorsTime()),
	}
}

// Event reads an event with its variants.
func (c *Client) Event(ctx context.Context, id string) (Event, error) {
	found, err := c.Catalog.GetEvent(ctx, &checkoutv1.GetEventRequest{EventId: id})
	if err != nil {
		return Event{}, fmt.Errorf("get event: %w", err)
	}
	out := EventOf(found.GetEvent())
	req := &checkoutv1.ListVariantsRequest{EventId: id}
	for more := true; more; more = req.GetPageToken() != "" {
		res, err := c.Catalog.ListVariants(ctx, req)
		if err != nil {
			return Event{}, fmt.Errorf("list variants: %w", err)
		}
		for _, v := range res.GetVariants() {
			out.Variants = append(out.Variants, Variant{
				ID: v.GetId(), ProductName: v.GetProductName(), Name: v.GetName(), State: Word(v.GetState()), Version: v.GetCurrentVersion().GetVersion(),
				Currency: v.GetCurrentVersion().GetPrice().GetCurrency(), PriceMinorUnits: v.GetCurrentVersion().GetPrice().GetMinorUnits(),
				Capacity: v.GetCapacityTicketCount(), Available: v.GetAvailableTicketCount(),
			})
		}
		req.PageToken = res.GetNextPageToken()
	}
	return out, nil
}

// CreateEvent creates an event and, with a version, one variant of it.
func (c *Client) CreateEvent(ctx context.Context, req *checkoutv1.CreateEventRequest, capacity int64, version *checkoutv1.VariantVersion) (Event, error) {
	key := "event/" + NewKey()
	created, err := c.Catalog.CreateEvent(rpc.WithIdempotencyKey(ctx, key), req)
	if err != nil {
		return Event{}, fmt.Errorf("create event: %w", err)
	}
	if version != nil {
		if _, err := c.CreateVariant(ctx, key, created.GetEvent().GetId(), "Ticket", "Standard", capacity, version); err != nil {
			return Event{}, fmt.Errorf("create variant: %w", err)
		}
	}
	return c.Event(ctx, created.GetEvent().GetId())
}
