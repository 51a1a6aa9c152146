package passsvc

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/passsvc/passdb"
)

// Where a revision came from.
const (
	originIssue   = "issue"
	originUpdate  = "update"
	originSuspend = "suspend"
	originVoid    = "void"
	originBatch   = "batch"
)

// revision is a material change of one locked pass.
type revision struct {
	row   passdb.Pass // as it was, with OrderID, EventID and TicketChangeNumber as they shall be
	next  content
	delta []change
	hash  []byte
}

// material returns the revision that makes row show next, or false when nothing that it shows differs.
func material(row passdb.Pass, next content) (revision, bool, error) {
	before, err := decodeContent(row)
	if err != nil {
		return revision{}, false, err
	}
	r := revision{row: row, next: next, delta: next.changes(before), hash: next.hash()}
	return r, len(r.delta) > 0, nil
}

// cause says why passes are revised.
type cause struct {
	origin  string
	note    string
	batchID string
}

// revise writes revisions of passes that tx has locked, and a push for each device that is registered for one of them.
// It returns the rows as they are then, in the same order. It takes the update tags of the pass types, so it is the
// last thing that tx does before its commit. After the commit, call changed.
func (s *Service) revise(ctx context.Context, tx pgx.Tx, now time.Time, why cause, revisions []revision) ([]passdb.Pass, error) {
	byType := map[string]*revisionBatch{}
	rows := make([]passdb.Pass, len(revisions))
	for i, r := range revisions {
		batch := byType[r.row.PassType]
		if batch == nil {
			batch = &revisionBatch{}
			byType[r.row.PassType] = batch
		}
		var err error
		if rows[i], err = batch.add(r, now); err != nil {
			return nil, err
		}
	}
	types := slices.Sorted(maps.Keys(byType)) // everybody locks tags in this order
	var pipeline pgdb.Pipeline
	for _, passType := range types {
		if err := s.queueRevisions(ctx, &pipeline, now, why, byType[passType]); err != nil {
			return nil, err
		}
	}
	for _, passType := range types {
		if err := byType[passType].queuePasses(ctx, s.q, &pipeline, now, passType); err != nil {
			return nil, err
		}
	}
	if err := pipeline.Flush(ctx, tx); err != nil {
		return nil, fmt.Errorf("write revisions: %w", err)
	}
	crash.At(crash.PassRevised)
	return rows, nil
}

// revisionBatch is revisions of passes of one type, in columns.
type revisionBatch struct {
	serials, orderIDs, eventIDs []string
	changeNumbers, revisions    []int64
	contents, changes           []json.RawMessage
	hashes                      [][]byte
	modifyTimes                 []time.Time
}

func (b *revisionBatch) add(r revision, now time.Time) (passdb.Pass, error) {
	row := r.row
	encoded, err := json.Marshal(r.next)
	if err != nil {
		return row, fmt.Errorf("encode content: %w", err)
	}
	changes, err := json.Marshal(r.delta)
	if err != nil {
		return row, fmt.Errorf("encode changes: %w", err)
	}
	row.Content, row.ContentHash = encoded, r.hash
	row.Revision++
	row.ReviseTime = now
	row.ModifyTime = nextModifyTime(row.ModifyTime, now)
	b.serials = append(b.serials, row.Serial)
	b.orderIDs = append(b.orderIDs, row.OrderID)
	b.eventIDs = append(b.eventIDs, row.EventID)
	b.changeNumbers = append(b.changeNumbers, row.TicketChangeNumber)
	b.revisions = append(b.revisions, row.Revision)
	b.contents = append(b.contents, row.Content)
	b.changes = append(b.changes, changes)
	b.hashes = append(b.hashes, row.ContentHash)
	b.modifyTimes = append(b.modifyTimes, row.ModifyTime)
	return row, nil
}

// nextModifyTime is what devices get as the time of a change: whole seconds, and later with every revision, also
// when two are made within a second or a clock steps back, so that a device which holds the one is always given the
// next. A batch of quick changes runs ahead of the clock; such times are not sent, see lastModified.
func nextModifyTime(before, now time.Time) time.Time {
	modified := now.UTC().Truncate(time.Second)
	if earliest := before.Add(time.Second); modified.Before(earliest) {
		return earliest
	}
	return modified
}

func (s *Service) queueRevisions(ctx context.Context, p *pgdb.Pipeline, now time.Time, why cause, b *revisionBatch) error {
	err := s.q.InsertRevisions(ctx, p, passdb.InsertRevisionsParams{
		Serials: b.serials, Revisions: b.revisions, ContentHashes: b.hashes, ReviseTime: now,
		Origin: why.origin, Note: why.note, PassBatchID: why.batchID, Changes: b.changes,
	})
	if err != nil {
		return fmt.Errorf("queue revisions: %w", err)
	}
	err = s.q.InsertPushes(ctx, p, passdb.InsertPushesParams{
		Serials: b.serials, Revisions: b.revisions, PassBatchID: why.batchID, CreateTime: now, WaitSeconds: s.Config.PushCoalesce.Seconds(),
	})
	if err != nil {
		return fmt.Errorf("queue pushes: %w", err)
	}
	return nil
}

func (b *revisionBatch) queuePasses(ctx context.Context, q passdb.Queries, p *pgdb.Pipeline, now time.Time, passType string) error {
	err := q.RevisePasses(ctx, p, passdb.RevisePassesParams{
		Now: now, PassType: passType, Serials: b.serials, OrderIds: b.orderIDs, EventIds: b.eventIDs,
		TicketChangeNumbers: b.changeNumbers, Contents: b.contents, ContentHashes: b.hashes, Revisions: b.revisions,
		ModifyTimes: b.modifyTimes,
	})
	if err != nil {
		return fmt.Errorf("queue passes: %w", err)
	}
	return nil
}

func decodeContent(row passdb.Pass) (content, error) {
	var c content
	if err := json.Unmarshal(row.Content, &c); err != nil {
		return content{}, fmt.Errorf("decode content of pass %s: %w", row.Serial, err)
	}
	return c, nil
}
