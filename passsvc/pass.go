package passsvc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/passsvc/passdb"
)

// reasonPassNotFound is the reason of the problem about a serial that no pass has.
const reasonPassNotFound = "PASS_NOT_FOUND"

// GetPass implements PassService.
func (s *Service) GetPass(ctx context.Context, req *passv1.GetPassRequest) (*passv1.GetPassResponse, error) {
	row, err := s.q.GetPass(ctx, s.Pool, req.GetPassSerial())
	if err != nil {
		return nil, passNotFound(err)
	}
	p, err := s.passMessage(row)
	if err != nil {
		return nil, err
	}
	return &passv1.GetPassResponse{Pass: p}, nil
}

// passNotFound turns the absence of a pass into the problem that callers know.
func passNotFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return problem.New(connect.CodeNotFound, reasonPassNotFound, "there is no pass with this serial")
	}
	return fmt.Errorf("get pass: %w", err)
}

// ListPasses implements PassService.
func (s *Service) ListPasses(ctx context.Context, req *passv1.ListPassesRequest) (*passv1.ListPassesResponse, error) {
	rows, err := s.q.ListOrderPasses(ctx, s.Pool, req.GetOrderId())
	if err != nil {
		return nil, fmt.Errorf("list passes: %w", err)
	}
	res := &passv1.ListPassesResponse{}
	for _, row := range rows {
		p, err := s.passMessage(row)
		if err != nil {
			return nil, err
		}
		res.Passes = append(res.Passes, p)
	}
	return res, nil
}

// UpdatePass implements PassService.
func (s *Service) UpdatePass(ctx context.Context, req *passv1.UpdatePassRequest) (*passv1.UpdatePassResponse, error) {
	if err := checkStaffFields(req.GetFields()); err != nil {
		return nil, err
	}
	parts := []any{req.GetPassSerial()}
	for _, name := range slices.Sorted(maps.Keys(req.GetFields())) {
		parts = append(parts, name, req.GetFields()[name])
	}
	changed := s.newChangedPass()
	res, err := idem.Do(ctx, s.Pool, s.Clock.Now(), idem.Fingerprint(1, parts...),
		func(ctx context.Context, tx pgx.Tx) (*passv1.UpdatePassResponse, error) {
			err := changed.write(ctx, tx, req.GetPassSerial(), cause{origin: originUpdate},
				func(c content) content { return c.withStaff(req.GetFields()) })
			return &passv1.UpdatePassResponse{Pass: changed.sealed, Changed: changed.isMaterial}, err
		})
	if err != nil {
		return nil, err
	}
	changed.tell()
	return res, s.openPass(res.GetPass())
}

// VoidPass implements PassService.
func (s *Service) VoidPass(ctx context.Context, req *passv1.VoidPassRequest) (*passv1.VoidPassResponse, error) {
	changed := s.newChangedPass()
	res, err := idem.Do(ctx, s.Pool, s.Clock.Now(), idem.Fingerprint(1, req.GetPassSerial(), req.GetVoidNote()),
		func(ctx context.Context, tx pgx.Tx) (*passv1.VoidPassResponse, error) {
			err := changed.write(ctx, tx, req.GetPassSerial(), cause{origin: originVoid, note: req.GetVoidNote()},
				func(c content) content {
					c.Voided = true
					return c
				})
			return &passv1.VoidPassResponse{Pass: changed.sealed, Changed: changed.isMaterial}, err
		})
	if err != nil {
		return nil, err
	}
	changed.tell()
	return res, s.openPass(res.GetPass())
}

// changedPass is the change of one pass in the transaction of its idempotency key.
type changedPass struct {
	s          *Service
	sealed     *passv1.Pass
	isMaterial bool
	row        passdb.Pass
}

func (s *Service) newChangedPass() *changedPass { return &changedPass{s: s} }

// write locks the pass and makes it show what edit returns. Nothing is written when that is what it shows already.
func (c *changedPass) write(ctx context.Context, tx pgx.Tx, serial string, why cause, edit func(content) content) error {
	row, err := c.s.q.LockPass(ctx, tx, serial)
	if err != nil {
		return passNotFound(err)
	}
	before, err := decodeContent(row)
	if err != nil {
		return err
	}
	r, isMaterial, err := material(row, edit(before))
	if err != nil {
		return err
	}
	if isMaterial {
		// The time is read under the lock, so that it does not run backwards between revisions of one pass.
		rows, err := c.s.revise(ctx, tx, c.s.Clock.Now(), why, []revision{r})
		if err != nil {
			return err
		}
		row = rows[0]
	}
	c.row, c.isMaterial = row, isMaterial
	c.sealed, err = c.s.sealedPass(row)
	return err
}

// tell is called after the commit.
func (c *changedPass) tell() {
	if c.isMaterial {
		c.s.changed(c.row)
	}
}

// changed makes a committed change known in this process: readers look again, and its pushes start now. Other replicas
// find both within milliseconds, and a crash here delays pushes until a sweep.
func (s *Service) changed(rows ...passdb.Pass) {
	for _, row := range rows {
		s.cache.touch(row.PassType)
	}
	if len(rows) > 0 {
		s.pusher.wake()
	}
}
