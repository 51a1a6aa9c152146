package passsvc

import (
	"context"
	"errors"
	"fmt"

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
	p, err := s.passToProto(row)
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
		p, err := s.passToProto(row)
		if err != nil {
			return nil, err
		}
		res.Passes = append(res.Passes, p)
	}
	if len(rows) > 0 {
		if res.OrderDownloadUrl, err = s.OrderURL(req.GetOrderId()); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// UpdatePass implements PassService.
func (s *Service) UpdatePass(ctx context.Context, req *passv1.UpdatePassRequest) (*passv1.UpdatePassResponse, error) {
	if err := checkStaffFields(req.GetFields()); err != nil {
		return nil, err
	}
	changed := s.newChangedPass()
	res, err := idem.Do(ctx, s.Pool, s.Clock.Now(), updateFingerprint(req),
		func(ctx context.Context, tx pgx.Tx) (*passv1.UpdatePassResponse, error) {
			err := changed.write(ctx, tx, req.GetPassSerial(), passEdit{
				why: cause{origin: originUpdate}, apply: func(c content) content { return c.withStaff(req.GetFields()) },
			})
			return &passv1.UpdatePassResponse{Pass: changed.sealed, Changed: changed.isMaterial}, err
		})
	if err != nil {
		return nil, err
	}
	changed.announce()
	return res, s.openPass(res.GetPass())
}

// VoidPass implements PassService.
func (s *Service) VoidPass(ctx context.Context, req *passv1.VoidPassRequest) (*passv1.VoidPassResponse, error) {
	changed := s.newChangedPass()
	res, err := idem.Do(ctx, s.Pool, s.Clock.Now(), voidFingerprint(req),
		func(ctx context.Context, tx pgx.Tx) (*passv1.VoidPassResponse, error) {
			err := changed.write(ctx, tx, req.GetPassSerial(), passEdit{
				why: cause{origin: originVoid, note: req.GetVoidNote()},
				apply: func(c content) content {
					c.Voided = true
					return c
				},
			})
			return &passv1.VoidPassResponse{Pass: changed.sealed, Changed: changed.isMaterial}, err
		})
	if err != nil {
		return nil, err
	}
	changed.announce()
	return res, s.openPass(res.GetPass())
}

// SetPassSuspended implements PassService.
func (s *Service) SetPassSuspended(ctx context.Context, req *passv1.SetPassSuspendedRequest) (*passv1.SetPassSuspendedResponse, error) {
	changed := s.newChangedPass()
	res, err := idem.Do(ctx, s.Pool, s.Clock.Now(), suspendFingerprint(req),
		func(ctx context.Context, tx pgx.Tx) (*passv1.SetPassSuspendedResponse, error) {
			err := changed.write(ctx, tx, req.GetPassSerial(), passEdit{
				why: cause{origin: originSuspend}, changeNumber: req.GetTicketChangeNumber(),
				apply: func(c content) content {
					c.Suspended, c.Used = req.GetSuspended(), req.GetUsed()
					return c
				},
			})
			return &passv1.SetPassSuspendedResponse{Pass: changed.sealed, Changed: changed.isMaterial}, err
		})
	if err != nil {
		return nil, err
	}
	changed.announce()
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

// passEdit is what one call does to a pass.
type passEdit struct {
	why          cause
	changeNumber int64 // of the ticket; an edit that is not above the stored one does nothing. 0: it counts none
	apply        func(content) content
}

// write locks the pass and makes it show what the edit says. No revision is written when that is what it shows already.
func (c *changedPass) write(ctx context.Context, tx pgx.Tx, serial string, edit passEdit) error {
	row, err := c.s.q.LockPass(ctx, tx, serial)
	if err != nil {
		return passNotFound(err)
	}
	if edit.changeNumber == 0 || edit.changeNumber > row.TicketChangeNumber {
		if row, err = c.apply(ctx, tx, row, edit); err != nil {
			return err
		}
	}
	c.row = row
	c.sealed, err = c.s.sealedPass(row)
	return err
}

// apply returns the locked row as it is after the edit.
func (c *changedPass) apply(ctx context.Context, tx pgx.Tx, row passdb.Pass, edit passEdit) (passdb.Pass, error) {
	before, err := decodeContent(row)
	if err != nil {
		return row, err
	}
	row.TicketChangeNumber = max(row.TicketChangeNumber, edit.changeNumber)
	r, isMaterial, err := material(row, edit.apply(before))
	switch {
	case err != nil:
		return row, err
	case isMaterial:
		c.isMaterial = true
		// The time is read under the lock, so that it does not run backwards between revisions of one pass.
		rows, err := c.s.revise(ctx, tx, c.s.Clock.Now(), edit.why, []revision{r})
		if err != nil {
			return row, err
		}
		return rows[0], nil
	case edit.changeNumber != 0:
		if err := c.s.q.SetTicketChangeNumber(ctx, tx, row.Serial, row.TicketChangeNumber); err != nil {
			return row, fmt.Errorf("note ticket change: %w", err)
		}
	}
	return row, nil
}

// announce is called after the commit.
func (c *changedPass) announce() {
	if c.isMaterial {
		c.s.changed(c.row)
	}
}

// changed makes a committed change known in this process: readers read again, and its pushes start now. Other replicas
// find both within milliseconds, and a crash here delays pushes until a sweep.
func (s *Service) changed(rows ...passdb.Pass) {
	for _, row := range rows {
		s.cache.touch(row.PassType)
	}
	if len(rows) > 0 {
		s.pusher.wake()
	}
}
