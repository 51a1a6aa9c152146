package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
)

var errNoOrganizer = problem.New(connect.CodeNotFound, "ORGANIZER_NOT_FOUND", "there is no such organiser")

// CreateOrganizer implements CatalogService.
func (s *Service) CreateOrganizer(ctx context.Context, req *checkoutv1.CreateOrganizerRequest) (*checkoutv1.CreateOrganizerResponse, error) {
	now := s.Clock.Now()
	fingerprint := idem.Fingerprint(1, req.GetOrganizerId(), req.GetName())
	return idem.Do(ctx, s.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.CreateOrganizerResponse, error) {
		o := checkoutdb.Organizer{ID: cmp.Or(req.GetOrganizerId(), s.NewID()), Name: req.GetName(), CreateTime: now, UpdateNumber: 1}
		inserted, err := s.q.InsertOrganizer(ctx, tx, o.ID, o.Name, o.CreateTime)
		if err != nil {
			return nil, fmt.Errorf("insert organizer: %w", err)
		}
		if inserted == 0 {
			return nil, problem.New(connect.CodeAlreadyExists, "ORGANIZER_EXISTS", "another organiser has this id; rename that one with UpdateOrganizer, or take another id")
		}
		return &checkoutv1.CreateOrganizerResponse{Organizer: organizerToProto(o)}, nil
	})
}

// UpdateOrganizer implements CatalogService. The reference of events to organisers renames the events in the same statement.
func (s *Service) UpdateOrganizer(ctx context.Context, req *checkoutv1.UpdateOrganizerRequest) (*checkoutv1.UpdateOrganizerResponse, error) {
	now := s.Clock.Now()
	fingerprint := idem.Fingerprint(1, req.GetOrganizerId(), req.GetName(), req.GetUpdateNumber())
	return idem.Do(ctx, s.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.UpdateOrganizerResponse, error) {
		o, err := s.q.LockOrganizer(ctx, tx, req.GetOrganizerId())
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, errNoOrganizer
		}
		if err != nil {
			return nil, fmt.Errorf("lock organizer: %w", err)
		}
		if err := checkNumber(req.GetUpdateNumber(), o.UpdateNumber); err != nil {
			return nil, err
		}
		o.Name = req.GetName()
		if o.UpdateNumber, err = s.q.RenameOrganizer(ctx, tx, o.ID, o.Name); err != nil {
			return nil, fmt.Errorf("rename organizer: %w", err)
		}
		return &checkoutv1.UpdateOrganizerResponse{Organizer: organizerToProto(o)}, nil
	})
}

// GetOrganizer implements CatalogService.
func (s *Service) GetOrganizer(ctx context.Context, req *checkoutv1.GetOrganizerRequest) (*checkoutv1.GetOrganizerResponse, error) {
	o, err := s.q.GetOrganizer(ctx, s.Pool, req.GetOrganizerId())
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoOrganizer
	}
	if err != nil {
		return nil, fmt.Errorf("get organizer: %w", err)
	}
	return &checkoutv1.GetOrganizerResponse{Organizer: organizerToProto(o)}, nil
}

// byName is where a page of organisers ended.
type byName struct {
	Name string `json:"n"`
	ID   string `json:"i"`
}

// ListOrganizers implements CatalogService.
func (s *Service) ListOrganizers(ctx context.Context, req *checkoutv1.ListOrganizersRequest) (*checkoutv1.ListOrganizersResponse, error) {
	after, err := page.Parse(req.GetPageToken(), "organizers", byName{})
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	organizers, err := s.q.ListOrganizers(ctx, s.Pool, after.Name, after.ID, size+1)
	if err != nil {
		return nil, fmt.Errorf("list organizers: %w", err)
	}
	res := &checkoutv1.ListOrganizersResponse{}
	if len(organizers) > int(size) {
		organizers = organizers[:size]
		last := organizers[size-1]
		res.NextPageToken = page.Token("organizers", byName{Name: last.Name, ID: last.ID})
	}
	for _, o := range organizers {
		res.Organizers = append(res.Organizers, organizerToProto(o))
	}
	return res, nil
}

// nameOfOrganizer returns the name of an organiser, which stays until the transaction has ended. A given name is that of a new organiser, or
// the one that the organiser has.
func (s *Service) nameOfOrganizer(ctx context.Context, tx pgx.Tx, id, name string, now time.Time) (string, error) {
	if name != "" {
		if _, err := s.q.InsertOrganizer(ctx, tx, id, name, now); err != nil {
			return "", fmt.Errorf("insert organizer: %w", err)
		}
	}
	known, err := s.q.KeepOrganizerName(ctx, tx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", errNoOrganizer
	}
	if err != nil {
		return "", fmt.Errorf("get organizer: %w", err)
	}
	if name != "" && known != name {
		return "", problem.InvalidField("organizer_name", fmt.Sprintf("this organiser is called %q: use that name or none, or the id of the one that you mean", known))
	}
	return known, nil
}

func organizerToProto(o checkoutdb.Organizer) *checkoutv1.Organizer {
	return &checkoutv1.Organizer{Id: o.ID, Name: o.Name, CreateTime: timestamppb.New(o.CreateTime), UpdateNumber: o.UpdateNumber}
}
