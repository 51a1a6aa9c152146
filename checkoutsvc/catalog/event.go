package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/timezone"
)

var errNoEvent = problem.New(connect.CodeNotFound, "EVENT_NOT_FOUND", "there is no such event")

// CreateEvent implements CatalogService.
func (s *Service) CreateEvent(ctx context.Context, req *checkoutv1.CreateEventRequest) (*checkoutv1.CreateEventResponse, error) {
	v := req.GetVenue()
	wrong := venueFaults("venue", v)
	if !req.GetEndTime().AsTime().After(req.GetStartTime().AsTime()) {
		wrong = append(wrong, problem.Field{Path: "end_time", Description: "must be after start_time"})
	}
	if err := problem.InvalidFields(wrong...); err != nil {
		return nil, err
	}
	now := s.Clock.Now()
	return idem.Do(ctx, s.Pool, now, fingerprintOfEvent(req), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.CreateEventResponse, error) {
		name, err := s.nameOfOrganizer(ctx, tx, req.GetOrganizerId(), req.GetOrganizerName(), now)
		if err != nil {
			return nil, err
		}
		publication := order.EventPublished
		if req.GetDraft() {
			publication = order.EventDraft
		}
		id := s.NewID()
		err = s.q.InsertEvent(ctx, tx, checkoutdb.InsertEventParams{
			ID: id, OrganizerID: req.GetOrganizerId(), OrganizerName: name, Name: req.GetName(),
			VenueName: v.GetName(), VenueAddress: v.GetAddress(), TimeZone: v.GetTimeZone(), Latitude: v.Latitude, Longitude: v.Longitude,
			DoorsTime: wire.TimeFromProto(req.GetDoorsTime()), StartTime: req.GetStartTime().AsTime(), EndTime: req.GetEndTime().AsTime(),
			CreateTime: now, KeepRefundedSeats: req.GetKeepRefundedSeats(), Description: req.GetDescription(),
			ImageUrls: list(req.GetImageUrls()), Languages: list(req.GetLanguages()), Publication: string(publication),
			BuyerTicketLimit: limit(req.GetBuyerTicketLimit()),
		})
		if err != nil {
			return nil, fmt.Errorf("insert event: %w", err)
		}
		e, err := s.q.GetEvent(ctx, tx, id)
		if err != nil {
			return nil, fmt.Errorf("get event: %w", err)
		}
		return &checkoutv1.CreateEventResponse{Event: eventToProto(e.Event)}, nil
	})
}

// fingerprintOfEvent covers a new event. What older callers send has the fingerprint that it had.
func fingerprintOfEvent(req *checkoutv1.CreateEventRequest) []byte {
	v := req.GetVenue()
	fingerprint := idem.Fingerprint(1, req.GetOrganizerId(), req.GetOrganizerName(), req.GetName(), v.GetName(), v.GetAddress(),
		v.GetTimeZone(), fmt.Sprint(v.Latitude != nil, v.GetLatitude(), v.Longitude != nil, v.GetLongitude()),
		req.GetDoorsTime().AsTime(), req.GetStartTime().AsTime(), req.GetEndTime().AsTime())
	if req.GetKeepRefundedSeats() {
		fingerprint = idem.Fingerprint(2, fingerprint, true)
	}
	if req.GetDescription() != "" || len(req.GetImageUrls()) > 0 || len(req.GetLanguages()) > 0 || req.GetDraft() || req.GetBuyerTicketLimit() > 0 {
		fingerprint = idem.Fingerprint(3, fingerprint, req.GetDescription(), req.GetImageUrls(), req.GetLanguages(), req.GetDraft(), req.GetBuyerTicketLimit())
	}
	return fingerprint
}

// venueFaults lists what the schema of a venue cannot refuse.
func venueFaults(path string, v *checkoutv1.Venue) []problem.Field {
	if _, err := timezone.Load(v.GetTimeZone()); err != nil {
		return []problem.Field{{Path: path + ".time_zone", Description: "is not an IANA time zone, such as Europe/Berlin"}}
	}
	return nil
}

// GetEvent implements CatalogService.
func (s *Service) GetEvent(ctx context.Context, req *checkoutv1.GetEventRequest) (*checkoutv1.GetEventResponse, error) {
	e, err := s.q.GetEvent(ctx, s.Pool, req.GetEventId())
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !visible(ctx, e.Event.Publication) {
		return nil, errNoEvent
	}
	if err != nil {
		return nil, fmt.Errorf("get event: %w", err)
	}
	return &checkoutv1.GetEventResponse{Event: eventToProto(e.Event)}, nil
}

// visible says whether the caller sees an event, and what belongs to it, by its id.
func visible(ctx context.Context, publication string) bool {
	return order.Publication(publication) != order.EventDraft || isStaff(ctx)
}

// checkEvent refuses an event that the caller does not see.
func (s *Service) checkEvent(ctx context.Context, id string) error {
	publication, err := s.q.GetPublication(ctx, s.Pool, id)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !visible(ctx, publication) {
		return errNoEvent
	}
	if err != nil {
		return fmt.Errorf("get event: %w", err)
	}
	return nil
}

// ListEvents implements CatalogService.
func (s *Service) ListEvents(ctx context.Context, req *checkoutv1.ListEventsRequest) (*checkoutv1.ListEventsResponse, error) {
	filter := &checkoutv1.ListEventsRequest{
		OrganizerId: req.GetOrganizerId(), Publications: []checkoutv1.EventPublication{checkoutv1.EventPublication_EVENT_PUBLICATION_PUBLISHED},
		StartTimeFrom: req.GetStartTimeFrom(), StartTimeUntil: req.GetStartTimeUntil(),
	}
	if isStaff(ctx) && len(req.GetPublications()) > 0 {
		filter.Publications = slices.Compact(slices.Sorted(slices.Values(req.GetPublications())))
	}
	beginning := page.Cursor{Time: time.Unix(0, 0)}
	if from := req.GetStartTimeFrom(); from != nil {
		beginning.Time = from.AsTime()
	}
	name := page.List("events", filter)
	after, err := page.Parse(req.GetPageToken(), name, beginning)
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	events, err := s.listEvents(ctx, filter, after, size+1)
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	res := &checkoutv1.ListEventsResponse{}
	if len(events) > int(size) {
		events = events[:size]
		last := events[size-1]
		res.NextPageToken = page.Token(name, page.Cursor{Time: last.StartTime, ID: last.ID})
	}
	for _, e := range events {
		res.Events = append(res.Events, eventToProto(e))
	}
	return res, nil
}

// listEvents returns events of a filter after a position.
func (s *Service) listEvents(ctx context.Context, filter *checkoutv1.ListEventsRequest, after page.Cursor, size int32) ([]checkoutdb.Event, error) {
	until := page.AfterAll.Time
	if t := filter.GetStartTimeUntil(); t != nil {
		until = t.AsTime()
	}
	var publications []string
	for _, p := range filter.GetPublications() {
		publications = append(publications, string(publicationFromProto[p]))
	}
	var events []checkoutdb.Event
	if filter.GetOrganizerId() == "" {
		rows, err := s.q.ListEvents(ctx, s.Pool, checkoutdb.ListEventsParams{
			AfterStartTime: after.Time, AfterID: after.ID, Until: until, Publications: publications, PageSize: size,
		})
		for _, row := range rows {
			events = append(events, row.Event)
		}
		return events, err
	}
	rows, err := s.q.ListEventsOfOrganizer(ctx, s.Pool, checkoutdb.ListEventsOfOrganizerParams{
		OrganizerID: filter.GetOrganizerId(), AfterStartTime: after.Time, AfterID: after.ID, Until: until, Publications: publications, PageSize: size,
	})
	for _, row := range rows {
		events = append(events, row.Event)
	}
	return events, err
}

// publicationToProto has the message of each publication.
var publicationToProto = map[order.Publication]checkoutv1.EventPublication{
	order.EventDraft:     checkoutv1.EventPublication_EVENT_PUBLICATION_DRAFT,
	order.EventPublished: checkoutv1.EventPublication_EVENT_PUBLICATION_PUBLISHED,
	order.EventArchived:  checkoutv1.EventPublication_EVENT_PUBLICATION_ARCHIVED,
}

// publicationFromProto has the publication of each message.
var publicationFromProto = map[checkoutv1.EventPublication]order.Publication{
	checkoutv1.EventPublication_EVENT_PUBLICATION_DRAFT:     order.EventDraft,
	checkoutv1.EventPublication_EVENT_PUBLICATION_PUBLISHED: order.EventPublished,
	checkoutv1.EventPublication_EVENT_PUBLICATION_ARCHIVED:  order.EventArchived,
}

func eventToProto(e checkoutdb.Event) *checkoutv1.Event {
	return &checkoutv1.Event{
		Id: e.ID, OrganizerId: e.OrganizerID, OrganizerName: e.OrganizerName, Name: e.Name,
		Venue: &checkoutv1.Venue{
			Name: e.VenueName, Address: e.VenueAddress, TimeZone: e.TimeZone, Latitude: e.Latitude, Longitude: e.Longitude,
		},
		DoorsTime: wire.TimeToProto(e.DoorsTime), StartTime: timestamppb.New(e.StartTime), EndTime: timestamppb.New(e.EndTime),
		CreateTime: timestamppb.New(e.CreateTime), KeepRefundedSeats: e.KeepRefundedSeats, Description: e.Description,
		ImageUrls: e.ImageUrls, Languages: e.Languages, Publication: publicationToProto[order.Publication(e.Publication)],
		UpdateNumber: e.UpdateNumber, BuyerTicketLimit: orderstore.Number(e.BuyerTicketLimit),
		ScheduleNumber: int64(e.ScheduleNumber), CancelTime: wire.TimeToProto(e.CancelTime), RefundPolicy: refundPolicyToProto(e),
		TransfersAllowed: e.TransfersAllowed, TransferEndTime: wire.TimeToProto(e.TransferEndTime), TransferLimit: e.TransferLimit,
		HolderChangeEndTime: wire.TimeToProto(e.HolderChangeEndTime),
	}
}

// list turns no list into an empty one: the column has no null.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
