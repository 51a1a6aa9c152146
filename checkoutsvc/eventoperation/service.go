// Package eventoperation moves and cancels events that were sold (EventOperationService), and brings what was sold to the new
// schedule (Runner).
//
// The event's row changes in one short transaction, with the operation. From its commit on, sales have the new schedule. What was
// sold before is found by the number of the schedule that each ticket keeps: step by step, in rows, on any replica, whatever crashes.
package eventoperation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// Service implements EventOperationService. All exported fields are required.
type Service struct {
	Orders *orderstore.Store
	Passes passv1connect.PassServiceClient // stops batches
	Tokens Keys
	// Wake asks for Runner.Run, and does not block.
	Wake func()

	q checkoutdb.Queries
}

// The kinds and states of operations.
const (
	kindMove   = "move"
	kindCancel = "cancel"

	stateRunning   = "running"
	statePaused    = "paused"
	stateCanceled  = "canceled"
	stateCompleted = "completed"
)

var (
	errNoEvent     = problem.New(connect.CodeNotFound, "EVENT_NOT_FOUND", "there is no such event")
	errNoOperation = problem.New(connect.CodeNotFound, "EVENT_OPERATION_NOT_FOUND", "there is no such operation")
	errEnded       = problem.New(connect.CodeFailedPrecondition, "EVENT_OPERATION_ENDED", "the operation has ended, see its state")
)

// GetEventOperation implements EventOperationService.
func (s *Service) GetEventOperation(
	ctx context.Context, req *checkoutv1.GetEventOperationRequest,
) (*checkoutv1.GetEventOperationResponse, error) {
	op, err := s.q.GetEventOperation(ctx, s.Orders.Pool, req.GetEventOperationId())
	if err != nil {
		return nil, notFound(err)
	}
	return &checkoutv1.GetEventOperationResponse{Operation: toProto(op)}, nil
}

func notFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return errNoOperation
	}
	return fmt.Errorf("get event operation: %w", err)
}

// ListEventOperations implements EventOperationService.
func (s *Service) ListEventOperations(
	ctx context.Context, req *checkoutv1.ListEventOperationsRequest,
) (*checkoutv1.ListEventOperationsResponse, error) {
	list := page.List("event operations", &checkoutv1.ListEventOperationsRequest{EventId: req.GetEventId()})
	before, err := page.Parse(req.GetPageToken(), list, page.AfterAll)
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	ids, err := s.q.ListEventOperations(ctx, s.Orders.Pool, req.GetEventId(), before.Time, before.ID, size+1)
	if err != nil {
		return nil, fmt.Errorf("list event operations: %w", err)
	}
	operations, err := s.q.GetEventOperations(ctx, s.Orders.Pool, ids)
	if err != nil {
		return nil, fmt.Errorf("get event operations: %w", err)
	}
	res := &checkoutv1.ListEventOperationsResponse{}
	if len(operations) > int(size) {
		operations = operations[:size]
		last := operations[size-1]
		res.NextPageToken = page.Token(list, page.Cursor{Time: last.CreateTime, ID: last.ID})
	}
	for _, op := range operations {
		res.Operations = append(res.Operations, toProto(op))
	}
	return res, nil
}

// PauseEventOperation implements EventOperationService.
func (s *Service) PauseEventOperation(
	ctx context.Context, req *checkoutv1.PauseEventOperationRequest,
) (*checkoutv1.PauseEventOperationResponse, error) {
	res, err := idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), idem.Fingerprint(1, req.GetEventOperationId()),
		func(ctx context.Context, tx pgx.Tx) (*checkoutv1.PauseEventOperationResponse, error) {
			op, err := s.setState(ctx, tx, req.GetEventOperationId(), statePaused, nil)
			return &checkoutv1.PauseEventOperationResponse{Operation: op}, err
		})
	if err != nil {
		return nil, err
	}
	return res, s.stopBatch(ctx, res.GetOperation())
}

// ResumeEventOperation implements EventOperationService.
func (s *Service) ResumeEventOperation(
	ctx context.Context, req *checkoutv1.ResumeEventOperationRequest,
) (*checkoutv1.ResumeEventOperationResponse, error) {
	res, err := idem.Do(ctx, s.Orders.Pool, s.Orders.Clock.Now(), idem.Fingerprint(1, req.GetEventOperationId()),
		func(ctx context.Context, tx pgx.Tx) (*checkoutv1.ResumeEventOperationResponse, error) {
			op, err := s.setState(ctx, tx, req.GetEventOperationId(), stateRunning, nil)
			return &checkoutv1.ResumeEventOperationResponse{Operation: op}, err
		})
	if err == nil {
		s.Wake()
	}
	return res, err
}

// CancelEventOperation implements EventOperationService.
func (s *Service) CancelEventOperation(
	ctx context.Context, req *checkoutv1.CancelEventOperationRequest,
) (*checkoutv1.CancelEventOperationResponse, error) {
	now := s.Orders.Clock.Now()
	res, err := idem.Do(ctx, s.Orders.Pool, now, idem.Fingerprint(1, req.GetEventOperationId()),
		func(ctx context.Context, tx pgx.Tx) (*checkoutv1.CancelEventOperationResponse, error) {
			op, err := s.setState(ctx, tx, req.GetEventOperationId(), stateCanceled, &now)
			return &checkoutv1.CancelEventOperationResponse{Operation: op}, err
		})
	if err != nil {
		return nil, err
	}
	return res, s.stopBatch(ctx, res.GetOperation())
}

// setState brings an operation that has not ended to another state, and returns it with the batch that it had.
func (s *Service) setState(ctx context.Context, tx pgx.Tx, id, state string, finish *time.Time) (*checkoutv1.EventOperation, error) {
	op, err := s.q.LockEventOperation(ctx, tx, id)
	switch {
	case err != nil:
		return nil, notFound(err)
	case op.State != stateRunning && op.State != statePaused:
		return nil, errEnded
	case state == stateCanceled && op.Kind == kindCancel:
		return nil, problem.New(connect.CodeFailedPrecondition, "EVENT_OPERATION_NOT_CANCELABLE",
			"the event is canceled for good, so that its tickets must follow; pause the operation if it must wait")
	case op.State == state:
		return toProto(op), nil
	}
	err = s.q.SetEventOperationState(ctx, tx, id, state, finish, state == statePaused && op.PassBatchID != "")
	if err != nil {
		return nil, fmt.Errorf("set state of event operation: %w", err)
	}
	op.State, op.FinishTime, op.LastError = state, finish, ""
	return toProto(op), nil
}

// stopBatch stops the batch that an operation had when it was paused or canceled. A repeat of the call stops it again. A batch that
// goes on all the same does no harm: passsvc lets no schedule replace a newer one.
func (s *Service) stopBatch(ctx context.Context, op *checkoutv1.EventOperation) error {
	if op.GetPassBatchId() == "" {
		return nil
	}
	return stopBatch(ctx, s.Passes, op.GetId(), op.GetPassBatchId())
}

func stopBatch(ctx context.Context, passes passv1connect.PassServiceClient, operationID, batchID string) error {
	_, err := passes.CancelPassBatch(rpc.WithIdempotencyKey(ctx, "event-operation/"+operationID+"/stop-passes/"+batchID),
		&passv1.CancelPassBatchRequest{PassBatchId: batchID})
	if err != nil {
		return fmt.Errorf("stop batch of passes: %w", err)
	}
	return nil
}
