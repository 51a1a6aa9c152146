package admission

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// reentryAfterExit is the policy of events whose holders may leave and come back, as it is stored; reentryNone that of all others.
const (
	reentryNone      = "none"
	reentryAfterExit = "after_exit"
)

func mayReenter(policy string) bool { return policy == reentryAfterExit }

// SetDoorPolicy implements AdmissionService.
func (s *Service) SetDoorPolicy(ctx context.Context, req *checkoutv1.SetDoorPolicyRequest) (*checkoutv1.SetDoorPolicyResponse, error) {
	policy := req.GetPolicy()
	now := s.Orders.Clock.Now()
	fingerprint := idem.Fingerprint(1, req.GetEventId(), policy.GetReentry(), policy.GetPassShowsUsed())
	return idem.Do(ctx, s.Orders.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.SetDoorPolicyResponse, error) {
		if _, err := s.policy(ctx, tx, req.GetEventId()); err != nil {
			return nil, err
		}
		reentry := reentryNone
		if policy.GetReentry() == checkoutv1.Reentry_REENTRY_AFTER_EXIT {
			reentry = reentryAfterExit
		}
		if err := s.q.SetDoorPolicy(ctx, tx, req.GetEventId(), reentry, policy.GetPassShowsUsed(), now); err != nil {
			return nil, fmt.Errorf("set door policy: %w", err)
		}
		return &checkoutv1.SetDoorPolicyResponse{Policy: policy}, nil
	})
}

// GetDoorPolicy implements AdmissionService.
func (s *Service) GetDoorPolicy(ctx context.Context, req *checkoutv1.GetDoorPolicyRequest) (*checkoutv1.GetDoorPolicyResponse, error) {
	at, err := eventOf(ctx, req.GetEventId())
	if err != nil {
		return nil, err
	}
	policy, err := s.policy(ctx, s.Orders.Pool, at.eventID)
	return &checkoutv1.GetDoorPolicyResponse{Policy: policy}, err
}

// policy reads how the doors of an event work. Problems: EVENT_NOT_FOUND.
func (s *Service) policy(ctx context.Context, db checkoutdb.DBTX, eventID string) (*checkoutv1.DoorPolicy, error) {
	row, err := s.q.GetDoorPolicy(ctx, db, eventID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoEvent
	}
	if err != nil {
		return nil, fmt.Errorf("get door policy: %w", err)
	}
	return &checkoutv1.DoorPolicy{Reentry: reentryToProto(row.Reentry), PassShowsUsed: row.PassShowsUsed}, nil
}

func reentryToProto(policy string) checkoutv1.Reentry {
	if mayReenter(policy) {
		return checkoutv1.Reentry_REENTRY_AFTER_EXIT
	}
	return checkoutv1.Reentry_REENTRY_NONE
}
