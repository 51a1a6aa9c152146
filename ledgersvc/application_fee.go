package ledgersvc

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

func (s *Service) RecordApplicationFee(context.Context, *ledgerv1.RecordApplicationFeeRequest) (*ledgerv1.RecordApplicationFeeResponse, error) {
	return nil, connect.NewError(connect.CodeUnimplemented, errors.New(""))
}

func (s *Service) RecordRecovery(context.Context, *ledgerv1.RecordRecoveryRequest) (*ledgerv1.RecordRecoveryResponse, error) {
	return nil, connect.NewError(connect.CodeUnimplemented, errors.New(""))
}

func (s *Service) RecordConversion(context.Context, *ledgerv1.RecordConversionRequest) (*ledgerv1.RecordConversionResponse, error) {
	return nil, connect.NewError(connect.CodeUnimplemented, errors.New(""))
}

func (s *Service) RecordPayoutTransactions(context.Context, *ledgerv1.RecordPayoutTransactionsRequest) (*ledgerv1.RecordPayoutTransactionsResponse, error) {
	return nil, connect.NewError(connect.CodeUnimplemented, errors.New(""))
}
