package payment

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
)

// TestFingerprints pins what makes two requests the same, over releases: a repeat of yesterday's call must be known.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	at := timestamppb.New(noon)
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"payment": {paymentFingerprint(order.Payment{
			Account: "acct_1", IntentID: "pi_1", OrderID: "o1", Status: order.IntentSucceeded, Currency: "EUR", AmountMinorUnits: 8900,
			ReceivedMinorUnits: 8900, Livemode: true, Time: noon, ChargeID: "ch_1", BalanceTransactionID: "txn_1", FailureCode: "f",
		}), "614e117b29b6c2acebb2e6671e811b45465b500f025a11267380c4f05a98eb1d"},
		"refund": {refundFingerprint(order.RefundObserved{
			Account: "acct_1", IntentID: "pi_1", OrderID: "o1", RefundID: "r1", StripeID: "re_1", State: order.RefundSucceeded, Currency: "EUR",
			Amount: 100, TicketIDs: []string{"t1"}, FailureCode: "f", Time: noon,
		}), "ff2cae99b2f61b8cae65990f9cf35bf5b48652eeab665c5844c310fbc739008f"},
		"dispute": {disputeFingerprint(&checkoutv1.RecordDisputeRequest{
			StripeAccount: "acct_1", DisputeId: "du_1", PaymentIntentId: "pi_1", ChargeId: "ch_1",
			Status: checkoutv1.DisputeStatus_DISPUTE_STATUS_LOST, Amount: &moneyv1.Money{Currency: "EUR", MinorUnits: 8900},
			DisputeReason: "fraudulent", ObservedTime: at, EvidenceDueTime: at,
			Funds: []*checkoutv1.DisputeFunds{{BalanceTransactionId: "txn_1", MinorUnits: -8900, FeeMinorUnits: 1500, Currency: "USD", Time: at}},
		}), "b63307c7f9cffcecd7a58538d10b815173c56735a8944c5783bc3e59e9cbe30c"},
		"fraud warning": {warningFingerprint(&checkoutv1.RecordFraudWarningRequest{
			StripeAccount: "acct_1", FraudWarningId: "issfr_1", PaymentIntentId: "pi_1", ChargeId: "ch_1", Actionable: true, FraudType: "misc", ObservedTime: at,
		}), "817407185a9fd3024349fc7ed2b64a98e42c9b18885db477173b20546abc91b9"},
		"review": {reviewFingerprint(&checkoutv1.RecordReviewRequest{
			StripeAccount: "acct_1", ReviewId: "prv_1", PaymentIntentId: "pi_1", ChargeId: "ch_1", Open: true, ClosedReason: "approved", ObservedTime: at,
		}), "2544c50a4dbf992c28ef25cefea3911d4333bc4ada84f0d8915a3df4e6bd7c7b"},
		"session end": {sessionEndFingerprint(&checkoutv1.RecordSessionEndRequest{
			StripeAccount: "acct_1", SessionId: "cs_1", PaymentIntentId: "pi_1", OrderId: "o1", ObservedTime: at,
		}), "724f8078bc353e2cd9a9b8b92b06066eb9897274561b7b9ca41549c5d2c74c2d"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestDisputeFingerprintCoversAll changes each field of a report of a dispute: each makes another request of it.
func TestDisputeFingerprintCoversAll(t *testing.T) {
	t.Parallel()
	plain := disputeFingerprint(&checkoutv1.RecordDisputeRequest{})
	fields := (&checkoutv1.RecordDisputeRequest{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); bytes.Equal(disputeFingerprint(with(&checkoutv1.RecordDisputeRequest{}, f)), plain) {
			t.Errorf("%s is left out", f.Name())
		}
	}
	funds := func(f *checkoutv1.DisputeFunds) []byte {
		return disputeFingerprint(&checkoutv1.RecordDisputeRequest{Funds: []*checkoutv1.DisputeFunds{f}})
	}
	plain, fields = funds(&checkoutv1.DisputeFunds{}), (&checkoutv1.DisputeFunds{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); bytes.Equal(funds(with(&checkoutv1.DisputeFunds{}, f)), plain) {
			t.Errorf("funds: %s is left out", f.Name())
		}
	}
}

// with sets one field of m to something.
func with[M proto.Message](m M, f protoreflect.FieldDescriptor) M {
	r := m.ProtoReflect()
	switch {
	case f.IsList():
		list := r.Mutable(f).List()
		list.Append(list.NewElement())
	case f.Message() != nil:
		first := f.Message().Fields().Get(0)
		if f.Message().FullName() == "google.protobuf.Timestamp" {
			r.Set(f, protoreflect.ValueOfMessage(timestamppb.New(time.Unix(1, 0)).ProtoReflect()))
		} else {
			r.Mutable(f).Message().Set(first, protoreflect.ValueOfString("X"))
		}
	case f.Kind() == protoreflect.StringKind:
		r.Set(f, protoreflect.ValueOfString("x"))
	case f.Kind() == protoreflect.EnumKind:
		r.Set(f, protoreflect.ValueOfEnum(1))
	default:
		r.Set(f, protoreflect.ValueOfInt64(1))
	}
	return m
}
