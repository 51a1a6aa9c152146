package eventoperation

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// times are when an event takes place.
type times struct {
	doors      *time.Time
	start, end time.Time
}

func timesOf(e checkoutdb.Event) times { return times{e.DoorsTime, e.StartTime, e.EndTime} }

func (t times) equal(other times) bool {
	sameDoors := t.doors == nil && other.doors == nil || t.doors != nil && other.doors != nil && t.doors.Equal(*other.doors)
	return sameDoors && t.start.Equal(other.start) && t.end.Equal(other.end)
}

func (t times) toProto() *checkoutv1.EventTimes {
	return &checkoutv1.EventTimes{DoorsTime: wire.TimeToProto(t.doors), StartTime: timestamppb.New(t.start), EndTime: timestamppb.New(t.end)}
}

var kindToProto = map[string]checkoutv1.EventOperationKind{
	kindMove:   checkoutv1.EventOperationKind_EVENT_OPERATION_KIND_MOVE,
	kindCancel: checkoutv1.EventOperationKind_EVENT_OPERATION_KIND_CANCEL,
}

var stateToProto = map[string]checkoutv1.EventOperationState{
	stateRunning:   checkoutv1.EventOperationState_EVENT_OPERATION_STATE_RUNNING,
	statePaused:    checkoutv1.EventOperationState_EVENT_OPERATION_STATE_PAUSED,
	stateCanceled:  checkoutv1.EventOperationState_EVENT_OPERATION_STATE_CANCELED,
	stateCompleted: checkoutv1.EventOperationState_EVENT_OPERATION_STATE_COMPLETED,
}

func toProto(op checkoutdb.EventOperation) *checkoutv1.EventOperation {
	return &checkoutv1.EventOperation{
		Id: op.ID, EventId: op.EventID, Kind: kindToProto[op.Kind], State: stateToProto[op.State], ScheduleNumber: int64(op.ScheduleNumber),
		OldTimes:         times{op.OldDoorsTime, op.OldStartTime, op.OldEndTime}.toProto(),
		NewTimes:         times{op.DoorsTime, op.StartTime, op.EndTime}.toProto(),
		TotalTicketCount: op.TotalTicketCount, DoneTicketCount: op.DoneTicketCount, MailCount: op.MailCount,
		FailedOrderCount: op.FailedOrderCount, PassBatchId: op.PassBatchID, VisitedPassCount: op.VisitedPassCount,
		ChangedPassCount: op.ChangedPassCount, PushedCount: op.PushedCount, LastError: op.LastError, Actor: op.Actor,
		CreateTime: timestamppb.New(op.CreateTime), FinishTime: wire.TimeToProto(op.FinishTime),
	}
}
