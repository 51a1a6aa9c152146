package ledgersvc_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
)

// Random scenarios of orders, reported in disorder and doubled, end in the balances that a simple model of the money gives.
// A failure prints the seed that repeats it (-rapid.seed); -rapid.checks=10000 runs more.
func TestScenarios(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	var scenarios atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		l := newScenario(rt, int(scenarios.Add(1)))
		l.play(rt)
		before := w.books.balances(t, l.accounts()...)
		l.report(rt, w)
		after := w.books.balances(t, l.accounts()...)
		l.check(rt, before, after)
	})
	if got := w.imbalance(); got != "" {
		t.Errorf("trial balance: %s", got)
	}
}

// scenario is some orders of one organiser in one currency. The buckets are what money there should be in the end.
type scenario struct {
	name     string // unique, part of all ids
	currency string
	asset    string
	org      string
	acct     string
	facts    []fact
	want     map[string]int64 // by bucket
	orders   int
	ids      int
}

// fact is a call; made in disorder, it is repeated until what it needs has been recorded.
type fact struct {
	key  string
	call func(ctx context.Context, w *harness) error
}

func newScenario(t *rapid.T, n int) *scenario {
	name := fmt.Sprintf("%06d", n)
	currency := rapid.SampledFrom([]string{"EUR", "USD", "JPY", "KWD"}).Draw(t, "currency")
	return &scenario{
		name: name, currency: currency, org: "organizer000" + name, acct: "acct_" + name, want: make(map[string]int64),
		asset: map[string]string{"EUR": "EUR/2", "USD": "USD/2", "JPY": "JPY", "KWD": "KWD/3"}[currency],
	}
}

func (l *scenario) id(prefix string) string {
	l.ids++
	return fmt.Sprintf("%s_%sn%d", prefix, l.name, l.ids)
}

func (l *scenario) orderID(n int) string { return fmt.Sprintf("order%sn%09d", l.name, n) }

func (l *scenario) money(minor int64) *moneyv1.Money {
	return &moneyv1.Money{Currency: l.currency, MinorUnits: minor}
}

// move adds to buckets.
func (l *scenario) move(changes map[string]int64) {
	for bucket, amount := range changes {
		l.want[bucket] += amount
	}
}

func (l *scenario) add(call func(ctx context.Context, w *harness) error) {
	l.facts = append(l.facts, fact{key: l.id("fact"), call: call})
}

func (l *scenario) play(t *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(t, "orders") {
		l.order(t)
	}
	for range rapid.IntRange(0, 2).Draw(t, "transfers") {
		l.transfer(t)
	}
	for range rapid.IntRange(0, 3).Draw(t, "payouts") {
		l.payout(t)
	}
}

// sold is an order's capture in the model.
type sold struct {
	order, intent string
	account       string
	receipt       bool
	gross         int64
	fee, tax      int64 // still with us
	rest          int64 // not refunded
}

func (l *scenario) order(t *rapid.T) {
	l.orders++
	o := &sold{order: l.orderID(l.orders), intent: l.id("pi"), receipt: rapid.IntRange(0, 3).Draw(t, "receipt") == 0}
	o.gross = rapid.OneOf(rapid.Int64Range(1, 20000), rapid.Int64Range(1<<53-2, 1<<53+2)).Draw(t, "gross")
	if rapid.Bool().Draw(t, "direct") {
		o.account = l.acct
	}
	if !o.receipt {
		o.fee = rapid.Int64Range(0, o.gross).Draw(t, "fee")
		if o.account == "" {
			o.tax = rapid.Int64Range(0, o.gross-o.fee).Draw(t, "tax")
		}
	}
	o.rest = o.gross
	c := &ledgerv1.Capture{
		OrderId: o.order, OrganizerId: l.org, PaymentIntentId: o.intent, StripeAccount: o.account,
		Gross: l.money(o.gross), CaptureTime: timestamppb.New(noon),
	}
	fee, tax := o.fee, taxShares(o.tax)
	l.add(func(ctx context.Context, w *harness) error {
		if o.receipt {
			_, err := w.client.RecordReceipt(ctx, &ledgerv1.RecordReceiptRequest{Capture: c})
			return err
		}
		_, err := w.client.RecordSale(ctx, &ledgerv1.RecordSaleRequest{Capture: c, ApplicationFeeMinorUnits: fee, Taxes: tax})
		return err
	})
	clearing, owner := l.place(o)
	l.want[clearing] += o.gross
	switch {
	case o.receipt:
		l.want["waiting"] += o.gross
	default:
		l.move(map[string]int64{owner: o.gross - o.fee - o.tax, "revenue": o.fee, "tax": o.tax})
		if o.account != "" {
			l.move(map[string]int64{"connect": -o.fee, "platform": o.fee})
		}
	}
	l.stripeFee(t, o)
	for range rapid.IntRange(0, 3).Draw(t, "refunds") {
		l.refund(t, o)
	}
	if !o.receipt && rapid.Bool().Draw(t, "disputed") {
		l.dispute(t, o)
	}
}

// place names the buckets of a capture's money: where it lies, and the organiser's part of it.
func (l *scenario) place(o *sold) (clearing, owner string) {
	if o.account != "" {
		return "connect", "owned"
	}
	return "platform", "owed"
}

func taxShares(minor int64) []*ledgerv1.TaxShare {
	if minor == 0 {
		return nil
	}
	return []*ledgerv1.TaxShare{{Country: "DE", Kind: "vat", MinorUnits: minor}}
}

func (l *scenario) stripeFee(t *rapid.T, o *sold) {
	f := rapid.Int64Range(0, 500).Draw(t, "stripe fee")
	req := &ledgerv1.RecordStripeFeeRequest{
		BalanceTransactionId: l.id("txn"), OrderId: o.order, OrganizerId: l.org, PaymentIntentId: o.intent, StripeAccount: o.account,
		Fee: l.money(f), ChargeTime: timestamppb.New(noon),
	}
	l.add(func(ctx context.Context, w *harness) error { _, err := w.client.RecordStripeFee(ctx, req); return err })
	clearing, owner := l.place(o)
	if o.account == "" {
		owner = "costs"
	}
	l.move(map[string]int64{clearing: -f, owner: -f})
}

func (l *scenario) refund(t *rapid.T, o *sold) {
	if o.rest == 0 {
		return
	}
	amount := rapid.Int64Range(1, o.rest).Draw(t, "refund")
	fee := rapid.Int64Range(0, min(amount, o.fee)).Draw(t, "fee back")
	tax := rapid.Int64Range(0, min(amount-fee, o.tax)).Draw(t, "tax back")
	req := &ledgerv1.RecordRefundRequest{
		StripeRefundId: l.id("re"), PaymentIntentId: o.intent, Amount: l.money(amount), ApplicationFeeMinorUnits: fee,
		Taxes: taxShares(tax), RefundTime: timestamppb.New(noon),
	}
	l.add(func(ctx context.Context, w *harness) error { _, err := w.client.RecordRefund(ctx, req); return err })
	o.rest, o.fee, o.tax = o.rest-amount, o.fee-fee, o.tax-tax
	if rapid.IntRange(0, 3).Draw(t, "fails") == 0 {
		l.add(func(ctx context.Context, w *harness) error {
			_, err := w.client.RecordRefundFailure(ctx, &ledgerv1.RecordRefundFailureRequest{StripeRefundId: req.GetStripeRefundId()})
			return err
		})
		return // what came back is not given out again: the order of telling could make it lack then
	}
	clearing, owner := l.place(o)
	l.want[clearing] -= amount
	switch {
	case o.receipt:
		l.want["waiting"] -= amount
	default:
		l.move(map[string]int64{owner: -(amount - fee - tax), "revenue": -fee, "tax": -tax})
		if o.account != "" {
			l.move(map[string]int64{"connect": fee, "platform": -fee})
		}
	}
}

func (l *scenario) dispute(t *rapid.T, o *sold) {
	var (
		amount          = rapid.Int64Range(1, o.gross).Draw(t, "disputed amount")
		fee             = rapid.Int64Range(0, 1500).Draw(t, "dispute fee")
		id              = l.id("du")
		clearing, owner = l.place(o)
		bearer          = owner
	)
	if o.account == "" {
		bearer = "costs"
	}
	funds := func(amount, fee int64) {
		req := &ledgerv1.RecordDisputeFundsRequest{
			DisputeId: id, PaymentIntentId: o.intent, BalanceTransactionId: l.id("txn"), Amount: l.money(amount), FeeMinorUnits: fee,
			FundsTime: timestamppb.New(noon),
		}
		l.add(func(ctx context.Context, w *harness) error {
			_, err := w.client.RecordDisputeFunds(ctx, req)
			return err
		})
		l.move(map[string]int64{clearing: amount - fee, "undecided": amount})
		l.want[bearer] -= fee
	}
	funds(-amount, fee)
	end := rapid.SampledFrom([]string{"open", "won", "lost", "reinstated"}).Draw(t, "end")
	var share int64
	if end == "lost" || end == "reinstated" {
		share = rapid.Int64Range(0, min(amount, o.fee)).Draw(t, "platform's share")
		o.fee -= share
		req := &ledgerv1.RecordDisputeLossRequest{
			DisputeId: id, PaymentIntentId: o.intent, Amount: l.money(amount), ApplicationFeeMinorUnits: share, CloseTime: timestamppb.New(noon),
		}
		l.add(func(ctx context.Context, w *harness) error {
			_, err := w.client.RecordDisputeLoss(ctx, req)
			return err
		})
		l.move(map[string]int64{owner: -(amount - share), "revenue": -share, "undecided": amount})
		if o.account != "" {
			l.move(map[string]int64{"connect": share, "platform": -share})
		}
	}
	switch end {
	case "won":
		funds(amount, -rapid.SampledFrom([]int64{0, fee}).Draw(t, "fee returned"))
	case "reinstated":
		back := rapid.Int64Range(1, amount).Draw(t, "reinstated amount")
		funds(back, 0)
		l.want["undecided"] -= back
		toOwner := min(back, amount-share)
		if o.account != "" {
			toOwner = back
		}
		l.move(map[string]int64{owner: toOwner, "revenue": back - toOwner})
	}
}

func (l *scenario) transfer(t *rapid.T) {
	amount := rapid.Int64Range(1, 20000).Draw(t, "transfer")
	req := &ledgerv1.RecordTransferRequest{
		TransferId: l.id("tr"), StripeAccount: l.acct, OrganizerId: l.org, Amount: l.money(amount), TransferTime: timestamppb.New(noon),
	}
	l.add(func(ctx context.Context, w *harness) error { _, err := w.client.RecordTransfer(ctx, req); return err })
	if rapid.Bool().Draw(t, "reversed") {
		back := rapid.Int64Range(1, amount).Draw(t, "reversal")
		reversal := &ledgerv1.RecordTransferReversalRequest{
			TransferReversalId: l.id("trr"), TransferId: req.GetTransferId(), Amount: l.money(back), ReverseTime: timestamppb.New(noon),
		}
		l.add(func(ctx context.Context, w *harness) error {
			_, err := w.client.RecordTransferReversal(ctx, reversal)
			return err
		})
		amount -= back
	}
	l.move(map[string]int64{"owed": -amount, "platform": -amount, "owned": amount, "connect": amount})
}

func (l *scenario) payout(t *rapid.T) {
	amount := rapid.Int64Range(1, 20000).Draw(t, "payout")
	connected := rapid.Bool().Draw(t, "of the account")
	id := l.id("po")
	statuses := rapid.SampledFrom([][]ledgerv1.PayoutStatus{
		{pending}, {pending, inTransit}, {pending, inTransit, paid}, {pending, paid, failed}, {pending, canceled}, {failed},
	}).Draw(t, "statuses")
	for _, status := range statuses {
		req := &ledgerv1.RecordPayoutRequest{
			PayoutId: id, Status: status, Amount: l.money(amount), BankAccountId: "ba_" + l.name, PayoutTime: timestamppb.New(noon),
		}
		if connected {
			req.StripeAccount, req.OrganizerId = l.acct, l.org
		}
		l.add(func(ctx context.Context, w *harness) error { _, err := w.client.RecordPayout(ctx, req); return err })
	}
	switch last := statuses[len(statuses)-1]; {
	case last == paid && connected:
		l.move(map[string]int64{"owned": -amount, "connect": -amount})
	case last == paid:
		l.move(map[string]int64{"bank": amount, "platform": -amount})
	case connected && last != failed && last != canceled:
		l.move(map[string]int64{"owned": -amount, "transit": amount})
	}
}
