package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/client"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// eventDuration is how long an event takes when its maker does not say.
const eventDuration = 3 * time.Hour

func eventCreateCommand() command {
	return command{
		name: "event create", args: "-name N -start T [-price N] [-draft] ...", about: "create an event, with a price also a variant of it",
		driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			name := flags.String("name", "", "`NAME` of the event")
			start := flags.String("start", "", "`TIME` at which it starts, such as 2030-06-01T20:00:00+02:00")
			end := flags.String("end", "", "`TIME` at which it ends; default: three hours after the start")
			doors := flags.String("doors", "", "`TIME` at which doors open; default: not announced")
			venue := flags.String("venue", "Kulturhafen", "`NAME` of the venue")
			zone := flags.String("zone", "Europe/Berlin", "time `ZONE` of the venue")
			organizer := flags.String("organizer", client.DemoOrganizer, "`ID` of the organiser")
			organizerName := flags.String("organizer-name", "", "`NAME` of the organiser, if it is new")
			draft := flags.Bool("draft", false, "leave it unpublished")
			price := flags.Int64("price", -1, "minor `UNITS` that a ticket costs, 0 for nothing; default: no variant is made")
			currency := flags.String("currency", "EUR", "`CURRENCY` of the price")
			capacity := flags.Int64("capacity", 100, "`NUMBER` of tickets of the variant; 0: it is sold by seats, which dayof event seats sets")
			limit := flags.Int32("buyer-limit", 0, "most tickets that one mail address may have; default: any `NUMBER`")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				if *name == "" || *start == "" {
					return usagef("-name and -start are missing")
				}
				request := &checkoutv1.CreateEventRequest{
					OrganizerId: *organizer, OrganizerName: *organizerName, Name: *name, Draft: *draft, BuyerTicketLimit: *limit,
					Venue: &checkoutv1.Venue{Name: *venue, TimeZone: *zone},
				}
				if err := readTimes(request, *start, *end, *doors); err != nil {
					return err
				}
				var version *checkoutv1.VariantVersion
				if *price >= 0 {
					version = &checkoutv1.VariantVersion{Price: &moneyv1.Money{Currency: *currency, MinorUnits: *price}}
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				event, err := system.CreateEvent(ctx, request, *capacity, version)
				if err != nil {
					return err
				}
				return h.printJSON(event)
			}
		},
	}
}

// readTimes reads the times of an event, which are instants: each names its distance from UTC.
func readTimes(request *checkoutv1.CreateEventRequest, start, end, doors string) error {
	for _, t := range []struct {
		flag, text string
		into       **timestamppb.Timestamp
	}{{"start", start, &request.StartTime}, {"end", end, &request.EndTime}, {"doors", doors, &request.DoorsTime}} {
		if t.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, t.text)
		if err != nil {
			return usagef("-%s is a time such as 2030-06-01T20:00:00+02:00, not %q", t.flag, t.text)
		}
		*t.into = timestamppb.New(at)
	}
	if request.GetEndTime() == nil {
		request.EndTime = timestamppb.New(request.GetStartTime().AsTime().Add(eventDuration))
	}
	return nil
}

func eventShowCommand() command {
	return eventCommand("event show", "show an event with its variants", func(context.Context, *client.Client, string) error { return nil })
}

func eventPublishCommand() command {
	return eventCommand("event publish", "put a draft or an archived event on sale", func(ctx context.Context, system *client.Client, id string) error {
		_, err := system.Catalog.PublishEvent(rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey()), &checkoutv1.PublishEventRequest{EventId: id})
		return err
	})
}

func eventArchiveCommand() command {
	return eventCommand("event archive", "take a published event off sale", func(ctx context.Context, system *client.Client, id string) error {
		_, err := system.Catalog.ArchiveEvent(rpc.WithIdempotencyKey(ctx, "operator/"+client.NewKey()), &checkoutv1.ArchiveEventRequest{EventId: id})
		return err
	})
}

// eventCommand does something with an event and shows it as it is then.
func eventCommand(name, about string, do func(ctx context.Context, system *client.Client, id string) error) command {
	return command{
		name: name, args: "ID", about: about, driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the event's id"); err != nil {
					return err
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				if err := do(ctx, system, args[0]); err != nil {
					return err
				}
				event, err := system.Event(ctx, args[0])
				if err != nil {
					return err
				}
				return h.printJSON(event)
			}
		},
	}
}

// eventsListed is how many events a list shows.
const eventsListed = 100

func eventListCommand() command {
	return command{
		name: "event list", args: "[-organizer O] [-state S]", about: "list the first 100 events, the soonest start first", driving: true, timeout: commandTimeout,
		build: func(flags *pflag.FlagSet) action {
			organizer := flags.String("organizer", "", "only of the organiser of this `ID`")
			state := flags.String("state", "published", "only `STATE`: draft, published or archived")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				publication, known := checkoutv1.EventPublication_value["EVENT_PUBLICATION_"+strings.ToUpper(*state)]
				if !known || publication == 0 {
					return usagef("no such state: %s; one of draft, published, archived", *state)
				}
				system, err := h.client(ctx)
				if err != nil {
					return err
				}
				page, err := system.Catalog.ListEvents(ctx, &checkoutv1.ListEventsRequest{
					PageSize: eventsListed, OrganizerId: *organizer, Publications: []checkoutv1.EventPublication{checkoutv1.EventPublication(publication)},
				})
				if err != nil {
					return err
				}
				events := []client.Event{}
				for _, e := range page.GetEvents() {
					events = append(events, client.EventOf(e))
				}
				return printList(h, events, "no events", func(e client.Event) string {
					return fmt.Sprintf("%s  %s  %s  %s, %s", e.ID, e.StartTime, e.Publication, e.Name, e.VenueName)
				})
			}
		},
	}
}
