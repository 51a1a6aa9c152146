package checkoutsvc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/internal/chassis/jobs"
)

const (
	// alertEvidenceDue is the kind of the alert that the time for evidence runs out; its subject is the dispute.
	alertEvidenceDue = "dispute_evidence_due"
	// reminderInterval is how often due disputes are looked for.
	reminderInterval = 10 * time.Minute
)

// parseReminders reads how long before the end of the time for evidence people are reminded, the longest first.
func parseReminders(text string) ([]time.Duration, error) {
	var all []time.Duration
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		before, err := time.ParseDuration(word)
		if err != nil || before < reminderInterval {
			return nil, fmt.Errorf("DAYOF_CHECKOUT_DISPUTE_REMINDERS: %q is no duration of at least %s", word, reminderInterval)
		}
		all = append(all, before)
	}
	slices.Sort(all)
	slices.Reverse(all)
	return slices.Compact(all), nil
}

// remindOfDisputes raises an alert for each dispute whose time for evidence runs out, once for each reminder of the
// settings, and closes the alerts of those that ended. Two replicas may do it at once: the reminder's row lets one through.
func (s *Service) remindOfDisputes(ctx context.Context) error {
	now := s.Clock.Now()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		ended, err := s.q.DeleteEndedReminders(ctx, tx, now)
		if err != nil {
			return fmt.Errorf("delete ended reminders: %w", err)
		}
		for _, id := range ended {
			if err := jobs.ResolveAlert(ctx, tx, alertEvidenceDue, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(s.reminders) == 0 {
		return nil
	}
	due, err := s.q.ListDueDisputes(ctx, s.Pool, now, now.Add(s.reminders[0]))
	if err != nil {
		return fmt.Errorf("list due disputes: %w", err)
	}
	for _, d := range due {
		if err := s.remindOfDispute(ctx, d, now); err != nil {
			return fmt.Errorf("remind of dispute %s: %w", d.ID, err)
		}
	}
	return nil
}

// remindOfDispute notes all reminders that are due and raises one alert for those that are new: a dispute that is told
// late gets one, not all at once. The alert of an earlier reminder makes room for it.
func (s *Service) remindOfDispute(ctx context.Context, d checkoutdb.Dispute, now time.Time) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var raised int64
		for _, before := range s.reminders {
			if now.Before(d.EvidenceDueTime.Add(-before)) {
				continue
			}
			rows, err := s.q.InsertDisputeReminder(ctx, tx, d.ID, int64(before/time.Second), now)
			if err != nil {
				return fmt.Errorf("insert reminder: %w", err)
			}
			raised += rows
		}
		if raised == 0 {
			return nil
		}
		if err := jobs.ResolveAlert(ctx, tx, alertEvidenceDue, d.ID); err != nil {
			return err
		}
		return jobs.RaiseAlert(ctx, tx, alertEvidenceDue, d.ID, map[string]any{
			"dispute_id": d.ID, "order_id": d.OrderID, "payment_intent_id": d.PaymentIntent, "dispute_reason": d.DisputeReason,
			"amount_minor_units": d.AmountMinorUnits, "currency": d.Currency, "evidence_due_time": d.EvidenceDueTime.Format(time.RFC3339),
		}, s.orderLink(d.OrderID))
	})
}
