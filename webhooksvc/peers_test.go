package webhooksvc

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/gen/dayof/ledger/v1/ledgerv1connect"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// peers stand for checkoutsvc and ledgersvc: they keep what they were asked and answer what the test says.
type peers struct {
	url  string
	stop func()

	mu     sync.Mutex
	calls  []peerCall
	answer func(c peerCall) error // nil: all is well
	// organizers by their accounts; an account that is not there is unknown.
	organizers map[string]string
}

// peerCall is one call that a peer got.
type peerCall struct {
	key     string
	request proto.Message
}

func newPeers(t *testing.T) *peers {
	t.Helper()
	p := &peers{}
	p.start(t, "127.0.0.1:0")
	t.Cleanup(func() { p.stop() })
	return p
}

// start serves the peers; after stop, at the same address again.
func (p *peers) start(t *testing.T, address string) {
	t.Helper()
	opts := rpc.NewHandlerOptions(rpc.HandlerConfig{
		Logger: slog.New(slog.DiscardHandler), Clock: clock.System{}, OperatorTokens: secretsOf(operatorToken),
		Policy: rpc.Policy{
			checkoutv1connect.PaymentServiceRecordPaymentProcedure:       rpc.RoleOperator,
			checkoutv1connect.PaymentServiceRecordChargeProcedure:        rpc.RoleOperator,
			checkoutv1connect.PaymentServiceRecordRefundProcedure:        rpc.RoleOperator,
			checkoutv1connect.PaymentServiceRecordDisputeProcedure:       rpc.RoleOperator,
			ledgerv1connect.LedgerServiceRecordPayoutProcedure:           rpc.RoleOperator,
			ledgerv1connect.LedgerServiceRecordTransferProcedure:         rpc.RoleOperator,
			ledgerv1connect.LedgerServiceRecordTransferReversalProcedure: rpc.RoleOperator,

			checkoutv1connect.PaymentServiceRecordFraudWarningProcedure:    rpc.RoleOperator,
			checkoutv1connect.PaymentServiceRecordReviewProcedure:          rpc.RoleOperator,
			checkoutv1connect.PaymentServiceRecordSessionEndProcedure:      rpc.RoleOperator,
			checkoutv1connect.AccountServiceGetAccountProcedure:            rpc.RoleOperator,
			checkoutv1connect.AccountServiceRecordAccountProcedure:         rpc.RoleOperator,
			checkoutv1connect.OperationsServiceRaiseReviewCaseProcedure:    rpc.RoleOperator,
			ledgerv1connect.LedgerServiceRecordApplicationFeeProcedure:     rpc.RoleOperator,
			ledgerv1connect.LedgerServiceRecordPayoutTransactionsProcedure: rpc.RoleOperator,
		},
	})
	paymentPath, payment := checkoutv1connect.NewPaymentServiceHandler(paymentPeer{peers: p}, opts...)
	ledgerPath, ledger := ledgerv1connect.NewLedgerServiceHandler(ledgerPeer{peers: p}, opts...)
	accountPath, account := checkoutv1connect.NewAccountServiceHandler(accountPeer{peers: p}, opts...)
	deskPath, desk := checkoutv1connect.NewOperationsServiceHandler(deskPeer{peers: p}, opts...)
	p.url, p.stop = startServer(t, address, []rpc.Service{
		{Name: checkoutv1connect.AccountServiceName, Path: accountPath, Handler: account},
		{Name: checkoutv1connect.OperationsServiceName, Path: deskPath, Handler: desk},
		{Name: checkoutv1connect.PaymentServiceName, Path: paymentPath, Handler: payment},
		{Name: ledgerv1connect.LedgerServiceName, Path: ledgerPath, Handler: ledger},
	}, nil)
}

func (p *peers) payments() checkoutv1connect.PaymentServiceClient {
	return p.paymentsWithin(CallTimeout)
}

// paymentsWithin is payments for calls that may take so long.
func (p *peers) paymentsWithin(timeout time.Duration) checkoutv1connect.PaymentServiceClient {
	client, opts := rpc.Dial(rpc.DialConfig{BaseURL: p.url, Token: config.NewSecret(operatorToken), Timeout: timeout})
	return checkoutv1connect.NewPaymentServiceClient(client, p.url, opts...)
}

func (p *peers) accounts() checkoutv1connect.AccountServiceClient {
	client, opts := rpc.Dial(rpc.DialConfig{BaseURL: p.url, Token: config.NewSecret(operatorToken), Timeout: CallTimeout})
	return checkoutv1connect.NewAccountServiceClient(client, p.url, opts...)
}

func (p *peers) desk() checkoutv1connect.OperationsServiceClient {
	client, opts := rpc.Dial(rpc.DialConfig{BaseURL: p.url, Token: config.NewSecret(operatorToken), Timeout: CallTimeout})
	return checkoutv1connect.NewOperationsServiceClient(client, p.url, opts...)
}

func (p *peers) ledger() ledgerv1connect.LedgerServiceClient {
	client, opts := rpc.Dial(rpc.DialConfig{BaseURL: p.url, Token: config.NewSecret(operatorToken), Timeout: CallTimeout})
	return ledgerv1connect.NewLedgerServiceClient(client, p.url, opts...)
}

// answerWith sets what the peers answer.
func (p *peers) answerWith(answer func(c peerCall) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

// link says whose account it is.
func (p *peers) link(account, organizer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.organizers == nil {
		p.organizers = map[string]string{}
	}
	p.organizers[account] = organizer
}

func (p *peers) organizerOf(account string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	organizer, known := p.organizers[account]
	return organizer, known
}

// got returns the calls so far.
func (p *peers) got() []peerCall {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]peerCall(nil), p.calls...)
}

func (p *peers) take(ctx context.Context, request proto.Message) error {
	c := peerCall{key: rpc.IdempotencyKey(ctx), request: request}
	p.mu.Lock()
	p.calls = append(p.calls, c)
	answer := p.answer
	p.mu.Unlock()
	if answer == nil {
		return nil
	}
	return answer(c)
}

type paymentPeer struct {
	checkoutv1connect.UnimplementedPaymentServiceHandler
	*peers
}

func (p paymentPeer) RecordPayment(ctx context.Context, r *checkoutv1.RecordPaymentRequest) (*checkoutv1.RecordPaymentResponse, error) {
	return &checkoutv1.RecordPaymentResponse{}, p.take(ctx, r)
}

func (p paymentPeer) RecordCharge(ctx context.Context, r *checkoutv1.RecordChargeRequest) (*checkoutv1.RecordChargeResponse, error) {
	return &checkoutv1.RecordChargeResponse{}, p.take(ctx, r)
}

func (p paymentPeer) RecordRefund(ctx context.Context, r *checkoutv1.RecordRefundRequest) (*checkoutv1.RecordRefundResponse, error) {
	return &checkoutv1.RecordRefundResponse{}, p.take(ctx, r)
}

func (p paymentPeer) RecordDispute(ctx context.Context, r *checkoutv1.RecordDisputeRequest) (*checkoutv1.RecordDisputeResponse, error) {
	return &checkoutv1.RecordDisputeResponse{}, p.take(ctx, r)
}

func (p paymentPeer) RecordFraudWarning(ctx context.Context, r *checkoutv1.RecordFraudWarningRequest) (*checkoutv1.RecordFraudWarningResponse, error) {
	return &checkoutv1.RecordFraudWarningResponse{}, p.take(ctx, r)
}

func (p paymentPeer) RecordReview(ctx context.Context, r *checkoutv1.RecordReviewRequest) (*checkoutv1.RecordReviewResponse, error) {
	return &checkoutv1.RecordReviewResponse{}, p.take(ctx, r)
}

func (p paymentPeer) RecordSessionEnd(ctx context.Context, r *checkoutv1.RecordSessionEndRequest) (*checkoutv1.RecordSessionEndResponse, error) {
	return &checkoutv1.RecordSessionEndResponse{}, p.take(ctx, r)
}

// accountPeer knows the accounts that the test says; what is asked of it is kept only where something is reported to it.
type accountPeer struct {
	checkoutv1connect.UnimplementedAccountServiceHandler

	peers *peers
}

func (p accountPeer) GetAccount(_ context.Context, r *checkoutv1.GetAccountRequest) (*checkoutv1.GetAccountResponse, error) {
	organizer, known := p.peers.organizerOf(r.GetStripeAccount())
	if !known {
		return nil, problem.New(connect.CodeNotFound, "ACCOUNT_NOT_FOUND", "there is no such connected account")
	}
	return &checkoutv1.GetAccountResponse{Account: &checkoutv1.Account{StripeAccount: r.GetStripeAccount(), OrganizerId: organizer}}, nil
}

func (p accountPeer) RecordAccount(ctx context.Context, r *checkoutv1.RecordAccountRequest) (*checkoutv1.RecordAccountResponse, error) {
	organizer, _ := p.peers.organizerOf(r.GetStripeAccount())
	return &checkoutv1.RecordAccountResponse{Account: &checkoutv1.Account{StripeAccount: r.GetStripeAccount(), OrganizerId: organizer}}, p.peers.take(ctx, r)
}

type deskPeer struct {
	checkoutv1connect.UnimplementedOperationsServiceHandler

	peers *peers
}

func (p deskPeer) RaiseReviewCase(ctx context.Context, r *checkoutv1.RaiseReviewCaseRequest) (*checkoutv1.RaiseReviewCaseResponse, error) {
	return &checkoutv1.RaiseReviewCaseResponse{}, p.peers.take(ctx, r)
}

func (p ledgerPeer) RecordApplicationFee(ctx context.Context, r *ledgerv1.RecordApplicationFeeRequest) (*ledgerv1.RecordApplicationFeeResponse, error) {
	return &ledgerv1.RecordApplicationFeeResponse{}, p.peers.take(ctx, r)
}

func (p ledgerPeer) RecordPayoutTransactions(ctx context.Context, r *ledgerv1.RecordPayoutTransactionsRequest) (*ledgerv1.RecordPayoutTransactionsResponse, error) {
	return &ledgerv1.RecordPayoutTransactionsResponse{
		DifferenceMinorUnits: r.GetNetMinorUnits() - r.GetAmount().GetMinorUnits(),
	}, p.peers.take(ctx, r)
}

type ledgerPeer struct {
	ledgerv1connect.UnimplementedLedgerServiceHandler

	peers *peers
}

func (p ledgerPeer) RecordPayout(ctx context.Context, r *ledgerv1.RecordPayoutRequest) (*ledgerv1.RecordPayoutResponse, error) {
	return &ledgerv1.RecordPayoutResponse{}, p.peers.take(ctx, r)
}

func (p ledgerPeer) RecordTransfer(ctx context.Context, r *ledgerv1.RecordTransferRequest) (*ledgerv1.RecordTransferResponse, error) {
	return &ledgerv1.RecordTransferResponse{}, p.peers.take(ctx, r)
}

func (p ledgerPeer) RecordTransferReversal(ctx context.Context, r *ledgerv1.RecordTransferReversalRequest) (*ledgerv1.RecordTransferReversalResponse, error) {
	return &ledgerv1.RecordTransferReversalResponse{}, p.peers.take(ctx, r)
}
