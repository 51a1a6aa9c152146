package passsvc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/id"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/passsvc/passdb"
)

// A batch changes all passes of an event in chunks, each one transaction: passes, revisions, pushes and the batch's own
// progress. A worker that dies loses at most its chunk, which nobody has read.

const (
	// batchSweep is how often a replica checks for batches that nobody works on.
	batchSweep = 10 * time.Second

	alertBatchFailing   = "pass_batch_failing"
	alertPassUnreadable = "pass_unreadable" // its serial: a batch passed it over, and it shows what it showed

	batchStateRunning  = "running"
	batchStateDone     = "done"
	batchStateCanceled = "canceled"
)

// BatchUpdatePasses implements PassService. It returns at once.
func (s *Service) BatchUpdatePasses(ctx context.Context, req *passv1.BatchUpdatePassesRequest) (*passv1.BatchUpdatePassesResponse, error) {
	event, err := batchEvent(req)
	if err != nil {
		return nil, err
	}
	fields, err := json.Marshal(req.GetFields())
	if err != nil {
		return nil, fmt.Errorf("encode fields: %w", err)
	}
	now := s.Clock.Now()
	res, err := idem.Do(ctx, s.Pool, now, batchFingerprint(req, event),
		func(ctx context.Context, tx pgx.Tx) (*passv1.BatchUpdatePassesResponse, error) {
			total, err := s.q.CountEventPasses(ctx, tx, req.GetEventId())
			if err != nil {
				return nil, fmt.Errorf("count passes: %w", err)
			}
			if total == 0 {
				return nil, problem.New(connect.CodeFailedPrecondition, problem.ReasonOf(passv1.Reason_REASON_EVENT_HAS_NO_PASSES), "no pass was issued for this event")
			}
			batch := passdb.InsertPassBatchParams{
				ID: id.New(), EventID: req.GetEventId(), Fields: fields, TotalPassCount: total, CreateTime: now,
			}
			if event != nil {
				if batch.Event, err = json.Marshal(event); err != nil {
					return nil, fmt.Errorf("encode event: %w", err)
				}
			}
			if err := s.q.InsertPassBatch(ctx, tx, batch); err != nil {
				return nil, fmt.Errorf("insert batch: %w", err)
			}
			return &passv1.BatchUpdatePassesResponse{Batch: &passv1.PassBatch{
				Id: batch.ID, EventId: batch.EventID, State: passv1.PassBatchState_PASS_BATCH_STATE_RUNNING,
				TotalPassCount: total, CreateTime: timestamppb.New(now),
			}}, nil
		})
	if err != nil {
		return nil, err
	}
	s.wakeBatches()
	return res, nil
}

// batchEvent returns the new event of a request, nil if it leaves the event, or what is wrong with the request.
func batchEvent(req *passv1.BatchUpdatePassesRequest) (*eventContent, error) {
	if req.GetEvent() == nil && len(req.GetFields()) == 0 {
		return nil, problem.InvalidField("event", "must be given unless fields are")
	}
	wrongFields := checkStaffFields(req.GetFields())
	if req.GetEvent() == nil {
		return nil, wrongFields
	}
	var wrongID error
	if req.GetEvent().GetId() != req.GetEventId() {
		wrongID = problem.InvalidField("event.id", "must be event_id")
	}
	event, wrongEvent := eventFromProto(req.GetEvent(), "event")
	return &event, problem.All(wrongFields, wrongID, wrongEvent)
}

// GetPassBatch implements PassService.
func (s *Service) GetPassBatch(ctx context.Context, req *passv1.GetPassBatchRequest) (*passv1.GetPassBatchResponse, error) {
	batch, err := s.readBatch(ctx, req.GetPassBatchId())
	if err != nil {
		return nil, err
	}
	return &passv1.GetPassBatchResponse{Batch: batch}, nil
}

func (s *Service) readBatch(ctx context.Context, id string) (*passv1.PassBatch, error) {
	row, err := s.q.GetPassBatch(ctx, s.Pool, id)
	if err != nil {
		return nil, batchNotFound(err)
	}
	pushed, err := s.q.CountBatchPushes(ctx, s.Pool, row.ID)
	if err != nil {
		return nil, fmt.Errorf("count pushes: %w", err)
	}
	b := &passv1.PassBatch{
		Id: row.ID, EventId: row.EventID, TotalPassCount: row.TotalPassCount, VisitedPassCount: row.VisitedPassCount,
		ChangedPassCount: row.ChangedPassCount, PushedCount: pushed, CreateTime: timestamppb.New(row.CreateTime),
	}
	switch row.State {
	case batchStateRunning:
		b.State = passv1.PassBatchState_PASS_BATCH_STATE_RUNNING
	case batchStateDone:
		b.State = passv1.PassBatchState_PASS_BATCH_STATE_DONE
	case batchStateCanceled:
		b.State = passv1.PassBatchState_PASS_BATCH_STATE_CANCELED
	}
	if row.EndTime != nil {
		b.EndTime = timestamppb.New(*row.EndTime)
	}
	return b, nil
}

func batchNotFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return problem.New(connect.CodeNotFound, "PASS_BATCH_NOT_FOUND", "there is no batch with this id")
	}
	return fmt.Errorf("get batch: %w", err)
}

// CancelPassBatch implements PassService. It waits for the chunk that is being written.
func (s *Service) CancelPassBatch(ctx context.Context, req *passv1.CancelPassBatchRequest) (*passv1.CancelPassBatchResponse, error) {
	now := s.Clock.Now()
	_, err := idem.Do(ctx, s.Pool, now, cancelFingerprint(req),
		func(ctx context.Context, tx pgx.Tx) (*passv1.CancelPassBatchResponse, error) {
			if _, err := s.q.GetPassBatch(ctx, tx, req.GetPassBatchId()); err != nil {
				return nil, batchNotFound(err)
			}
			if err := s.q.CancelBatch(ctx, tx, req.GetPassBatchId(), &now); err != nil {
				return nil, fmt.Errorf("cancel batch: %w", err)
			}
			return &passv1.CancelPassBatchResponse{}, nil
		})
	if err != nil {
		return nil, err
	}
	// Read after the commit: the numbers of the last chunk are in it, also for a repeat.
	batch, err := s.readBatch(ctx, req.GetPassBatchId())
	if err != nil {
		return nil, err
	}
	return &passv1.CancelPassBatchResponse{Batch: batch}, nil
}

// batchRunner changes the passes of running batches.
type batchRunner struct{ *Service }

// runBatches works on running batches, a chunk of each in turn, until there is nothing to do here but batches that have
// failed: one that cannot go on does not stop the others.
func (s batchRunner) runBatches(ctx context.Context) error {
	var failures []error
	failed := map[string]bool{}
	for ctx.Err() == nil {
		var batch passdb.PassBatch
		var revised []passdb.Pass
		err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
			var err error
			if batch, err = s.q.LockNextBatch(ctx, tx, slices.AppendSeq([]string{}, maps.Keys(failed))); err != nil {
				return fmt.Errorf("lock batch: %w", err)
			}
			revised, err = s.runChunk(ctx, tx, batch)
			return err
		})
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return errors.Join(failures...)
		case err != nil && batch.ID == "": // none could be asked for
			return errors.Join(append(failures, err)...)
		case err != nil:
			failed[batch.ID] = true
			failures = append(failures, err, s.reportFailingBatch(ctx, batch.ID, err))
		default:
			s.changed(revised...)
		}
	}
	return errors.Join(append(failures, ctx.Err())...)
}

// reportFailingBatch raises one alert per batch that cannot go on. It is tried again by the next sweep.
func (s batchRunner) reportFailingBatch(ctx context.Context, id string, cause error) error {
	if id == "" || ctx.Err() != nil {
		return nil //nolint:nilerr // there is nobody to report to, or no time to; the caller has the error
	}
	if err := s.q.PostponeBatch(ctx, s.Pool, id, s.Clock.Now()); err != nil {
		return fmt.Errorf("postpone batch: %w", err)
	}
	return alert.Raise(ctx, s.Pool, alertBatchFailing, id, map[string]any{"error": cause.Error()}, "")
}

// runChunk changes the next passes of a locked batch, and ends it when there are no more.
func (s batchRunner) runChunk(ctx context.Context, tx pgx.Tx, batch passdb.PassBatch) ([]passdb.Pass, error) {
	edit, err := batchEdit(batch)
	if err != nil {
		return nil, err
	}
	rows, err := s.q.LockEventPasses(ctx, tx, batch.EventID, batch.LastPassID, int32(s.Config.BatchChunk))
	if err != nil {
		return nil, fmt.Errorf("lock passes: %w", err)
	}
	var revisions []revision
	for _, row := range rows {
		batch.LastPassID = row.ID
		before, err := decodeContent(row)
		if err != nil { // one pass that cannot be read does not keep the others from being changed
			if err := alert.Raise(ctx, tx, alertPassUnreadable, row.Serial, map[string]any{"batch_id": batch.ID, "error": err.Error()}, ""); err != nil {
				return nil, err
			}
			continue
		}
		r, isMaterial, err := material(row, edit(before))
		if err != nil {
			return nil, err
		}
		if isMaterial {
			revisions = append(revisions, r)
		}
	}
	now := s.Clock.Now()
	done := len(rows) < s.Config.BatchChunk
	err = s.q.AdvanceBatch(ctx, tx, passdb.AdvanceBatchParams{
		ID: batch.ID, LastPassID: batch.LastPassID, Visited: int64(len(rows)), Changed: int64(len(revisions)), Now: now, Done: done,
	})
	if err != nil {
		return nil, fmt.Errorf("advance batch: %w", err)
	}
	if done {
		if err := alert.Resolve(ctx, tx, alertBatchFailing, batch.ID); err != nil {
			return nil, err
		}
	}
	if len(revisions) == 0 {
		return nil, nil
	}
	return s.revise(ctx, tx, now, cause{origin: originBatch, batchID: batch.ID}, revisions)
}

// batchEdit returns what a batch does to a content.
func batchEdit(batch passdb.PassBatch) (func(content) content, error) {
	var fields map[string]string
	if err := json.Unmarshal(batch.Fields, &fields); err != nil {
		return nil, fmt.Errorf("decode fields of batch: %w", err)
	}
	var event *eventContent
	if len(batch.Event) > 0 {
		if err := json.Unmarshal(batch.Event, &event); err != nil {
			return nil, fmt.Errorf("decode event of batch: %w", err)
		}
	}
	return func(c content) content {
		if event != nil {
			c.Event = c.Event.replacedBy(*event)
		}
		return c.withStaff(fields)
	}, nil
}
