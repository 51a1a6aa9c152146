package passsvc

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/passsvc/passdb"
)

// What staff may read: the history of a pass, its devices, and its pushes.

const (
	// revisionsListed and pushesListed are how many of each are returned.
	revisionsListed = 200
	pushesListed    = 200
	// deviceSuffixLength is how much is shown of a device's identifier: enough to distinguish two, useless otherwise.
	deviceSuffixLength = 4
)

func deviceSuffix(device string) string {
	return device[max(0, len(device)-deviceSuffixLength):]
}

// ListRegistrations implements PassService.
func (s *Service) ListRegistrations(ctx context.Context, req *passv1.ListRegistrationsRequest) (*passv1.ListRegistrationsResponse, error) {
	if _, err := s.q.GetPass(ctx, s.Pool, req.GetPassSerial()); err != nil {
		return nil, passNotFound(err)
	}
	rows, err := s.q.ListRegistrations(ctx, s.Pool, req.GetPassSerial())
	if err != nil {
		return nil, fmt.Errorf("list registrations: %w", err)
	}
	res := &passv1.ListRegistrationsResponse{}
	for _, row := range rows {
		res.Registrations = append(res.Registrations, &passv1.Registration{
			DeviceSuffix: deviceSuffix(row.DeviceID), RegisterTime: timestamppb.New(row.RegisterTime),
		})
	}
	return res, nil
}

// ListPushes implements PassService.
func (s *Service) ListPushes(ctx context.Context, req *passv1.ListPushesRequest) (*passv1.ListPushesResponse, error) {
	if _, err := s.q.GetPass(ctx, s.Pool, req.GetPassSerial()); err != nil {
		return nil, passNotFound(err)
	}
	rows, err := s.q.ListPushes(ctx, s.Pool, req.GetPassSerial(), pushesListed)
	if err != nil {
		return nil, fmt.Errorf("list pushes: %w", err)
	}
	res := &passv1.ListPushesResponse{}
	for _, row := range rows {
		p := &passv1.Push{
			Revision: row.Revision, DeviceSuffix: deviceSuffix(row.DeviceID), State: row.State, AttemptCount: row.AttemptCount,
			ApnsStatus: row.ApnsStatus, ApnsReason: row.ApnsReason, CreateTime: timestamppb.New(row.CreateTime),
		}
		if row.SendTime != nil {
			p.SendTime = timestamppb.New(*row.SendTime)
		}
		res.Pushes = append(res.Pushes, p)
	}
	return res, nil
}

// ListPassRevisions implements PassService. The first revision has no row of its own: it is the pass as issued.
func (s *Service) ListPassRevisions(ctx context.Context, req *passv1.ListPassRevisionsRequest) (*passv1.ListPassRevisionsResponse, error) {
	pass, err := s.q.GetPass(ctx, s.Pool, req.GetPassSerial())
	if err != nil {
		return nil, passNotFound(err)
	}
	rows, err := s.q.ListRevisions(ctx, s.Pool, pass.Serial, revisionsListed)
	if err != nil {
		return nil, fmt.Errorf("list revisions: %w", err)
	}
	res := &passv1.ListPassRevisionsResponse{}
	for _, row := range rows {
		r, err := s.revisionToProto(pass, row)
		if err != nil {
			return nil, err
		}
		res.Revisions = append(res.Revisions, r)
	}
	if len(rows) < revisionsListed {
		r, err := s.revisionToProto(pass, passdb.PassRevision{
			Revision: 1, ContentHash: pass.IssueHash, ReviseTime: pass.CreateTime, Origin: originIssue, Changes: json.RawMessage("[]"),
		})
		if err != nil {
			return nil, err
		}
		res.Revisions = append(res.Revisions, r)
	}
	return res, nil
}

func (s *Service) revisionToProto(pass passdb.Pass, row passdb.PassRevision) (*passv1.PassRevision, error) {
	var changes []change
	if err := json.Unmarshal(row.Changes, &changes); err != nil {
		return nil, fmt.Errorf("decode changes of pass %s: %w", pass.Serial, err)
	}
	r := &passv1.PassRevision{Revision: row.Revision, CreateTime: timestamppb.New(row.ReviseTime), Origin: row.Origin, Note: row.Note}
	if certificate, _ := s.certificates.signer(pass.PassType); certificate != nil {
		r.Etag = s.renderer.etag(revisionState{
			Serial: pass.Serial, PassType: pass.PassType, Revision: row.Revision, ContentHash: row.ContentHash,
			KeyVersion: int(pass.TokenKeyVersion), ReviseTime: row.ReviseTime,
		}, certificate)
	}
	for _, c := range changes {
		r.Changes = append(r.Changes, &passv1.FieldChange{Path: c.Path, OldValue: c.Old, NewValue: c.New})
	}
	return r, nil
}
