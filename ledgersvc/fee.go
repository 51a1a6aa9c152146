package ledgersvc

import (
	"context"
	"math"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// RecordStripeFee implements LedgerService.
//
//	platform:costs:stripe_fees -> clearing F
//
// A fee on a connected account is the organiser's: organizers:g:connect (then :receivable) -> stripe:connect F. A fee below zero is one
// that Stripe gives back, as of a payment that failed; it goes the other way.
func (s *Service) RecordStripeFee(ctx context.Context, req *ledgerv1.RecordStripeFeeRequest) (*ledgerv1.RecordStripeFeeResponse, error) {
	p, err := feePlan(req)
	if err != nil {
		return nil, err
	}
	if len(p.moves) == 0 {
		return &ledgerv1.RecordStripeFeeResponse{}, nil
	}
	e, err := s.postFor(ctx, p)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.RecordStripeFeeResponse{Entry: entryToProto(e)}, nil
}

func feePlan(req *ledgerv1.RecordStripeFeeRequest) (plan, error) {
	fee, wrongFee := amountThat("fee", req.GetFee(), "is out of range", req.GetFee().GetMinorUnits() > math.MinInt64)
	charged, wrongTime := instant("charge_time", req.GetChargeTime())
	if err := problem.All(wrongFee, wrongTime, organizerNeeded(req.GetStripeAccount(), req.GetOrganizerId())); err != nil {
		return plan{}, err
	}
	near := req.GetPaymentIntentId()
	if near == "" {
		near = req.GetBalanceTransactionId()
	}
	at := placeOf(req.GetStripeAccount(), req.GetOrganizerId(), near)
	m := send(cost(costStripeFees), at.clearing, fee.MinorUnits)
	if at.direct {
		m.from = at.organizer()
	}
	if m.amount < 0 {
		m = send(at.clearing, m.from[0], -m.amount)
	}
	return newPlan(ledgerv1.EntryKind_ENTRY_KIND_STRIPE_FEE, "fee:"+req.GetBalanceTransactionId(), charged,
		fee.FormanceAsset(), journal.Facts{
			OrderID: req.GetOrderId(), OrganizerID: req.GetOrganizerId(), PaymentIntentID: req.GetPaymentIntentId(),
			StripeAccount: req.GetStripeAccount(),
		}, m), nil
}
