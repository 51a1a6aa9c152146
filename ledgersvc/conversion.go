package ledgersvc

import (
	"context"
	"math/big"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// The references of a conversion and of what its rate differs by from the charge's.
const (
	conversionPrefix = "fx:"
	differencePrefix = "fx-diff:"
)

// RecordConversion implements LedgerService: money leaves the balance in one currency and comes in another, and
// fx:stripe:<txn> holds both legs. No posting mixes currencies.
//
//	fx:stripe:txn -> clearing X (what left);  clearing -> fx:stripe:txn Y (what came)
//
// A conversion that undoes one of a charge, or does it again, is posted as Stripe settled it, like any other. A second entry returns its
// legs to those of the charge at the charge's rate; see differencePlan. What happened is so booked at once, whatever is known of
// the charge.
func (s *Service) RecordConversion(ctx context.Context, req *ledgerv1.RecordConversionRequest) (*ledgerv1.RecordConversionResponse, error) {
	p, err := conversionPlan(req)
	if err != nil {
		return nil, err
	}
	c, err := newCall(ctx, p.fingerprint())
	if err != nil {
		return nil, err
	}
	e, err := s.post(ctx, c, p)
	if err != nil {
		return nil, err
	}
	res := &ledgerv1.RecordConversionResponse{Entry: entryToProto(e)}
	if req.GetChargeBalanceTransactionId() == "" {
		return res, nil
	}
	charge, found, err := s.posted(ctx, conversionPrefix+req.GetChargeBalanceTransactionId())
	if err != nil {
		return nil, err
	}
	if !found || len(charge.Postings) != 2 {
		return nil, notPosted(ledgerv1.Reason_REASON_CONVERSION_NOT_POSTED, "the conversion of the charge is not in the ledger yet; try again later")
	}
	if d, any := differencePlan(p, charge); any {
		if e, err = s.post(ctx, c, d); err != nil {
			return nil, err
		}
		res.Difference = entryToProto(e)
	}
	return res, nil
}

func conversionPlan(req *ledgerv1.RecordConversionRequest) (plan, error) {
	from, wrongFrom := positive("from", req.GetFrom())
	to, wrongTo := positive("to", req.GetTo())
	if wrongTo == nil && from.Currency == to.Currency {
		wrongTo = problem.InvalidField("to.currency", "must be another currency than what left")
	}
	var wrongCharge error
	if req.GetChargeBalanceTransactionId() == req.GetBalanceTransactionId() {
		wrongCharge = problem.InvalidField("charge_balance_transaction_id", "must be another transaction than the conversion's")
	}
	converted, wrongTime := instant("conversion_time", req.GetConversionTime())
	if err := problem.All(wrongFrom, wrongTo, wrongTime, wrongCharge, organizerNeeded(req.GetStripeAccount(), req.GetOrganizerId())); err != nil {
		return plan{}, err
	}
	near := req.GetPaymentIntentId()
	if near == "" {
		near = req.GetBalanceTransactionId()
	}
	clearing, exchange := placeOf(req.GetStripeAccount(), req.GetOrganizerId(), near).clearing, exchangeOf(req.GetBalanceTransactionId())
	came := send(clearing, exchange, to.MinorUnits)
	came.asset = to.FormanceAsset()
	return newPlan(ledgerv1.EntryKind_ENTRY_KIND_CONVERSION, conversionPrefix+req.GetBalanceTransactionId(), converted, from.FormanceAsset(), journal.Facts{
		OrderID: req.GetOrderId(), OrganizerID: req.GetOrganizerId(), PaymentIntentID: req.GetPaymentIntentId(), StripeAccount: req.GetStripeAccount(),
	}, send(exchange, clearing, from.MinorUnits), came), nil
}

// differencePlan returns the legs of a conversion to those of the charge that it undoes, at the charge's rate. What the rates differ by
// is a loss or a gain of the platform; on a connected account it is the organiser's.
//
//	money left in the charge's settlement currency, Z of it for R, where the charge brought Y for X and V is Y*R/X:
//	  fx:txn -> fx:charge R;  fx:charge -> fx:txn V;  loss: costs:exchange -> fx:txn Z-V;  gain: fx:txn -> costs:exchange V-Z
//	money came back in it, Z for R:
//	  fx:charge -> fx:txn R;  fx:txn -> fx:charge V;  loss: costs:exchange -> fx:txn V-Z;  gain: fx:txn -> costs:exchange Z-V
//
// There is none for a conversion between other currencies than the charge's: its legs stay where they are.
func differencePlan(p plan, charge journal.Entry) (difference plan, any bool) {
	left, came := p.moves[0], p.moves[1]
	sold, settled := charge.Postings[0], charge.Postings[1] // X and Y
	own, of := came.to, accountAt(settled.Destination)
	var part, paid int64 // R and Z
	back := left.assetOr(p.asset) == sold.Asset && came.assetOr(p.asset) == settled.Asset
	switch {
	case back:
		part, paid = left.amount, came.amount
	case left.assetOr(p.asset) == settled.Asset && came.assetOr(p.asset) == sold.Asset:
		part, paid = came.amount, left.amount
	default:
		return plan{}, false
	}
	value := atRate(part, settled.Amount, sold.Amount)
	at := placeOf(p.facts.StripeAccount, p.facts.OrganizerID, p.facts.PaymentIntentID)
	bearers, winner := []account{cost(costExchange)}, cost(costExchange)
	if at.direct {
		bearers, winner = at.organizer(), at.owner
	}
	moves := []move{send(own, of, part), send(of, own, value)}
	excess := paid - value // what more left than came for it
	if back {
		moves = []move{send(of, own, part), send(own, of, value)}
		excess = value - paid
	}
	if excess > 0 {
		moves = append(moves, move{from: bearers, to: own, amount: excess})
	} else {
		moves = append(moves, send(own, winner, -excess))
	}
	for i := 1; i < len(moves); i++ {
		moves[i].asset = settled.Asset
	}
	difference = newPlan(ledgerv1.EntryKind_ENTRY_KIND_CONVERSION, differencePrefix+p.reference[len(conversionPrefix):], p.effectiveTime,
		sold.Asset, p.facts, moves...)
	difference.notes = map[string]string{journal.MetaReverses: charge.Reference}
	return difference, true
}

// atRate is part * numerator / denominator, rounded to the nearest, half up.
func atRate(part, numerator, denominator int64) int64 {
	n := new(big.Int).Mul(big.NewInt(2*part), big.NewInt(numerator))
	n.Add(n, big.NewInt(denominator))
	return n.Quo(n, big.NewInt(2*denominator)).Int64()
}

// exchangeOf holds the two legs of a conversion; one of them is negative by nature.
func exchangeOf(balanceTransactionID string) account {
	return account{role: "exchange", address: "fx:stripe:" + balanceTransactionID, debit: true}
}
