package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// UpdateEvent implements CatalogService.
func (s *Service) UpdateEvent(ctx context.Context, req *checkoutv1.UpdateEventRequest) (*checkoutv1.UpdateEventResponse, error) {
	f, v := req.GetEvent(), req.GetEvent().GetVenue()
	now := s.Clock.Now()
	fingerprint := idem.Fingerprint(1, req.GetEventId(), req.GetUpdateMask().GetPaths(), req.GetUpdateNumber(), f.GetName(), f.GetDescription(),
		f.GetImageUrls(), f.GetLanguages(), v.GetName(), v.GetAddress(), v.GetTimeZone(), fmt.Sprint(v != nil && v.Latitude != nil, v.GetLatitude(), v != nil && v.Longitude != nil, v.GetLongitude()),
		instant(f.GetDoorsTime()), f.GetKeepRefundedSeats(), f.GetBuyerTicketLimit())
	if p := f.GetRefundPolicy(); p != nil { // requests of before there was one stay the same
		fingerprint = idem.Fingerprint(2, fingerprint, p.BuyerSecondsBeforeStart != nil, p.GetBuyerSecondsBeforeStart(), p.GetKeptBasisPoints(), int32(p.GetApplicationFee()))
	}
	if changesTransfers(req.GetUpdateMask().GetPaths()) { // requests of before they could be named stay the same
		fingerprint = idem.Fingerprint(3, fingerprint, f.GetTransfersAllowed(), instant(f.GetTransferEndTime()), f.GetTransferLimit(), instant(f.GetHolderChangeEndTime()))
	}
	return idem.Do(ctx, s.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.UpdateEventResponse, error) {
		e, err := s.lockEvent(ctx, tx, req.GetEventId())
		if err != nil {
			return nil, err
		}
		if err := checkNumber(req.GetUpdateNumber(), e.UpdateNumber); err != nil {
			return nil, err
		}
		timeZone, doors := e.TimeZone, e.DoorsTime
		if err := setEvent(&e, req); err != nil {
			return nil, err
		}
		if e.TimeZone != timeZone {
			if err := s.freeOfTickets(ctx, tx, e.ID, errTimeZoneFixed); err != nil {
				return nil, err
			}
		}
		if (doors == nil) != (e.DoorsTime == nil) || doors != nil && !doors.Equal(*e.DoorsTime) {
			if err := s.freeOfTickets(ctx, tx, e.ID, errDoorsFixed); err != nil {
				return nil, err
			}
		}
		if e.UpdateNumber, err = s.q.UpdateEvent(ctx, tx, checkoutdb.UpdateEventParams{
			ID: e.ID, Name: e.Name, Description: e.Description, ImageUrls: e.ImageUrls, Languages: e.Languages, VenueName: e.VenueName,
			VenueAddress: e.VenueAddress, TimeZone: e.TimeZone, Latitude: e.Latitude, Longitude: e.Longitude, DoorsTime: e.DoorsTime,
			KeepRefundedSeats: e.KeepRefundedSeats, BuyerTicketLimit: e.BuyerTicketLimit, BuyerRefundSeconds: e.BuyerRefundSeconds,
			RefundKeptBasisPoints: e.RefundKeptBasisPoints, RefundApplicationFee: e.RefundApplicationFee, TransfersAllowed: e.TransfersAllowed,
			TransferEndTime: e.TransferEndTime, TransferLimit: e.TransferLimit, HolderChangeEndTime: e.HolderChangeEndTime,
		}); err != nil {
			return nil, fmt.Errorf("update event: %w", err)
		}
		return &checkoutv1.UpdateEventResponse{Event: eventToProto(e)}, nil
	})
}

// changesTransfers says whether a mask names what an event allows of its tickets' holders.
func changesTransfers(paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, "transfer") || strings.HasPrefix(p, "holder_") })
}

// setEvent sets the fields that the request names.
func setEvent(e *checkoutdb.Event, req *checkoutv1.UpdateEventRequest) error {
	f, v := req.GetEvent(), req.GetEvent().GetVenue()
	var wrong []problem.Field
	err := setFields(req.GetUpdateMask(), map[string]func(){
		"name": func() {
			e.Name = f.GetName()
			wrong = wanted(wrong, "event.name", e.Name != "")
		},
		"description": func() { e.Description = f.GetDescription() },
		"image_urls":  func() { e.ImageUrls = list(f.GetImageUrls()) },
		"languages":   func() { e.Languages = list(f.GetLanguages()) },
		"venue": func() {
			if wrong = wanted(wrong, "event.venue", v != nil); v == nil {
				return
			}
			wrong = append(wrong, venueFaults("event.venue", v)...)
			e.VenueName, e.VenueAddress, e.TimeZone = v.GetName(), v.GetAddress(), v.GetTimeZone()
			e.Latitude, e.Longitude = v.Latitude, v.Longitude
		},
		"doors_time": func() {
			e.DoorsTime = wire.TimeFromProto(f.GetDoorsTime())
			if e.DoorsTime != nil && e.DoorsTime.After(e.StartTime) {
				wrong = append(wrong, problem.Field{Path: "event.doors_time", Description: "must not be after the start of the event"})
			}
		},
		"keep_refunded_seats": func() { e.KeepRefundedSeats = f.GetKeepRefundedSeats() },
		"buyer_ticket_limit":  func() { e.BuyerTicketLimit = limit(f.GetBuyerTicketLimit()) },
		"refund_policy":       func() { setRefundPolicy(e, f.GetRefundPolicy()) },
		"transfers_allowed":   func() { e.TransfersAllowed = f.GetTransfersAllowed() },
		"transfer_end_time":   func() { e.TransferEndTime = wire.TimeFromProto(f.GetTransferEndTime()) },
		"transfer_limit": func() {
			e.TransferLimit = f.GetTransferLimit()
			wrong = wanted(wrong, "event.transfer_limit", e.TransferLimit > 0)
		},
		"holder_change_end_time": func() { e.HolderChangeEndTime = wire.TimeFromProto(f.GetHolderChangeEndTime()) },
	})
	if err != nil {
		return err
	}
	return problem.InvalidFields(wrong...)
}

// wanted adds a field that a mask names and that the request leaves empty.
func wanted(wrong []problem.Field, path string, given bool) []problem.Field {
	if given {
		return wrong
	}
	return append(wrong, problem.Field{Path: path, Description: "must not be empty where update_mask names it"})
}

var (
	errTimeZoneFixed = problem.New(connect.CodeFailedPrecondition, "TIME_ZONE_FIXED",
		"tickets of the event are held or sold, and show times in its time zone; make a new event for another one")
	errDoorsFixed = problem.New(connect.CodeFailedPrecondition, "DOORS_FIXED",
		"tickets of the event are held or sold, and show when doors open; call MoveEvent, which changes them too")
)

// freeOfTickets checks that no ticket shows what is to be changed of an event, and keeps it so until the transaction has ended.
func (s *Service) freeOfTickets(ctx context.Context, tx pgx.Tx, eventID string, fixed error) error {
	check := func() error {
		has, err := s.q.EventHasTickets(ctx, tx, eventID)
		if err != nil {
			return fmt.Errorf("look for tickets: %w", err)
		}
		if has {
			return fixed
		}
		return nil
	}
	if err := check(); err != nil { // where tickets are being sold, waiting for all sales would take long
		return err
	}
	if _, err := s.q.LockEventAlone(ctx, tx, eventID); err != nil {
		return fmt.Errorf("lock event: %w", err)
	}
	return check()
}

// lockEvent locks an event against other changes and returns it.
func (s *Service) lockEvent(ctx context.Context, tx pgx.Tx, id string) (checkoutdb.Event, error) {
	row, err := s.q.LockEvent(ctx, tx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return row.Event, errNoEvent
	}
	if err != nil {
		return row.Event, fmt.Errorf("lock event: %w", err)
	}
	return row.Event, nil
}

// PublishEvent implements CatalogService.
func (s *Service) PublishEvent(ctx context.Context, req *checkoutv1.PublishEventRequest) (*checkoutv1.PublishEventResponse, error) {
	return idem.Do(ctx, s.Pool, s.Clock.Now(), idem.Fingerprint(1, req.GetEventId()), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.PublishEventResponse, error) {
		e, err := s.lockEvent(ctx, tx, req.GetEventId())
		if err != nil {
			return nil, err
		}
		if err := s.setPublication(ctx, tx, &e, order.EventPublished); err != nil {
			return nil, err
		}
		return &checkoutv1.PublishEventResponse{Event: eventToProto(e)}, nil
	})
}

// ArchiveEvent implements CatalogService. A checkout that has read the event before may still come through; one that begins after the answer
// does not.
func (s *Service) ArchiveEvent(ctx context.Context, req *checkoutv1.ArchiveEventRequest) (*checkoutv1.ArchiveEventResponse, error) {
	return idem.Do(ctx, s.Pool, s.Clock.Now(), idem.Fingerprint(1, req.GetEventId()), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.ArchiveEventResponse, error) {
		e, err := s.lockEvent(ctx, tx, req.GetEventId())
		if err != nil {
			return nil, err
		}
		if order.Publication(e.Publication) == order.EventDraft {
			return nil, problem.New(connect.CodeFailedPrecondition, "EVENT_IS_DRAFT", "the event was never published; delete the draft instead")
		}
		if err := s.setPublication(ctx, tx, &e, order.EventArchived); err != nil {
			return nil, err
		}
		return &checkoutv1.ArchiveEventResponse{Event: eventToProto(e)}, nil
	})
}

// setPublication changes how an event is published, if it is another way now.
func (s *Service) setPublication(ctx context.Context, tx pgx.Tx, e *checkoutdb.Event, to order.Publication) (err error) {
	if order.Publication(e.Publication) == to {
		return nil
	}
	e.Publication = string(to)
	if e.UpdateNumber, err = s.q.SetPublication(ctx, tx, e.ID, e.Publication); err != nil {
		return fmt.Errorf("set publication: %w", err)
	}
	return nil
}

// DeleteDraft implements CatalogService. Sales of a draft there are none; the references of orders would refuse to lose it all the same.
func (s *Service) DeleteDraft(ctx context.Context, req *checkoutv1.DeleteDraftRequest) (*checkoutv1.DeleteDraftResponse, error) {
	return idem.Do(ctx, s.Pool, s.Clock.Now(), idem.Fingerprint(1, req.GetEventId()), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.DeleteDraftResponse, error) {
		row, err := s.q.LockEventAlone(ctx, tx, req.GetEventId())
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, errNoEvent
		}
		if err != nil {
			return nil, fmt.Errorf("lock event: %w", err)
		}
		if order.Publication(row.Event.Publication) != order.EventDraft {
			return nil, problem.New(connect.CodeFailedPrecondition, "EVENT_NOT_DRAFT", "the event was published and stays known; archive it instead")
		}
		for _, step := range []struct {
			what string
			do   func(ctx context.Context, db checkoutdb.DBTX, eventID string) error
		}{
			{"lock variants", s.q.LockVariantsOfEvent},
			{"delete variants of promotion codes", s.q.DeletePromotionCodeVariantsOfEvent},
			{"delete promotion codes", s.q.DeletePromotionCodesOfEvent},
			{"delete versions", s.q.DeleteVersionsOfEvent},
			{"delete seats", s.q.DeleteSeatsOfEvent},
			{"delete sections", s.q.DeleteSectionsOfEvent},
			{"delete stock", s.q.DeleteStockOfEvent},
			{"delete variants", s.q.DeleteVariantsOfEvent},
			{"delete products", s.q.DeleteProductsOfEvent},
			{"delete event", s.q.DeleteEvent},
		} {
			if err := step.do(ctx, tx, req.GetEventId()); err != nil {
				return nil, fmt.Errorf("%s: %w", step.what, err)
			}
		}
		return &checkoutv1.DeleteDraftResponse{}, nil
	})
}
