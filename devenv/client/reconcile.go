package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// reconcilePoll is how often a run is asked for its end.
const reconcilePoll = 50 * time.Millisecond

// Reconcile compares orders, ledger and Stripe over a span of time and waits for the end. It returns the run and all
// differences that are open then, the oldest last.
func (c *Client) Reconcile(ctx context.Context, from, until time.Time) (*ledgerv1.Run, []*ledgerv1.Difference, error) {
	started, err := c.Books.StartReconciliation(rpc.WithIdempotencyKey(ctx, "reconcile/"+NewKey()), &ledgerv1.StartReconciliationRequest{
		FromTime: timestamppb.New(from), UntilTime: timestamppb.New(until),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("start reconciliation: %w", err)
	}
	run := started.GetRun()
	for run.GetState() == ledgerv1.RunState_RUN_STATE_RUNNING {
		select {
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("run %s has not ended: %w", run.GetId(), context.Cause(ctx))
		case <-time.After(reconcilePoll):
		}
		res, err := c.Books.GetReconciliationRun(ctx, &ledgerv1.GetReconciliationRunRequest{RunId: run.GetId()})
		if err != nil {
			return nil, nil, fmt.Errorf("get run: %w", err)
		}
		run = res.GetRun()
	}
	if run.GetError() != "" {
		return run, nil, errors.New("the run failed: " + run.GetError())
	}
	open, err := c.OpenDifferences(ctx)
	return run, open, err
}

// OpenDifferences returns all differences that nobody has resolved, the newest first.
func (c *Client) OpenDifferences(ctx context.Context) ([]*ledgerv1.Difference, error) {
	req := &ledgerv1.ListDifferencesRequest{
		Filter: &ledgerv1.DifferenceFilter{State: ledgerv1.DifferenceState_DIFFERENCE_STATE_OPEN}, PageSize: 500,
	}
	var all []*ledgerv1.Difference
	for {
		res, err := c.Books.ListDifferences(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("list differences: %w", err)
		}
		all = append(all, res.GetDifferences()...)
		if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
			return all, nil
		}
	}
}
