// Package catalog implements CatalogService: events, products, variants and their immutable priced versions.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/timezone"
)

// Service implements CatalogService. All exported fields are required.
type Service struct {
	Pool  *pgxpool.Pool
	Clock clock.Clock
	NewID func() string

	q checkoutdb.Queries
}

var errNoEvent = problem.New(connect.CodeNotFound, "EVENT_NOT_FOUND", "there is no such event")

// CreateEvent implements CatalogService.
func (s *Service) CreateEvent(ctx context.Context, req *checkoutv1.CreateEventRequest) (*checkoutv1.CreateEventResponse, error) {
	v := req.GetVenue()
	var wrong []problem.Field
	if _, err := timezone.Load(v.GetTimeZone()); err != nil {
		wrong = append(wrong, problem.Field{Path: "venue.time_zone", Description: "is not an IANA time zone, such as Europe/Berlin"})
	}
	if !req.GetEndTime().AsTime().After(req.GetStartTime().AsTime()) {
		wrong = append(wrong, problem.Field{Path: "end_time", Description: "must be after start_time"})
	}
	if err := problem.InvalidFields(wrong...); err != nil {
		return nil, err
	}
	now := s.Clock.Now()
	fingerprint := idem.Fingerprint(1, req.GetOrganizerId(), req.GetOrganizerName(), req.GetName(), v.GetName(), v.GetAddress(),
		v.GetTimeZone(), fmt.Sprint(v.Latitude != nil, v.GetLatitude(), v.Longitude != nil, v.GetLongitude()),
		req.GetDoorsTime().AsTime(), req.GetStartTime().AsTime(), req.GetEndTime().AsTime())
	if req.GetKeepRefundedSeats() { // later than the others: what older callers send has the fingerprint that it had
		fingerprint = idem.Fingerprint(2, fingerprint, true)
	}
	return idem.Do(ctx, s.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.CreateEventResponse, error) {
		e := checkoutdb.Event{
			ID: s.NewID(), OrganizerID: req.GetOrganizerId(), OrganizerName: req.GetOrganizerName(), Name: req.GetName(),
			VenueName: v.GetName(), VenueAddress: v.GetAddress(), TimeZone: v.GetTimeZone(), Latitude: v.Latitude, Longitude: v.Longitude,
			DoorsTime: wire.TimeFromProto(req.GetDoorsTime()), StartTime: req.GetStartTime().AsTime(), EndTime: req.GetEndTime().AsTime(),
			CreateTime: now, KeepRefundedSeats: req.GetKeepRefundedSeats(), ScheduleNumber: 1,
		}
		if err := s.checkOrganizer(ctx, tx, e.OrganizerID, e.OrganizerName); err != nil {
			return nil, err
		}
		if err := s.q.InsertEvent(ctx, tx, checkoutdb.InsertEventParams{
			ID: e.ID, OrganizerID: e.OrganizerID, OrganizerName: e.OrganizerName, Name: e.Name, VenueName: e.VenueName,
			VenueAddress: e.VenueAddress, TimeZone: e.TimeZone, Latitude: e.Latitude, Longitude: e.Longitude, DoorsTime: e.DoorsTime,
			StartTime: e.StartTime, EndTime: e.EndTime, CreateTime: e.CreateTime, KeepRefundedSeats: e.KeepRefundedSeats,
		}); err != nil {
			return nil, fmt.Errorf("insert event: %w", err)
		}
		return &checkoutv1.CreateEventResponse{Event: eventToProto(e)}, nil
	})
}

// checkOrganizer keeps the name of a new organiser, and refuses another name of one that is known.
func (s *Service) checkOrganizer(ctx context.Context, tx pgx.Tx, id, name string) error {
	if err := s.q.InsertOrganizer(ctx, tx, id, name); err != nil {
		return fmt.Errorf("insert organizer: %w", err)
	}
	known, err := s.q.GetOrganizerName(ctx, tx, id)
	if err != nil {
		return fmt.Errorf("get organizer: %w", err)
	}
	if known != name {
		return problem.InvalidField("organizer_name", fmt.Sprintf("this organiser is called %q: use that name, or the id of the one that you mean", known))
	}
	return nil
}

// GetEvent implements CatalogService.
func (s *Service) GetEvent(ctx context.Context, req *checkoutv1.GetEventRequest) (*checkoutv1.GetEventResponse, error) {
	e, err := s.q.GetEvent(ctx, s.Pool, req.GetEventId())
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoEvent
	}
	if err != nil {
		return nil, fmt.Errorf("get event: %w", err)
	}
	return &checkoutv1.GetEventResponse{Event: eventToProto(e)}, nil
}

// ListEvents implements CatalogService.
func (s *Service) ListEvents(ctx context.Context, req *checkoutv1.ListEventsRequest) (*checkoutv1.ListEventsResponse, error) {
	after, err := page.Parse(req.GetPageToken(), "events", page.Cursor{Time: time.Unix(0, 0)})
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	events, err := s.q.ListEvents(ctx, s.Pool, after.Time, after.ID, size+1)
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	res := &checkoutv1.ListEventsResponse{}
	if len(events) > int(size) {
		events = events[:size]
		last := events[size-1]
		res.NextPageToken = page.Token("events", page.Cursor{Time: last.StartTime, ID: last.ID})
	}
	for _, e := range events {
		res.Events = append(res.Events, eventToProto(e))
	}
	return res, nil
}

func eventToProto(e checkoutdb.Event) *checkoutv1.Event {
	return &checkoutv1.Event{
		Id: e.ID, OrganizerId: e.OrganizerID, OrganizerName: e.OrganizerName, Name: e.Name,
		Venue: &checkoutv1.Venue{
			Name: e.VenueName, Address: e.VenueAddress, TimeZone: e.TimeZone, Latitude: e.Latitude, Longitude: e.Longitude,
		},
		DoorsTime: wire.TimeToProto(e.DoorsTime), StartTime: timestamppb.New(e.StartTime), EndTime: timestamppb.New(e.EndTime),
		CreateTime: timestamppb.New(e.CreateTime), KeepRefundedSeats: e.KeepRefundedSeats,
		ScheduleNumber: int64(e.ScheduleNumber), CancelTime: wire.TimeToProto(e.CancelTime),
	}
}
