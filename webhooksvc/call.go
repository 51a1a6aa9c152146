package webhooksvc

import (
	"context"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// idempotencyKey names one call of one event. It is the same for every try of the event on every replica, so a try
// whose answer was lost is repeated, not done again. A replay by an operator is a new intention and has new keys:
// what repeats there is recognised by the business keys of the receiver.
func idempotencyKey(endpoint, eventID string, replays int32, suffix string) string {
	key := "webhook/" + endpoint + "/" + eventID
	if suffix != "" {
		key += "/" + suffix
	}
	if replays > 0 {
		key += fmt.Sprintf("/replay-%d", replays)
	}
	return key
}

// send makes one call under the key. Its errors are *problem.Downstream.
func (s *Service) send(ctx context.Context, key string, request proto.Message) error {
	ctx = rpc.WithIdempotencyKey(ctx, key)
	var err error
	switch r := request.(type) {
	case *checkoutv1.RecordPaymentRequest:
		_, err = s.Payments.RecordPayment(ctx, r)
	case *checkoutv1.RecordChargeRequest:
		_, err = s.Payments.RecordCharge(ctx, r)
	case *checkoutv1.RecordRefundRequest:
		_, err = s.Payments.RecordRefund(ctx, r)
	case *checkoutv1.RecordDisputeRequest:
		_, err = s.Payments.RecordDispute(ctx, r)
	case *checkoutv1.RecordFraudWarningRequest:
		_, err = s.Payments.RecordFraudWarning(ctx, r)
	case *checkoutv1.RecordReviewRequest:
		_, err = s.Payments.RecordReview(ctx, r)
	case *checkoutv1.RecordSessionEndRequest:
		_, err = s.Payments.RecordSessionEnd(ctx, r)
	case *checkoutv1.RaiseReviewCaseRequest:
		_, err = s.Desk.RaiseReviewCase(ctx, r)
	case *checkoutv1.RecordAccountRequest:
		_, err = s.Accounts.RecordAccount(ctx, r)
	case *ledgerv1.RecordPayoutRequest:
		_, err = s.Ledger.RecordPayout(ctx, r)
	case *ledgerv1.RecordTransferRequest:
		_, err = s.Ledger.RecordTransfer(ctx, r)
	case *ledgerv1.RecordTransferReversalRequest:
		_, err = s.Ledger.RecordTransferReversal(ctx, r)
	case *ledgerv1.RecordStripeFeeRequest:
		_, err = s.Ledger.RecordStripeFee(ctx, r)
	case *ledgerv1.RecordApplicationFeeRequest:
		_, err = s.Ledger.RecordApplicationFee(ctx, r)
	case *ledgerv1.RecordPayoutTransactionsRequest:
		err = s.sendPayoutTransactions(ctx, key, r)
	default:
		panic(fmt.Sprintf("webhooksvc: no RPC takes a %T", request))
	}
	return err
}

// sendPayoutTransactions reports to the ledger what a payout consists of, and raises a review case if the sums differ.
func (s *Service) sendPayoutTransactions(ctx context.Context, key string, r *ledgerv1.RecordPayoutTransactionsRequest) error {
	compared, err := s.Ledger.RecordPayoutTransactions(ctx, r)
	if err != nil || compared.GetDifferenceMinorUnits() == 0 {
		return err
	}
	_, err = s.Desk.RaiseReviewCase(rpc.WithIdempotencyKey(ctx, key+"/item"), &checkoutv1.RaiseReviewCaseRequest{
		Kind: "payout_differs", Subject: r.GetPayoutId(),
		Facts: map[string]string{
			"payout_id": r.GetPayoutId(), "stripe_account": r.GetStripeAccount(), "currency": r.GetAmount().GetCurrency(),
			"payout_minor_units":     strconv.FormatInt(r.GetAmount().GetMinorUnits(), 10),
			"net_minor_units":        strconv.FormatInt(r.GetNetMinorUnits(), 10),
			"difference_minor_units": strconv.FormatInt(compared.GetDifferenceMinorUnits(), 10),
			"transaction_count":      strconv.FormatInt(r.GetTransactionCount(), 10),
		},
		SuggestedAction: "Compare the payout's balance transactions at Stripe with its amount; ask Stripe's support about the difference.",
	})
	return err
}
