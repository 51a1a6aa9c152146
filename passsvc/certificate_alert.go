package passsvc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/internal/chassis/alert"
)

const (
	day = 24 * time.Hour
	// certificateCheck is how often expiry is checked.
	certificateCheck = time.Hour

	alertCertificate = "pass_certificate_expires"
)

// certificateDays are the days before expiry at which an alert is raised, the nearest first; 0 is the expiry itself.
// Certificates live for about 13 months, and the ones of others have expired on the day of the event more than once.
func certificateDays() []int { return []int{0, 1, 14, 30, 60} }

// maintenance is the periodic work that no call waits for.
type maintenance struct{ *Service }

// checkCertificates raises alerts of certificates that are about to expire, one per threshold, and resolves them when a
// newer one is there.
func (s maintenance) checkCertificates(ctx context.Context) error {
	now := s.Clock.Now()
	var errs []error
	for _, passType := range s.certificates.passTypes() {
		expires := s.certificates.lastExpiry(passType)
		if err := s.checkCertificate(ctx, passType, expires, expires.Sub(now)); err != nil {
			errs = append(errs, fmt.Errorf("certificate of %s: %w", passType, err)) // those of others are looked at anyway
		}
	}
	return errors.Join(errs...)
}

func (s maintenance) checkCertificate(ctx context.Context, passType string, expires time.Time, left time.Duration) error {
	return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		reported := false
		for _, days := range certificateDays() {
			subject := fmt.Sprintf("%s %d days", passType, days)
			if left > time.Duration(days)*day {
				if err := alert.Resolve(ctx, tx, alertCertificate, subject); err != nil {
					return err
				}
				continue
			}
			if reported {
				continue // only the nearest; farther ones were reported in their time
			}
			reported = true
			const advice = "Make a new Pass Type ID certificate at Apple and put its bundle into DAYOF_PASS_CERTIFICATE_DIR; passes are signed with it from then on."
			err := alert.Raise(ctx, tx, alertCertificate, subject, map[string]any{
				"pass_type": passType, "expire_time": expires.Format(time.RFC3339), "days_left": int(left / day), "advice": advice,
			}, "")
			if err != nil {
				return err
			}
		}
		return nil
	})
}
