package webhooksvc

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/gen/dayof/ledger/v1/ledgerv1connect"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// peers stand for checkoutsvc and ledgersvc: they keep what they were asked and answer what the test says.
type peers struct {
	url  string
	stop func()

	mu     sync.Mutex
	calls  []peerCall
	answer func(c peerCall) error // nil: all is well
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
		},
	})
	paymentPath, payment := checkoutv1connect.NewPaymentServiceHandler(paymentPeer{peers: p}, opts...)
	ledgerPath, ledger := ledgerv1connect.NewLedgerServiceHandler(ledgerPeer{peers: p}, opts...)
	p.url, p.stop = startServer(t, address, []rpc.Service{
		{Name: checkoutv1connect.PaymentServiceName, Path: paymentPath, Handler: payment},
		{Name: ledgerv1connect.LedgerServiceName, Path: ledgerPath, Handler: ledger},
	}, nil)
}

func (p *peers) payments() checkoutv1connect.PaymentServiceClient {
	client, opts := rpc.Dial(rpc.DialConfig{BaseURL: p.url, Token: config.NewSecret(operatorToken), Timeout: CallTimeout})
	return checkoutv1connect.NewPaymentServiceClient(client, p.url, opts...)
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
