package passsvc

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/passsvc/passdb"
)

// registering is a device's request to hear of a pass's changes.
type registering struct {
	device, passType, serial, pushToken string
	keyVersion                          int // of the token that it showed
}

// register writes a registration and reports whether the device is new for the pass. errNoPass: there is no such pass.
//
// The pass is locked against changes meanwhile, so that each change either finds the registration and makes a push, or
// is found here. In the latter case the device may hold what the pass showed before: it is treated as if the pass had
// changed now, with a push and with a tag of its own in its list.
func (s walletService) register(ctx context.Context, r registering) (isNew bool, err error) {
	now := s.Clock.Now()
	late := false
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		pass, err := s.q.SharePass(ctx, tx, r.serial)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && (pass.PassType != r.passType || int(pass.TokenKeyVersion) != r.keyVersion) {
			return errNoPass
		}
		if err != nil {
			return fmt.Errorf("share pass: %w", err)
		}
		outcome, err := s.q.UpsertRegistration(ctx, tx, passdb.UpsertRegistrationParams{
			DeviceID: r.device, PassType: r.passType, Serial: r.serial, PushToken: r.pushToken, RegisterTime: now,
		})
		if err != nil {
			return fmt.Errorf("write registration: %w", err)
		}
		isNew = outcome.IsNew
		if isNew {
			if _, err := s.q.EvictRegistrations(ctx, tx, r.serial, r.device, int32(s.Config.RegistrationsMax)); err != nil {
				return fmt.Errorf("evict registrations: %w", err)
			}
		}
		late = pass.Revision > 1 && (isNew || outcome.HasNewToken)
		if !late {
			return nil
		}
		err = s.q.RenewPush(ctx, tx, passdb.RenewPushParams{
			PassType: r.passType, Serial: r.serial, Revision: pass.Revision, DeviceID: r.device, PushToken: r.pushToken,
			CreateTime: now, WaitSeconds: s.Config.PushCoalesce.Seconds(),
		})
		if err != nil {
			return fmt.Errorf("write push: %w", err)
		}
		if err := s.q.TakeListTag(ctx, tx, r.device, r.passType, r.serial); err != nil {
			return fmt.Errorf("take list tag: %w", err)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if late {
		s.pusher.wake()
	}
	return isNew, nil
}
