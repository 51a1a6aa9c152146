package ledgersvc

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// RecordRefund implements LedgerService. Money of a sale leaves out of its shares, money of a bare receipt out of
// where it waits.
//
//	sale:    organizers:g:payable (then :receivable) -> orders:o:refunds:re R-A-V;  revenue -> A;  taxes -> V;  -> clearing R
//	direct:  organizers:g:connect (then :receivable) -> orders:o:refunds:re R-A;  revenue -> A;  -> stripe:connect R;
//	         stripe:connect -> platform clearing A (Stripe gives the fee back to the account)
//	receipt: orders:o:payment -> orders:o:refunds:re R;  -> clearing R
//
// Taxes that were remitted come from taxes:c:k:receivable, revenue that was withdrawn from platform:costs:application_fees:
// the money has left at Stripe already, so what is missing at the ledger is no reason to refuse.
func (s *Service) RecordRefund(ctx context.Context, req *ledgerv1.RecordRefundRequest) (*ledgerv1.RecordRefundResponse, error) {
	amount, wrongAmount := positive("amount", req.GetAmount())
	refunded, wrongTime := instant("refund_time", req.GetRefundTime())
	taxed, wrongParts := taxSum(amount, req.GetApplicationFeeMinorUnits(), req.GetTaxes())
	if err := problem.All(wrongAmount, wrongTime, wrongParts); err != nil {
		return nil, err
	}
	capture, err := s.capture(ctx, req.GetPaymentIntentId())
	if err != nil {
		return nil, err
	}
	if amount.FormanceAsset() != capture.Postings[0].Asset {
		return nil, problem.InvalidField("amount.currency", "must be the currency of the capture")
	}
	// A direct sale does not hold what RecordApplicationFee booked beyond it.
	if capture.Kind == ledgerv1.EntryKind_ENTRY_KIND_SALE && capture.Facts.StripeAccount == "" && req.GetApplicationFeeMinorUnits() > revenueOf(capture) {
		return nil, problem.New(connect.CodeFailedPrecondition, problem.ReasonOf(ledgerv1.Reason_REASON_INSUFFICIENT_FUNDS),
			"the sale brought a lower fee than this refund gives back")
	}
	p := newPlan(ledgerv1.EntryKind_ENTRY_KIND_REFUND, journal.RefundReference(req.GetStripeRefundId()), refunded,
		amount.FormanceAsset(), capture.Facts, refundMoves(capture, req, taxed)...)
	if capture.Facts.StripeAccount != "" {
		p.notes = taxNotes(req.GetTaxes())
	}
	e, err := s.postFor(ctx, p)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.RecordRefundResponse{Entry: entryToProto(e)}, nil
}

// refundMoves are the moves of a refund out of capture; taxed is the sum of the taxes given back.
func refundMoves(capture journal.Entry, req *ledgerv1.RecordRefundRequest, taxed int64) []move {
	var (
		f      = capture.Facts
		whole  = req.GetAmount().GetMinorUnits()
		fee    = req.GetApplicationFeeMinorUnits()
		at     = placeOf(f.StripeAccount, f.OrganizerID, f.PaymentIntentID)
		refund = orderRefund(f.OrderID, req.GetStripeRefundId())
	)
	if capture.Kind == ledgerv1.EntryKind_ENTRY_KIND_RECEIPT {
		return []move{send(orderPayment(f.OrderID), refund, whole), send(refund, at.clearing, whole)}
	}
	if at.direct {
		return []move{
			{from: at.organizer(), to: refund, amount: whole - fee},
			giveBack(revenue(f.PaymentIntentID), cost(costFeesReturned), refund, fee),
			send(refund, at.clearing, whole),
			send(at.clearing, platformClearing(f.PaymentIntentID), fee),
		}
	}
	moves := []move{
		{from: at.organizer(), to: refund, amount: whole - fee - taxed},
		giveBack(revenue(f.PaymentIntentID), cost(costFeesReturned), refund, fee),
	}
	for _, t := range req.GetTaxes() {
		moves = append(moves, giveBack(taxes(t.GetCountry(), t.GetKind()), taxReceivable(t.GetCountry(), t.GetKind()), refund, t.GetMinorUnits()))
	}
	return append(moves, send(refund, at.clearing, whole))
}

// RecordRefundFailure implements LedgerService: the postings of the refund in reverse, as a transaction of its own.
//
// It is not the ledger's revert, because a revert has no reference: nothing would keep it from being done twice
// under another key, a lost reply could be read back only by its metadata, and its force lifts the check on every
// account, while here only the clearing account may be overdrawn. What is lost is the ledger's mark on the refund; the metadata
// says what is reversed.
func (s *Service) RecordRefundFailure(ctx context.Context, req *ledgerv1.RecordRefundFailureRequest) (*ledgerv1.RecordRefundFailureResponse, error) {
	refund, found, err := s.posted(ctx, journal.RefundReference(req.GetStripeRefundId()))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, notPosted(ledgerv1.Reason_REASON_REFUND_NOT_POSTED, "the refund is not in the ledger yet; try again later")
	}
	p := reversal(refund, ledgerv1.EntryKind_ENTRY_KIND_REFUND_FAILURE, "refund-fail:"+req.GetStripeRefundId())
	e, err := s.postFor(ctx, p)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.RecordRefundFailureResponse{Entry: entryToProto(e)}, nil
}

// reversal is the plan that undoes e: its postings as they were made, in reverse, at the time of e, since the request
// brings no other that is frozen.
func reversal(e journal.Entry, kind ledgerv1.EntryKind, reference string) plan {
	moves := make([]move, 0, len(e.Postings))
	for _, p := range slices.Backward(e.Postings) {
		moves = append(moves, send(accountAt(p.Destination), accountAt(p.Source), p.Amount))
	}
	p := newPlan(kind, reference, e.EffectiveTime, e.Postings[0].Asset, e.Facts, moves...)
	p.notes = map[string]string{journal.MetaReverses: e.Reference}
	return p
}

// capture returns the sale or receipt of a payment intent, which later entries of the same money build on.
func (s *Service) capture(ctx context.Context, paymentIntentID string) (journal.Entry, error) {
	e, found, err := s.posted(ctx, journal.CaptureReference(paymentIntentID))
	if err != nil {
		return journal.Entry{}, err
	}
	if !found || !isCapture(e.Kind) || len(e.Postings) == 0 {
		return journal.Entry{}, notPosted(ledgerv1.Reason_REASON_CAPTURE_NOT_POSTED, "the capture is not in the ledger yet; try again later")
	}
	return e, nil
}
