package ledgersvc

import (
	"context"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// RecordConversion implements LedgerService: money leaves the balance in one currency and comes in another, and
// fx:stripe:<txn> holds both legs. No posting mixes currencies.
//
//	fx:stripe:txn -> clearing X (what left);  clearing -> fx:stripe:txn Y (what came)
func (s *Service) RecordConversion(ctx context.Context, req *ledgerv1.RecordConversionRequest) (*ledgerv1.RecordConversionResponse, error) {
	p, err := conversionPlan(req)
	if err != nil {
		return nil, err
	}
	e, err := s.postFor(ctx, p)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.RecordConversionResponse{Entry: entryToProto(e)}, nil
}

func conversionPlan(req *ledgerv1.RecordConversionRequest) (plan, error) {
	from, wrongFrom := positive("from", req.GetFrom())
	to, wrongTo := positive("to", req.GetTo())
	if wrongTo == nil && from.Currency == to.Currency {
		wrongTo = problem.InvalidField("to.currency", "must be another currency than what left")
	}
	converted, wrongTime := instant("conversion_time", req.GetConversionTime())
	if err := problem.All(wrongFrom, wrongTo, wrongTime, organizerNeeded(req.GetStripeAccount(), req.GetOrganizerId())); err != nil {
		return plan{}, err
	}
	near := req.GetPaymentIntentId()
	if near == "" {
		near = req.GetBalanceTransactionId()
	}
	clearing, exchange := placeOf(req.GetStripeAccount(), req.GetOrganizerId(), near).clearing, exchangeOf(req.GetBalanceTransactionId())
	came := send(clearing, exchange, to.MinorUnits)
	came.asset = to.FormanceAsset()
	return newPlan(ledgerv1.EntryKind_ENTRY_KIND_CONVERSION, "fx:"+req.GetBalanceTransactionId(), converted, from.FormanceAsset(), journal.Facts{
		OrderID: req.GetOrderId(), OrganizerID: req.GetOrganizerId(), PaymentIntentID: req.GetPaymentIntentId(), StripeAccount: req.GetStripeAccount(),
	}, send(exchange, clearing, from.MinorUnits), came), nil
}

// exchangeOf holds the two legs of a conversion; one of them is negative by nature.
func exchangeOf(balanceTransactionID string) account {
	return account{role: "exchange", address: "fx:stripe:" + balanceTransactionID, debit: true}
}
