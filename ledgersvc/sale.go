package ledgersvc

import (
	"context"
	"fmt"
	"slices"
	"strings"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// RecordSale implements LedgerService: the gross goes from the clearing account through the order to those who own it.
//
//	clearing -> orders:o:payment G;  -> organizers:g:payable G-A-V;  -> platform:revenue A;  -> taxes:c:k V
//
// For a direct charge the money lies in the connected account and the organiser is the seller: his taxes stay with him
// (they are noted in the metadata), and the fee moves on to the platform's balance.
//
//	stripe:connect -> orders:o:payment G;  -> organizers:g:connect G-A;  -> platform:revenue A;  platform clearing -> stripe:connect A
//
// Stripe's fee goes with it where it is given: as RecordStripeFee posts it. A free sale is no transaction: see free_sale.go.
func (s *Service) RecordSale(ctx context.Context, req *ledgerv1.RecordSaleRequest) (*ledgerv1.RecordSaleResponse, error) {
	if free := req.GetFreeSale(); free != nil {
		return s.recordFreeSale(ctx, free)
	}
	p, err := salePlan(req)
	fee, wrongFee := feeBeside(req)
	if err := problem.All(err, wrongFee); err != nil {
		return nil, err
	}
	entries, err := s.postTogether(ctx, p, fee...)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.RecordSaleResponse{Entry: entryToProto(entries[0]), StripeFeePosted: req.StripeFee != nil && len(entries) == 1+len(fee)}, nil
}

// feeBeside is the plan of the fee that goes with a sale; none where none is given, or where it is zero.
func feeBeside(req *ledgerv1.RecordSaleRequest) ([]plan, error) {
	f := req.GetStripeFee()
	if f == nil {
		return nil, nil
	}
	if f.GetPaymentIntentId() != req.GetCapture().GetPaymentIntentId() || f.GetStripeAccount() != req.GetCapture().GetStripeAccount() {
		return nil, problem.InvalidField("stripe_fee.payment_intent_id", "must be of the money of the sale, on the same account")
	}
	p, err := feePlan(f)
	if err != nil || len(p.moves) == 0 {
		return nil, problem.Under("stripe_fee", err)
	}
	return []plan{p}, nil
}

// RecordReceipt implements LedgerService: the gross waits in orders:o:payment for its refund.
func (s *Service) RecordReceipt(ctx context.Context, req *ledgerv1.RecordReceiptRequest) (*ledgerv1.RecordReceiptResponse, error) {
	p, err := receiptPlan(req)
	if err != nil {
		return nil, err
	}
	e, err := s.postFor(ctx, p)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.RecordReceiptResponse{Entry: entryToProto(e)}, nil
}

func captureFacts(c *ledgerv1.Capture) journal.Facts {
	return journal.Facts{
		OrderID: c.GetOrderId(), OrganizerID: c.GetOrganizerId(), PaymentIntentID: c.GetPaymentIntentId(),
		StripeAccount: c.GetStripeAccount(),
	}
}

func salePlan(req *ledgerv1.RecordSaleRequest) (plan, error) {
	c := req.GetCapture()
	fee := req.GetApplicationFeeMinorUnits()
	gross, wrongGross := positive("capture.gross", c.GetGross())
	captured, wrongTime := instant("capture.capture_time", c.GetCaptureTime())
	taxed, wrongParts := taxSum(gross, fee, req.GetTaxes())
	if err := problem.All(wrongGross, wrongTime, wrongParts); err != nil {
		return plan{}, err
	}
	at, payment := placeOf(c.GetStripeAccount(), c.GetOrganizerId(), c.GetPaymentIntentId()), orderPayment(c.GetOrderId())
	moves := []move{send(at.clearing, payment, gross.MinorUnits)}
	var notes map[string]string
	if at.direct {
		moves = append(moves,
			send(payment, at.owner, gross.MinorUnits-fee),
			send(payment, revenue(c.GetPaymentIntentId()), fee),
			send(platformClearing(c.GetPaymentIntentId()), at.clearing, fee))
		notes = taxNotes(req.GetTaxes())
	} else {
		moves = append(moves,
			send(payment, at.owner, gross.MinorUnits-fee-taxed),
			send(payment, revenue(c.GetPaymentIntentId()), fee))
		for _, t := range req.GetTaxes() {
			moves = append(moves, send(payment, taxes(t.GetCountry(), t.GetKind()), t.GetMinorUnits()))
		}
	}
	p := newPlan(ledgerv1.EntryKind_ENTRY_KIND_SALE, journal.CaptureReference(c.GetPaymentIntentId()), captured,
		gross.FormanceAsset(), captureFacts(c), moves...)
	p.notes = notes
	return p, nil
}

func receiptPlan(req *ledgerv1.RecordReceiptRequest) (plan, error) {
	c := req.GetCapture()
	gross, wrongGross := positive("capture.gross", c.GetGross())
	captured, wrongTime := instant("capture.capture_time", c.GetCaptureTime())
	if err := problem.All(wrongGross, wrongTime); err != nil {
		return plan{}, err
	}
	at := placeOf(c.GetStripeAccount(), c.GetOrganizerId(), c.GetPaymentIntentId())
	return newPlan(ledgerv1.EntryKind_ENTRY_KIND_RECEIPT, journal.CaptureReference(c.GetPaymentIntentId()), captured,
		gross.FormanceAsset(), captureFacts(c), send(at.clearing, orderPayment(c.GetOrderId()), gross.MinorUnits)), nil
}

// taxNotes notes taxes that are not booked.
func taxNotes(shares []*ledgerv1.TaxShare) map[string]string {
	if len(shares) == 0 {
		return nil
	}
	notes := make([]string, 0, len(shares))
	for _, t := range shares {
		notes = append(notes, fmt.Sprintf("%s/%s=%d", t.GetCountry(), t.GetKind(), t.GetMinorUnits()))
	}
	slices.Sort(notes)
	return map[string]string{journal.MetaTaxes: strings.Join(notes, " ")}
}
