package reconcile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/jackc/pgx/v5"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/id"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// alertDifference is the kind of the alert that each difference raises once.
const alertDifference = "reconcile_difference"

// save keeps what came of an item: a difference once per incident with its alert, that it is in progress, or that all is
// well, which closes what was open.
//
// Idempotent: when it fails it has counted nothing.
func (r *reconciliation) save(ctx context.Context, x *item, o outcome) error {
	before := r.result
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if o.inFlight != "" {
			r.result.InFlight++
			return r.q.Watch(ctx, tx, x.subject, x.account, o.inFlight, r.clock.Now())
		}
		if o.foreign != nil {
			r.result.ForeignItems++
		}
		keep := ""
		if o.difference != nil {
			id, err := r.observe(ctx, tx, x, o.difference)
			if err != nil {
				return err
			}
			keep = id
		}
		now := r.clock.Now()
		closed, err := r.q.CloseDifferences(ctx, tx, &now, x.subject, keep)
		if err != nil {
			return err
		}
		r.result.Closed += int64(len(closed))
		for _, id := range closed {
			if err := alert.Resolve(ctx, tx, alertDifference, id); err != nil {
				return err
			}
		}
		return r.q.Unwatch(ctx, tx, append(x.found, x.subject))
	})
	if err != nil {
		r.result = before
		return fmt.Errorf("save %s: %w", x.subject, err)
	}
	for asset, amount := range o.foreign {
		r.foreign[asset] += amount
	}
	return nil
}

// observe writes a difference, and raises its alert when it is new. It returns the row's id.
func (r *reconciliation) observe(ctx context.Context, tx pgx.Tx, x *item, d *difference) (string, error) {
	about := x.facts()
	row := ledgerdb.ObserveDifferenceParams{
		ID: id.New(), Kind: int16(d.kind), Subject: x.subject, OrderID: x.orderID(), OrganizerID: about.OrganizerID,
		PaymentIntentID: about.PaymentIntentID, StripeAccount: x.account, Sides: x.totalsBySource(), Cause: d.cause,
		FirstRunID: r.run.ID, ObserveTime: r.clock.Now(),
	}
	if d.expected != nil {
		row.ExpectedCurrency, row.ExpectedAmount = d.expected.Currency, d.expected.MinorUnits
	}
	if d.found != nil {
		row.FoundCurrency, row.FoundAmount = d.found.Currency, d.found.MinorUnits
	}
	digest := sha256.Sum256(fmt.Appendf(nil, "%s %d / %s %d", row.ExpectedCurrency, row.ExpectedAmount, row.FoundCurrency, row.FoundAmount))
	row.Digest = hex.EncodeToString(digest[:8])
	known, err := r.q.ObserveDifference(ctx, tx, row)
	if err != nil {
		return "", err
	}
	if known.State == int16(ledgerv1.DifferenceState_DIFFERENCE_STATE_OPEN) {
		r.result.Differences++
	}
	if known.ID != row.ID {
		return known.ID, nil
	}
	r.result.Opened++
	facts := map[string]any{
		"difference": kindWord(d.kind), "about": x.subject, "order_id": row.OrderID, "sides": row.Sides, "suggested_cause": row.Cause,
	}
	if d.expected != nil {
		facts["expected"] = d.expected.Format()
	}
	if d.found != nil {
		facts["found"] = d.found.Format()
	}
	return known.ID, alert.Raise(ctx, tx, alertDifference, known.ID, facts, alert.Link(r.config.ConsoleURL, "/differences/"+known.ID))
}
