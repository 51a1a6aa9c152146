// Package dispute reminds people of disputes whose time for evidence runs out.
package dispute

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/money"
)

// Reminder raises alerts. All exported fields are required, but for Before.
type Reminder struct {
	Pool  *pgxpool.Pool
	Clock clock.Clock
	// Before is how long before the end of the time for evidence people are reminded, the longest first.
	Before []time.Duration
	// Link leads to an order in the console.
	Link func(orderID string) string

	q checkoutdb.Queries
}

// Interval is how often due disputes are searched for.
const Interval = 10 * time.Minute

// ParseBefore reads how long before the end of the time for evidence people are reminded, the longest first.
func ParseBefore(text string) ([]time.Duration, error) {
	var all []time.Duration
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		before, err := time.ParseDuration(word)
		if err != nil || before < Interval {
			return nil, fmt.Errorf("DAYOF_CHECKOUT_DISPUTE_REMINDERS: %q is no duration of at least %s", word, Interval)
		}
		all = append(all, before)
	}
	slices.Sort(all)
	slices.Reverse(all)
	return slices.Compact(all), nil
}

// Remind raises an alert for each dispute whose time for evidence runs out, once for each reminder of the
// settings, and closes the alerts of those that ended. Two replicas may do it at once: the reminder's row lets one through.
func (r *Reminder) Remind(ctx context.Context) error {
	now := r.Clock.Now()
	err := pgx.BeginFunc(ctx, r.Pool, func(tx pgx.Tx) error {
		ended, err := r.q.DeleteEndedReminders(ctx, tx, now)
		if err != nil {
			return fmt.Errorf("delete ended reminders: %w", err)
		}
		for _, id := range ended {
			if err := alert.Resolve(ctx, tx, order.AlertEvidenceDue, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(r.Before) == 0 {
		return nil
	}
	due, err := r.q.ListDueDisputes(ctx, r.Pool, now, now.Add(r.Before[0]))
	if err != nil {
		return fmt.Errorf("list due disputes: %w", err)
	}
	var errs []error
	for _, d := range due {
		if err := r.remind(ctx, d, now); err != nil { // others are reminded of anyway
			errs = append(errs, fmt.Errorf("remind of dispute %s: %w", d.ID, err))
		}
	}
	return errors.Join(errs...)
}

// remind notes all reminders that are due and raises one alert for those that are new: a dispute that is reported
// late gets one, not all at once. The alert of an earlier reminder makes room for it.
func (r *Reminder) remind(ctx context.Context, d checkoutdb.Dispute, now time.Time) error {
	return pgx.BeginFunc(ctx, r.Pool, func(tx pgx.Tx) error {
		var raised int64
		for _, before := range r.Before {
			if now.Before(d.EvidenceDueTime.Add(-before)) {
				continue
			}
			rows, err := r.q.InsertDisputeReminder(ctx, tx, d.ID, int64(before/time.Second), now)
			if err != nil {
				return fmt.Errorf("insert reminder: %w", err)
			}
			raised += rows
		}
		if raised == 0 {
			return nil
		}
		if err := alert.Resolve(ctx, tx, order.AlertEvidenceDue, d.ID); err != nil {
			return err
		}
		return alert.Raise(ctx, tx, order.AlertEvidenceDue, d.ID, map[string]any{
			"dispute_id": d.ID, "order_id": d.OrderID, "payment_intent_id": d.PaymentIntent, "dispute_reason": d.DisputeReason,
			"amount": money.Money{Currency: d.Currency, MinorUnits: d.AmountMinorUnits}.Format(), "evidence_due_time": d.EvidenceDueTime.Format(time.RFC3339),
		}, r.Link(d.OrderID))
	})
}
