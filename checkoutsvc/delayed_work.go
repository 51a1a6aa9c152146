package checkoutsvc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/rivertype"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/checkoutsvc/reviewcase"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/id"
)

// caseWorkDelayed is the kind of the review case, and of its alert, of work that money depends on and that fails for long. The subject is
// the kind of the work and its job.
const caseWorkDelayed = "work_delayed"

// delayedWork tells people of work that fails for long, and that it is done after all.
type delayedWork struct {
	pool  *pgxpool.Pool
	clock clock.Clock
	link  func(orderID string) string
}

// report raises a review case with its alert for a job that fails with err, once, and closes both when err is nil. A repeat changes nothing.
func (d delayedWork) report(ctx context.Context, job *rivertype.JobRow, err error) error {
	subject, now := job.Kind+"/"+strconv.FormatInt(job.ID, 10), d.clock.Now()
	var q checkoutdb.Queries
	return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		if err == nil {
			return errors.Join(
				q.ResolveReviewCaseOf(ctx, tx, caseWorkDelayed, subject, &now, "The work is done."),
				alert.Resolve(ctx, tx, caseWorkDelayed, subject),
			)
		}
		orderID, findErr := d.orderOf(ctx, tx, job.EncodedArgs)
		if findErr != nil {
			return findErr
		}
		raised, raiseErr := reviewcase.Raise(ctx, tx, id.New(), now, orderID, order.ReviewCase{
			Kind: caseWorkDelayed, Subject: subject,
			Facts: map[string]string{"work": job.Kind, "job_id": strconv.FormatInt(job.ID, 10), "args": string(job.EncodedArgs), "error": err.Error()},
			Action: "Work that money depends on fails and is tried again until it is done. Mend what the error names; the case closes by itself. " +
				"A person who closes it is not told again.",
		})
		if raiseErr != nil || !raised {
			return raiseErr
		}
		return alert.Raise(ctx, tx, caseWorkDelayed, subject, map[string]any{
			"work": job.Kind, "job_id": job.ID, "order_id": orderID, "error": err.Error(),
		}, d.link(orderID))
	})
}

// orderOf is the order that a job's arguments name, by its id or that of a refund; empty where they name none.
func (d delayedWork) orderOf(ctx context.Context, tx pgx.Tx, encoded []byte) (string, error) {
	var args struct {
		OrderID  string `json:"order_id"`
		RefundID string `json:"refund_id"`
	}
	if err := json.Unmarshal(encoded, &args); err != nil || cmp.Or(args.OrderID, args.RefundID) == "" {
		return "", nil //nolint:nilerr // whoever reads the case sees the arguments as they are
	}
	if args.OrderID != "" {
		return args.OrderID, nil
	}
	var q checkoutdb.Queries
	found, err := q.FindOrderOfRefund(ctx, tx, "", args.RefundID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("find order of refund: %w", err)
	}
	return found, nil
}
