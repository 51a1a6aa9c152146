package checkoutsvc

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

func (s *Service) RecordFraudWarning(context.Context, *checkoutv1.RecordFraudWarningRequest) (*checkoutv1.RecordFraudWarningResponse, error) {
	return nil, connect.NewError(connect.CodeUnimplemented, errors.New(""))
}

func (s *Service) RecordReview(context.Context, *checkoutv1.RecordReviewRequest) (*checkoutv1.RecordReviewResponse, error) {
	return nil, connect.NewError(connect.CodeUnimplemented, errors.New(""))
}

func (s *Service) RecordSessionEnd(context.Context, *checkoutv1.RecordSessionEndRequest) (*checkoutv1.RecordSessionEndResponse, error) {
	return nil, connect.NewError(connect.CodeUnimplemented, errors.New(""))
}
