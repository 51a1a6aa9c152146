package admission

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/doortoken"
	"github.com/dayof/dayof/checkoutsvc/wire"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// enrolmentTime is for how long the code of a device is valid.
const enrolmentTime = 15 * time.Minute

// errCode says nothing of why: whoever guesses learns nothing from it.
var errCode = problem.New(connect.CodeNotFound, "DOOR_CODE_INVALID",
	"the code is unknown, used or expired, or was tried too often; ask staff for a new one")

// CreateDoorDevice implements AdmissionService. The stored answer of the call is without the code, which is made anew for each repeat.
func (s *Service) CreateDoorDevice(ctx context.Context, req *checkoutv1.CreateDoorDeviceRequest) (*checkoutv1.CreateDoorDeviceResponse, error) {
	now := s.Orders.Clock.Now()
	fingerprint := idem.Fingerprint(1, req.GetEventId(), req.GetGate(), req.GetName())
	res, err := idem.Do(ctx, s.Orders.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.CreateDoorDeviceResponse, error) {
		if _, err := s.policy(ctx, tx, req.GetEventId()); err != nil {
			return nil, err
		}
		d := checkoutdb.InsertDoorDeviceParams{
			ID: s.NewID(), EventID: req.GetEventId(), Gate: req.GetGate(), Name: req.GetName(), CreateTime: now, CreatedBy: rpc.CallerFrom(ctx).Name,
			EnrolHandle: doortoken.NewHandle(), EnrolExpireTime: now.Add(enrolmentTime),
		}
		if err := s.q.InsertDoorDevice(ctx, tx, d); err != nil {
			return nil, fmt.Errorf("insert door device: %w", err)
		}
		return &checkoutv1.CreateDoorDeviceResponse{Device: deviceToProto(checkoutdb.DoorDevice{
			ID: d.ID, EventID: d.EventID, Gate: d.Gate, Name: d.Name, CreateTime: d.CreateTime, EnrolExpireTime: d.EnrolExpireTime,
		})}, nil
	})
	if err != nil {
		return nil, err
	}
	d, err := s.q.GetDoorDevice(ctx, s.Orders.Pool, res.GetDevice().GetId())
	if err != nil {
		return nil, fmt.Errorf("get door device: %w", err)
	}
	res.EnrolmentCode = s.Tokens.Code(d.EnrolHandle, d.ID)
	return res, nil
}

// EnrolDoorDevice implements AdmissionService. Each try is counted, and committed, before the code's second half is looked at: no number of
// guesses at once is more than ten.
func (s *Service) EnrolDoorDevice(ctx context.Context, req *checkoutv1.EnrolDoorDeviceRequest) (*checkoutv1.EnrolDoorDeviceResponse, error) {
	now := s.Orders.Clock.Now()
	handle, proof, ok := doortoken.Split(req.GetEnrolmentCode())
	if !ok {
		return nil, errCode
	}
	id, err := s.q.TryEnrolment(ctx, s.Orders.Pool, handle, now)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errCode
	}
	if err != nil {
		return nil, fmt.Errorf("try enrolment: %w", err)
	}
	if !s.Tokens.Proves(handle, proof, id) {
		return nil, errCode
	}
	ctx = rpc.WithCaller(ctx, rpc.Caller{Name: "door-code:" + id, Role: rpc.RolePublic}) // two devices may choose the same key
	tokens := s.Tokens.Tokens(id)
	res, err := idem.Do(ctx, s.Orders.Pool, now, idem.Fingerprint(1, id), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.EnrolDoorDeviceResponse, error) {
		d, err := s.q.EnrolDoorDevice(ctx, tx, now, doortoken.Hash(tokens[0]), id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, errCode
		}
		if err != nil {
			return nil, fmt.Errorf("enrol door device: %w", err)
		}
		return &checkoutv1.EnrolDoorDeviceResponse{Device: deviceToProto(d)}, nil
	})
	if err != nil {
		return nil, err
	}
	d, err := s.q.GetDoorDevice(ctx, s.Orders.Pool, id)
	if err != nil {
		return nil, fmt.Errorf("get door device: %w", err)
	}
	for _, token := range tokens {
		if bytes.Equal(doortoken.Hash(token), d.TokenHash) {
			res.Token = token
			return res, nil
		}
	}
	return nil, errCode // it enrolled with a key that is not configured any more
}

// ListDoorDevices implements AdmissionService.
func (s *Service) ListDoorDevices(ctx context.Context, req *checkoutv1.ListDoorDevicesRequest) (*checkoutv1.ListDoorDevicesResponse, error) {
	if _, err := s.policy(ctx, s.Orders.Pool, req.GetEventId()); err != nil {
		return nil, err
	}
	list := page.List("door devices", &checkoutv1.ListDoorDevicesRequest{EventId: req.GetEventId()})
	after, err := page.Parse(req.GetPageToken(), list, page.Cursor{Time: time.Unix(0, 0).UTC()})
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	rows, err := s.q.ListDoorDevices(ctx, s.Orders.Pool, req.GetEventId(), after.Time, after.ID, size+1)
	if err != nil {
		return nil, fmt.Errorf("list door devices: %w", err)
	}
	res := &checkoutv1.ListDoorDevicesResponse{}
	if len(rows) > int(size) {
		rows = rows[:size]
		last := rows[size-1]
		res.NextPageToken = page.Token(list, page.Cursor{Time: last.CreateTime.UTC(), ID: last.ID})
	}
	for _, d := range rows {
		res.Devices = append(res.Devices, deviceToProto(d))
	}
	return res, nil
}

// RevokeDoorDevice implements AdmissionService.
func (s *Service) RevokeDoorDevice(ctx context.Context, req *checkoutv1.RevokeDoorDeviceRequest) (*checkoutv1.RevokeDoorDeviceResponse, error) {
	now := s.Orders.Clock.Now()
	return idem.Do(ctx, s.Orders.Pool, now, idem.Fingerprint(1, req.GetDeviceId()), func(ctx context.Context, tx pgx.Tx) (*checkoutv1.RevokeDoorDeviceResponse, error) {
		d, err := s.q.RevokeDoorDevice(ctx, tx, now, req.GetDeviceId())
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, errNoDevice
		}
		if err != nil {
			return nil, fmt.Errorf("revoke door device: %w", err)
		}
		return &checkoutv1.RevokeDoorDeviceResponse{Device: deviceToProto(d)}, nil
	})
}

func deviceToProto(d checkoutdb.DoorDevice) *checkoutv1.DoorDevice {
	return &checkoutv1.DoorDevice{
		Id: d.ID, EventId: d.EventID, Gate: d.Gate, Name: d.Name, CreateTime: timestamppb.New(d.CreateTime),
		EnrolmentExpireTime: timestamppb.New(d.EnrolExpireTime), EnrolTime: wire.TimeToProto(d.EnrolTime), RevokeTime: wire.TimeToProto(d.RevokeTime),
	}
}
