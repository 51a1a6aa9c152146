package eventoperation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// MoveEvent implements EventOperationService.
func (s *Service) MoveEvent(ctx context.Context, req *checkoutv1.MoveEventRequest) (*checkoutv1.MoveEventResponse, error) {
	asked := times{doors: wire.TimeFromProto(req.GetDoorsTime()), start: req.GetStartTime().AsTime()}
	if req.GetEndTime() != nil {
		asked.end = req.GetEndTime().AsTime()
	}
	p := plan{kind: kindMove, eventID: req.GetEventId(), asked: asked}
	if req.GetPreview() {
		preview, err := s.preview(ctx, p)
		return &checkoutv1.MoveEventResponse{Preview: preview}, err
	}
	fingerprint := idem.Fingerprint(1, req.GetEventId(), asked.doors != nil, req.GetDoorsTime().AsTime(), asked.start, asked.end, req.GetConfirmationToken())
	return begin(ctx, s, p, req.GetConfirmationToken(), fingerprint, func(op *checkoutv1.EventOperation) *checkoutv1.MoveEventResponse {
		return &checkoutv1.MoveEventResponse{Operation: op}
	})
}

// CancelEvent implements EventOperationService.
func (s *Service) CancelEvent(ctx context.Context, req *checkoutv1.CancelEventRequest) (*checkoutv1.CancelEventResponse, error) {
	p := plan{kind: kindCancel, eventID: req.GetEventId()}
	if req.GetPreview() {
		preview, err := s.preview(ctx, p)
		return &checkoutv1.CancelEventResponse{Preview: preview}, err
	}
	fingerprint := idem.Fingerprint(1, req.GetEventId(), req.GetConfirmationToken())
	return begin(ctx, s, p, req.GetConfirmationToken(), fingerprint, func(op *checkoutv1.EventOperation) *checkoutv1.CancelEventResponse {
		return &checkoutv1.CancelEventResponse{Operation: op}
	})
}

// preview counts what a plan would touch.
func (s *Service) preview(ctx context.Context, p plan) (*checkoutv1.EventOperationPreview, error) {
	row, err := s.q.GetEvent(ctx, s.Orders.Pool, p.eventID)
	event := row.Event
	if err != nil {
		return nil, noEvent(err)
	}
	now := s.Orders.Clock.Now()
	after, err := p.resolve(event, now)
	if err != nil {
		return nil, err
	}
	if err := s.checkFree(ctx, s.Orders.Pool, event.ID); err != nil {
		return nil, err
	}
	sold, err := s.q.CountEventSold(ctx, s.Orders.Pool, event.ID)
	if err != nil {
		return nil, fmt.Errorf("count what was sold: %w", err)
	}
	sums, err := s.q.SumEventRefundable(ctx, s.Orders.Pool, event.ID)
	if err != nil {
		return nil, fmt.Errorf("add up what was paid: %w", err)
	}
	p.scheduleNumber = event.ScheduleNumber
	expire := now.Add(tokenLifetime)
	out := &checkoutv1.EventOperationPreview{
		Kind: kindToProto[p.kind], EventId: event.ID, OldTimes: timesOf(event).toProto(), NewTimes: after.toProto(),
		PassCount: sold.Tickets, OrderCount: sold.Orders, MailCount: sold.Orders, OpenHoldCount: sold.Holds,
		ConfirmationToken: s.Tokens.sign(p, expire), TokenExpireTime: timestamppb.New(expire.Truncate(time.Second)),
	}
	for _, sum := range sums {
		out.RefundableAmounts = append(out.RefundableAmounts, wire.MoneyToProto(sum.Currency, sum.MinorUnits))
	}
	return out, nil
}

func noEvent(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return errNoEvent
	}
	return fmt.Errorf("get event: %w", err)
}

// checkFree refuses a second operation of an event. The database does too: this says which one is in the way.
func (s *Service) checkFree(ctx context.Context, db checkoutdb.DBTX, eventID string) error {
	id, err := s.q.FindOpenEventOperation(ctx, db, eventID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("find open event operation: %w", err)
	}
	return problem.New(connect.CodeFailedPrecondition, "EVENT_OPERATION_UNDER_WAY",
		"operation "+id+" of this event is not done: wait for it, or cancel it")
}

// resolve returns the times that a plan leads to.
func (p plan) resolve(event checkoutdb.Event, now time.Time) (times, error) {
	before := timesOf(event)
	if event.CancelTime != nil {
		return before, problem.New(connect.CodeFailedPrecondition, "EVENT_CANCELED", "the event is canceled, for good")
	}
	if p.kind == kindCancel {
		return before, nil
	}
	after := p.asked
	if after.end.IsZero() {
		after.end = after.start.Add(before.end.Sub(before.start))
	}
	if after.doors == nil && before.doors != nil {
		doors := before.doors.Add(after.start.Sub(before.start))
		after.doors = &doors
	}
	var wrong []problem.Field
	add := func(path, description string) {
		wrong = append(wrong, problem.Field{Path: path, Description: description})
	}
	if !after.start.After(now) {
		add("start_time", "must be in the future")
	}
	if !after.end.After(after.start) {
		add("end_time", "must be after start_time")
	}
	if p.asked.doors != nil && after.doors.After(after.start) {
		add("doors_time", "must not be after start_time")
	}
	if after.equal(before) {
		add("start_time", "the event takes place at these times already")
	}
	return after, problem.InvalidFields(wrong...)
}

// begin carries out a plan: the event's row and the operation, in one short transaction.
func begin[R proto.Message](
	ctx context.Context, s *Service, p plan, token string, fingerprint []byte, answer func(*checkoutv1.EventOperation) R,
) (res R, err error) {
	now := s.Orders.Clock.Now()
	res, err = idem.Do(ctx, s.Orders.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (none R, err error) {
		op, err := s.begin(ctx, tx, p, token, now)
		if err != nil {
			return none, err
		}
		return answer(toProto(op)), nil
	})
	if err == nil {
		s.Wake()
	}
	return res, err
}

func (s *Service) begin(ctx context.Context, tx pgx.Tx, p plan, token string, now time.Time) (op checkoutdb.EventOperation, err error) {
	// Counted before the event is locked: others who change it wait for nothing but the change.
	sold, err := s.q.CountEventSold(ctx, tx, p.eventID)
	if err != nil {
		return op, fmt.Errorf("count what was sold: %w", err)
	}
	locked, err := s.q.LockEvent(ctx, tx, p.eventID)
	event := locked.Event
	if err != nil {
		return op, noEvent(err)
	}
	p.scheduleNumber = event.ScheduleNumber
	if err := s.Tokens.check(token, p, now); err != nil {
		return op, err
	}
	after, err := p.resolve(event, now)
	if err != nil {
		return op, err
	}
	if err := s.checkFree(ctx, tx, event.ID); err != nil {
		return op, err
	}
	var cancelTime *time.Time
	if p.kind == kindCancel {
		cancelTime = &now
	}
	err = s.q.SetEventSchedule(ctx, tx, checkoutdb.SetEventScheduleParams{
		ID: event.ID, DoorsTime: after.doors, StartTime: after.start, EndTime: after.end, CancelTime: cancelTime,
		ScheduleNumber: event.ScheduleNumber + 1,
	})
	if err != nil {
		return op, fmt.Errorf("set schedule of event: %w", err)
	}
	op = checkoutdb.EventOperation{
		ID: s.Orders.Policy.NewID(), EventID: event.ID, Kind: p.kind, State: stateRunning, Actor: rpc.CallerFrom(ctx).Name,
		ScheduleNumber: event.ScheduleNumber + 1, OldDoorsTime: event.DoorsTime, OldStartTime: event.StartTime, OldEndTime: event.EndTime,
		DoorsTime: after.doors, StartTime: after.start, EndTime: after.end, TotalTicketCount: sold.Tickets, CreateTime: now,
	}
	err = s.q.InsertEventOperation(ctx, tx, checkoutdb.InsertEventOperationParams{
		ID: op.ID, EventID: op.EventID, Kind: op.Kind, Actor: op.Actor, ScheduleNumber: op.ScheduleNumber, OldDoorsTime: op.OldDoorsTime,
		OldStartTime: op.OldStartTime, OldEndTime: op.OldEndTime, DoorsTime: op.DoorsTime, StartTime: op.StartTime, EndTime: op.EndTime,
		TotalTicketCount: op.TotalTicketCount, CreateTime: op.CreateTime,
	})
	if err != nil {
		return op, fmt.Errorf("insert event operation: %w", err)
	}
	return op, nil
}
