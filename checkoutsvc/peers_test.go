package checkoutsvc_test

import (
	"context"
	"fmt"
	"sync"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/gen/dayof/ledger/v1/ledgerv1connect"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// passKeeper is a passsvc that remembers one serial per ticket.
type passKeeper struct {
	passv1connect.UnimplementedPassServiceHandler
	mu            sync.Mutex
	serials       map[string]string
	voided        map[string]bool
	suspended     map[string]bool
	used          map[string]bool
	changes       map[string]int64                // latest number of SetPassSuspended by serial
	events        map[string]*passv1.PassEvent    // what passes show, by serial
	seats         map[string]*passv1.PassSeat     // what passes show, by serial
	issues        map[string]int64                // latest number of IssuePasses by serial
	holders       map[string]*passv1.PassContent  // what passes show of their holders, by ticket
	batches       map[string]*passv1.PassBatch    // by key
	stopped       map[string]bool                 // batches
	before        func(ctx context.Context) error // runs first, may fail or wait
	beforeSuspend func()                          // may wait
}

func newPassKeeper() *passKeeper {
	return &passKeeper{serials: map[string]string{}, voided: map[string]bool{}, suspended: map[string]bool{}, used: map[string]bool{}, changes: map[string]int64{}, events: map[string]*passv1.PassEvent{}, seats: map[string]*passv1.PassSeat{}, issues: map[string]int64{}, holders: map[string]*passv1.PassContent{}, batches: map[string]*passv1.PassBatch{}, stopped: map[string]bool{}}
}

func (k *passKeeper) IssuePasses(ctx context.Context, req *passv1.IssuePassesRequest) (*passv1.IssuePassesResponse, error) {
	k.mu.Lock()
	before := k.before
	k.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return nil, err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	res := &passv1.IssuePassesResponse{}
	for _, p := range req.GetPasses() {
		if k.serials[p.GetTicketId()] == "" {
			k.serials[p.GetTicketId()] = fmt.Sprintf("serial%015d", len(k.serials))
		}
		if serial := k.serials[p.GetTicketId()]; p.GetTicketChangeNumber() > k.issues[serial] {
			k.issues[serial] = p.GetTicketChangeNumber()
			k.changes[serial] = max(k.changes[serial], p.GetTicketChangeNumber())
			k.show(serial, p.GetEvent())
			k.seats[serial] = p.GetSeat()
		}
		if held := k.holders[p.GetTicketId()]; held == nil || p.GetHolderNumber() > held.GetHolderNumber() {
			k.holders[p.GetTicketId()] = p
		}
		if p.GetVoided() {
			k.voided[k.serials[p.GetTicketId()]] = true
		}
		res.Passes = append(res.Passes, &passv1.Pass{Serial: k.serials[p.GetTicketId()], TicketId: p.GetTicketId()})
	}
	return res, nil
}

// seatOf is the seat that a pass shows.
func (k *passKeeper) seatOf(serial string) *passv1.PassSeat {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seats[serial]
}

// show has a pass show an event, unless it shows a newer schedule.
func (k *passKeeper) show(serial string, event *passv1.PassEvent) {
	if k.events[serial].GetScheduleNumber() <= event.GetScheduleNumber() {
		k.events[serial] = event
	}
}

// shown is the event that the pass of a ticket shows.
func (k *passKeeper) shown(ticketID string) *passv1.PassEvent {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.events[k.serials[ticketID]]
}

// BatchUpdatePasses changes all passes at once, so that the batch is done when it is asked for the first time.
func (k *passKeeper) BatchUpdatePasses(ctx context.Context, req *passv1.BatchUpdatePassesRequest) (*passv1.BatchUpdatePassesResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := rpc.IdempotencyKey(ctx)
	if k.batches[key] == nil {
		b := &passv1.PassBatch{Id: fmt.Sprintf("batch%016d", len(k.batches)), EventId: req.GetEventId(), State: passv1.PassBatchState_PASS_BATCH_STATE_RUNNING}
		for serial, event := range k.events {
			if event.GetId() == req.GetEventId() {
				b.TotalPassCount++
				b.VisitedPassCount++
				if !event.GetStartTime().AsTime().Equal(req.GetEvent().GetStartTime().AsTime()) {
					b.ChangedPassCount++
				}
				k.show(serial, req.GetEvent())
			}
		}
		k.batches[key] = b
	}
	return &passv1.BatchUpdatePassesResponse{Batch: k.batches[key]}, nil
}

func (k *passKeeper) GetPassBatch(_ context.Context, req *passv1.GetPassBatchRequest) (*passv1.GetPassBatchResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range k.batches {
		if b.GetId() == req.GetPassBatchId() {
			done, _ := proto.Clone(b).(*passv1.PassBatch)
			done.State = passv1.PassBatchState_PASS_BATCH_STATE_DONE
			return &passv1.GetPassBatchResponse{Batch: done}, nil
		}
	}
	return nil, problem.New(connect.CodeNotFound, "PASS_BATCH_NOT_FOUND", "there is no batch with this id")
}

func (k *passKeeper) CancelPassBatch(_ context.Context, req *passv1.CancelPassBatchRequest) (*passv1.CancelPassBatchResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped[req.GetPassBatchId()] = true
	return &passv1.CancelPassBatchResponse{}, nil
}

func (k *passKeeper) VoidPass(_ context.Context, req *passv1.VoidPassRequest) (*passv1.VoidPassResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.voided[req.GetPassSerial()] = true
	return &passv1.VoidPassResponse{}, nil
}

func (k *passKeeper) SetPassSuspended(_ context.Context, req *passv1.SetPassSuspendedRequest) (*passv1.SetPassSuspendedResponse, error) {
	k.mu.Lock()
	before := k.beforeSuspend
	k.mu.Unlock()
	if before != nil {
		before()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if req.GetTicketChangeNumber() > k.changes[req.GetPassSerial()] {
		k.changes[req.GetPassSerial()], k.suspended[req.GetPassSerial()] = req.GetTicketChangeNumber(), req.GetSuspended()
		k.used[req.GetPassSerial()] = req.GetUsed()
	}
	return &passv1.SetPassSuspendedResponse{}, nil
}

// ListPasses returns no pass: what these tests are about is not where a pass is.
func (k *passKeeper) ListPasses(context.Context, *passv1.ListPassesRequest) (*passv1.ListPassesResponse, error) {
	return &passv1.ListPassesResponse{}, nil
}

// GetPass returns a link to a pass.
func (k *passKeeper) GetPass(_ context.Context, req *passv1.GetPassRequest) (*passv1.GetPassResponse, error) {
	return &passv1.GetPassResponse{Pass: &passv1.Pass{Serial: req.GetPassSerial(), DownloadUrl: "https://pass.test/p/" + req.GetPassSerial()}}, nil
}

// holder is what the pass of a ticket shows of its holder; nil before it is issued.
func (k *passKeeper) holder(ticketID string) *passv1.PassContent {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.holders[ticketID]
}

// isVoid reports whether the pass of a ticket is void.
func (k *passKeeper) isVoid(ticketID string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.voided[k.serials[ticketID]]
}

// setBefore has something run before passes are issued.
func (k *passKeeper) setBefore(before func(ctx context.Context) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.before = before
}

// isUsed reports whether the pass of a ticket shows that it was used.
func (k *passKeeper) isUsed(ticketID string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.used[k.serials[ticketID]]
}

// isSuspended reports whether the pass of a ticket shows that it is suspended.
func (k *passKeeper) isSuspended(ticketID string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.suspended[k.serials[ticketID]]
}

// bookKeeper is a ledgersvc that keeps one entry per reference; capture:<intent> is a sale or a receipt, whichever was
// first.
type bookKeeper struct {
	ledgerv1connect.UnimplementedLedgerServiceHandler
	mu      sync.Mutex
	entries map[string]ledgerv1.EntryKind
	calls   map[string]int
	sales   map[string]*ledgerv1.RecordSaleRequest            // by payment intent
	funds   map[string]*ledgerv1.RecordDisputeFundsRequest    // by balance transaction
	refunds map[string]*ledgerv1.RecordRefundRequest          // by refund at Stripe
	before  func(ctx context.Context, reference string) error // runs first, may fail or wait
	after   func(reference string) error                      // runs when the entry is there: a lost reply
}

func newBookKeeper() *bookKeeper {
	return &bookKeeper{
		entries: map[string]ledgerv1.EntryKind{}, sales: map[string]*ledgerv1.RecordSaleRequest{}, calls: map[string]int{}, funds: map[string]*ledgerv1.RecordDisputeFundsRequest{},
		refunds: map[string]*ledgerv1.RecordRefundRequest{},
	}
}

func (k *bookKeeper) post(ctx context.Context, reference string, kind ledgerv1.EntryKind) (*ledgerv1.Entry, error) {
	k.mu.Lock()
	before, after := k.before, k.after
	k.calls[reference]++
	k.mu.Unlock()
	if before != nil {
		if err := before(ctx, reference); err != nil {
			return nil, err
		}
	}
	k.mu.Lock()
	if _, ok := k.entries[reference]; !ok {
		k.entries[reference] = kind
	}
	entry := &ledgerv1.Entry{Reference: reference, Kind: k.entries[reference]}
	k.mu.Unlock()
	if after != nil {
		return entry, after(reference)
	}
	return entry, nil
}

// has returns the kind of an entry.
func (k *bookKeeper) has(reference string) ledgerv1.EntryKind {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.entries[reference]
}

func (k *bookKeeper) fail(before func(ctx context.Context, reference string) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.before = before
}

func (k *bookKeeper) RecordSale(ctx context.Context, req *ledgerv1.RecordSaleRequest) (*ledgerv1.RecordSaleResponse, error) {
	if free := req.GetFreeSale(); free != nil {
		e, err := k.post(ctx, "free:"+free.GetOrderId(), ledgerv1.EntryKind_ENTRY_KIND_SALE)
		return &ledgerv1.RecordSaleResponse{Entry: e}, err
	}
	k.mu.Lock()
	k.sales[req.GetCapture().GetPaymentIntentId()] = req
	k.mu.Unlock()
	e, err := k.post(ctx, "capture:"+req.GetCapture().GetPaymentIntentId(), ledgerv1.EntryKind_ENTRY_KIND_SALE)
	if err == nil && req.StripeFee != nil {
		_, err = k.RecordStripeFee(ctx, req.GetStripeFee())
	}
	return &ledgerv1.RecordSaleResponse{Entry: e, StripeFeePosted: req.StripeFee != nil}, err
}

// saleOf is what was asked for the sale of an intent.
func (k *bookKeeper) saleOf(intent string) *ledgerv1.RecordSaleRequest {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sales[intent]
}

func (k *bookKeeper) RecordReceipt(ctx context.Context, req *ledgerv1.RecordReceiptRequest) (*ledgerv1.RecordReceiptResponse, error) {
	e, err := k.post(ctx, "capture:"+req.GetCapture().GetPaymentIntentId(), ledgerv1.EntryKind_ENTRY_KIND_RECEIPT)
	return &ledgerv1.RecordReceiptResponse{Entry: e}, err
}

func (k *bookKeeper) RecordStripeFee(ctx context.Context, req *ledgerv1.RecordStripeFeeRequest) (*ledgerv1.RecordStripeFeeResponse, error) {
	e, err := k.post(ctx, "fee:"+req.GetBalanceTransactionId(), ledgerv1.EntryKind_ENTRY_KIND_STRIPE_FEE)
	return &ledgerv1.RecordStripeFeeResponse{Entry: e}, err
}

func (k *bookKeeper) RecordRefund(ctx context.Context, req *ledgerv1.RecordRefundRequest) (*ledgerv1.RecordRefundResponse, error) {
	k.mu.Lock()
	k.refunds[req.GetStripeRefundId()] = req
	k.mu.Unlock()
	e, err := k.post(ctx, "refund:"+req.GetStripeRefundId(), ledgerv1.EntryKind_ENTRY_KIND_REFUND)
	return &ledgerv1.RecordRefundResponse{Entry: e}, err
}

func (k *bookKeeper) RecordRefundFailure(
	ctx context.Context, req *ledgerv1.RecordRefundFailureRequest,
) (*ledgerv1.RecordRefundFailureResponse, error) {
	e, err := k.post(ctx, "refund-fail:"+req.GetStripeRefundId(), ledgerv1.EntryKind_ENTRY_KIND_REFUND_FAILURE)
	return &ledgerv1.RecordRefundFailureResponse{Entry: e}, err
}

func (k *bookKeeper) RecordDisputeFunds(
	ctx context.Context, req *ledgerv1.RecordDisputeFundsRequest,
) (*ledgerv1.RecordDisputeFundsResponse, error) {
	k.mu.Lock()
	k.funds[req.GetBalanceTransactionId()] = req
	k.mu.Unlock()
	e, err := k.post(ctx, "dispute-w:"+req.GetBalanceTransactionId(), ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_WITHDRAWAL)
	return &ledgerv1.RecordDisputeFundsResponse{Entry: e}, err
}

func (k *bookKeeper) RecordDisputeLoss(
	ctx context.Context, req *ledgerv1.RecordDisputeLossRequest,
) (*ledgerv1.RecordDisputeLossResponse, error) {
	e, err := k.post(ctx, "dispute-lost:"+req.GetDisputeId(), ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_LOSS)
	return &ledgerv1.RecordDisputeLossResponse{Entry: e}, err
}

func (k *bookKeeper) RecordConversion(
	ctx context.Context, req *ledgerv1.RecordConversionRequest,
) (*ledgerv1.RecordConversionResponse, error) {
	e, err := k.post(ctx, "fx:"+req.GetBalanceTransactionId(), ledgerv1.EntryKind_ENTRY_KIND_CONVERSION)
	return &ledgerv1.RecordConversionResponse{Entry: e}, err
}
