package ledgersvc_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// funds moves money of dispute du_1 of order n under a balance transaction.
func funds(n int, txn string, amount, fee int64) *ledgerv1.RecordDisputeFundsRequest {
	return &ledgerv1.RecordDisputeFundsRequest{
		DisputeId: "du_1", PaymentIntentId: intent(n), BalanceTransactionId: txn, Amount: eur(amount), FeeMinorUnits: fee,
		FundsTime: timestamppb.New(noon.Add(2 * time.Hour)),
	}
}

// loss is the end of dispute du_1 of order n, of which the platform bears fee.
func loss(n int, fee int64) *ledgerv1.RecordDisputeLossRequest {
	return &ledgerv1.RecordDisputeLossRequest{
		DisputeId: "du_1", PaymentIntentId: intent(n), Amount: eur(11900), ApplicationFeeMinorUnits: fee,
		CloseTime: timestamppb.New(noon.Add(3 * time.Hour)),
	}
}

func TestDispute(t *testing.T) {
	t.Parallel()
	dispute := "orders:" + order(1) + ":disputes:du_1"
	s := shardOf(1)
	for name, c := range map[string]struct {
		receipt bool
		account string
		do      func(w *harness)
		change  map[string]int64 // of balances, against the capture alone
	}{
		"withdrawn": {
			do:     func(w *harness) { w.funds(funds(1, "txn_1", -11900, 1500)) },
			change: map[string]int64{dispute: -11900, "platform:costs:dispute_fees": -1500, "stripe:platform:main:" + s: 13400},
		},
		"won, fee kept by Stripe": {
			do: func(w *harness) {
				w.funds(funds(1, "txn_1", -11900, 1500))
				w.funds(funds(1, "txn_2", 11900, 0))
			},
			change: map[string]int64{"platform:costs:dispute_fees": -1500, "stripe:platform:main:" + s: 1500},
		},
		"won, fee returned": {
			do: func(w *harness) {
				w.funds(funds(1, "txn_1", -11900, 1500))
				w.funds(funds(1, "txn_2", 11900, -1500))
			},
			change: map[string]int64{},
		},
		"lost, the organiser bears it beyond what is owed": {
			do: func(w *harness) {
				w.funds(funds(1, "txn_1", -11900, 1500))
				w.loss(loss(1, 900))
			},
			change: map[string]int64{
				"organizers:organizer00000001:payable": -9100, "organizers:organizer00000001:receivable": -1900,
				"platform:revenue:application_fees:" + s: -900, "platform:costs:dispute_fees": -1500, "stripe:platform:main:" + s: 13400,
			},
		},
		"lost on a connected account": {
			account: account,
			do: func(w *harness) {
				w.funds(funds(1, "txn_1", -11900, 1500))
				w.loss(loss(1, 0))
			},
			change: map[string]int64{
				"organizers:organizer00000001:connect": -11000, "organizers:organizer00000001:connect:receivable": -2400,
				"stripe:connect:acct_1": 13400,
			},
		},
		"lost on a receipt that waits": {
			receipt: true,
			do: func(w *harness) {
				w.funds(funds(1, "txn_1", -11900, 0))
				w.loss(loss(1, 0))
			},
			change: map[string]int64{"orders:" + order(1) + ":payment": -11900, "stripe:platform:main:" + s: 11900},
		},
		"lost on a receipt that was refunded": {
			receipt: true,
			do: func(w *harness) {
				must[*ledgerv1.RecordRefundResponse](w.t)(w.client.RecordRefund(w.fresh(), refund(1, "re_1", 11900)))
				w.funds(funds(1, "txn_1", -11900, 0))
				w.loss(loss(1, 0))
			},
			change: map[string]int64{
				"orders:" + order(1) + ":payment": -11900, "platform:costs:dispute_losses": -11900, "stripe:platform:main:" + s: 23800,
			},
		},
		"lost on a sale that was refunded, the organiser pays twice": {
			do: func(w *harness) {
				whole := refund(1, "re_1", 11900)
				whole.ApplicationFeeMinorUnits, whole.Taxes = 900, taxShares(1900)
				must[*ledgerv1.RecordRefundResponse](w.t)(w.client.RecordRefund(w.fresh(), whole))
				w.funds(funds(1, "txn_1", -11900, 0))
				w.loss(loss(1, 0))
			},
			change: map[string]int64{
				"organizers:organizer00000001:payable": -9100, "organizers:organizer00000001:receivable": -11900,
				"platform:revenue:application_fees:" + s: -900, "taxes:de:vat": -1900, "stripe:platform:main:" + s: 23800,
			},
		},
		"reinstated after it was lost": {
			do: func(w *harness) {
				w.funds(funds(1, "txn_1", -11900, 1500))
				w.loss(loss(1, 900))
				w.funds(funds(1, "txn_2", 11900, 0))
				w.funds(funds(1, "txn_2", 11900, 0))
			},
			change: map[string]int64{"platform:costs:dispute_fees": -1500, "stripe:platform:main:" + s: 1500},
		},
		"reinstated before the loss is reported": {
			do: func(w *harness) {
				w.funds(funds(1, "txn_2", 11900, 0))
				w.funds(funds(1, "txn_1", -11900, 1500))
				w.loss(loss(1, 900))
				w.loss(loss(1, 900))
			},
			change: map[string]int64{"platform:costs:dispute_fees": -1500, "stripe:platform:main:" + s: 1500},
		},
		"reinstated in part after it was lost": {
			do: func(w *harness) {
				w.funds(funds(1, "txn_1", -11900, 0))
				w.loss(loss(1, 900))
				w.funds(funds(1, "txn_2", 9500, 0))
			},
			change: map[string]int64{
				"organizers:organizer00000001:receivable": -1500, "platform:revenue:application_fees:" + s: -900, "stripe:platform:main:" + s: 2400,
			},
		},
		"reinstated on a connected account after the fee was given up": {
			account: account,
			do: func(w *harness) {
				w.funds(funds(1, "txn_1", -11900, 0))
				w.loss(loss(1, 900))
				w.funds(funds(1, "txn_2", 11900, 0))
			},
			change: map[string]int64{
				"organizers:organizer00000001:connect": 900, "platform:revenue:application_fees:" + s: -900,
				"stripe:connect:acct_1": -900, "stripe:platform:main:" + s: 900,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHarness(t)
			w.capture(1, c.receipt, c.account)
			want := w.allBalances()
			c.do(w)
			for address, change := range c.change {
				var before int64
				if text, ok := want[address+" EUR/2"]; ok {
					if _, err := fmt.Sscan(text, &before); err != nil {
						t.Fatal(err)
					}
				}
				want[address+" EUR/2"] = fmt.Sprint(before + change)
				if before+change == 0 {
					delete(want, address+" EUR/2")
				}
			}
			w.wantBalances(want)
		})
	}
}

func (w *harness) funds(req *ledgerv1.RecordDisputeFundsRequest) {
	w.t.Helper()
	must[*ledgerv1.RecordDisputeFundsResponse](w.t)(w.client.RecordDisputeFunds(w.fresh(), req))
}

func (w *harness) loss(req *ledgerv1.RecordDisputeLossRequest) {
	w.t.Helper()
	must[*ledgerv1.RecordDisputeLossResponse](w.t)(w.client.RecordDisputeLoss(w.fresh(), req))
}

// Loss and reinstatement at the same instant: whoever is second returns the money to its bearers.
func TestLossAndReinstatementAtOnce(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	for n := range 10 {
		w.capture(n, false, "")
		before := w.allBalances()
		id := fmt.Sprintf("du_%d", n)
		withdrawn := funds(n, fmt.Sprintf("txn_w%d", n), -11900, 0)
		withdrawn.DisputeId = id
		w.funds(withdrawn)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				back := funds(n, fmt.Sprintf("txn_r%d", n), 11900, 0)
				back.DisputeId = id
				if _, err := w.client.RecordDisputeFunds(keyed(context.WithoutCancel(t.Context()), "back-"+id), back); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				lost := loss(n, 900)
				lost.DisputeId = id
				if _, err := w.client.RecordDisputeLoss(keyed(context.WithoutCancel(t.Context()), "lost-"+id), lost); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.wantBalances(before)
	}
}

func TestDisputeNeedsWhatItBuildsOn(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	_, err := w.client.RecordDisputeFunds(w.fresh(), funds(1, "txn_1", -11900, 1500))
	wantProblem(t, err, connect.CodeFailedPrecondition, "CAPTURE_NOT_POSTED")
	w.capture(1, false, "")
	_, err = w.client.RecordDisputeLoss(w.fresh(), loss(1, 0))
	wantProblem(t, err, connect.CodeFailedPrecondition, "DISPUTE_NOT_WITHDRAWN")
	w.funds(funds(1, "txn_2", 100, 0)) // a reinstatement is no withdrawal
	_, err = w.client.RecordDisputeLoss(w.fresh(), loss(1, 0))
	wantProblem(t, err, connect.CodeFailedPrecondition, "DISPUTE_NOT_WITHDRAWN")
	for _, bad := range []*ledgerv1.RecordDisputeFundsRequest{funds(1, "txn_3", 0, 0), funds(1, "txn_3", -1<<63, 0), funds(1, "txn_3", 1, -1<<63)} {
		_, err := w.client.RecordDisputeFunds(w.fresh(), bad)
		wantProblem(t, err, connect.CodeInvalidArgument, problem.ReasonInvalidField)
	}
	_, err = w.client.RecordDisputeLoss(w.fresh(), loss(1, 11901))
	wantProblem(t, err, connect.CodeInvalidArgument, problem.ReasonInvalidField)
}
