// Package reviewcase raises review cases that do not come out of an order's rules: about accounts, and what webhooksvc finds.
package reviewcase

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
)

// Raise raises a review case outside of an order's changes; orderID may be empty. It reports whether the case is new:
// there is one per kind and subject.
func Raise(ctx context.Context, tx pgx.Tx, id string, now time.Time, orderID string, c order.ReviewCase) (bool, error) {
	facts, err := json.Marshal(c.Facts)
	if err != nil || c.Facts == nil {
		facts = []byte("{}")
	}
	var q checkoutdb.Queries
	raised, err := q.RaiseReviewCase(ctx, tx, checkoutdb.RaiseReviewCaseParams{
		ID: id, Kind: c.Kind, Subject: c.Subject, OrderID: orderID, PaymentIntent: c.Intent,
		Facts: facts, SuggestedAction: c.Action, CreateTime: now,
	})
	if err != nil {
		return false, fmt.Errorf("raise review case: %w", err)
	}
	return raised > 0, nil
}
