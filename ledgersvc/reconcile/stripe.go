package reconcile

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	stripe "github.com/stripe/stripe-go/v76"

	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/replica"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// stripePage is the size of a page of Stripe's lists; it is their largest.
const stripePage = 100

// stripeReader is Stripe as the reconciliation reads it. It never writes.
type stripeReader struct{ client *stripeapi.Client }

// newStripeReader returns nil when there is no key: then there is nothing to compare with.
func newStripeReader(c Config, d Deps) *stripeReader {
	if !c.StripeKey.IsSet() {
		return nil
	}
	c.StripeLimits.Replicas = replica.NewCounter(d.Pool, d.Clock).Count
	return &stripeReader{client: stripeapi.New(stripeapi.Config{
		Key: c.StripeKey, URL: c.StripeURL, Timeout: c.StripeTimeout, Limits: c.StripeLimits, Logger: d.Logger,
	})}
}

// movesOf says what a balance transaction is compared by. Money of direct charges and the platform's fees of them are
// left out; see service.go.
func movesOf(t *stripe.BalanceTransaction, account string) []stripeMove {
	m := stripeMove{
		txn: t.ID, kind: string(t.Type), account: account, asset: money.Money{Currency: strings.ToUpper(string(t.Currency))}.FormanceAsset(),
		amount: t.Amount, time: time.Unix(t.Created, 0).UTC(),
	}
	if t.Source != nil {
		m.source = t.Source.ID
	}
	var moves []stripeMove
	fee := m
	fee.subject, fee.amount = "fee:"+t.ID, -t.Fee
	prefix, _, _ := strings.Cut(m.source, "_")
	switch {
	case t.Type == stripe.BalanceTransactionTypeApplicationFee || t.Type == stripe.BalanceTransactionTypeApplicationFeeRefund:
		return nil
	case account != "" && prefix != "po":
		return nil
	case prefix == "ch" || prefix == "py":
		m.subject, m.charge = "capture:", m.source
	case prefix == "re" || prefix == "pyr":
		m.subject = "refund:" + m.source
	case prefix == "du" || prefix == "dp":
		m.subject, fee.amount = journal.WithdrawalPrefix+t.ID, 0
		if t.Amount > 0 {
			m.subject = journal.ReinstatementPrefix + t.ID
		}
		m.amount = t.Amount - t.Fee
	case prefix == "po":
		m.subject = "payout:" + m.source
	case prefix == "tr":
		m.subject = "transfer:" + m.source
	case prefix == "trr":
		m.subject = "transfer-rev:" + m.source
	default:
		m.subject, m.amount, fee.amount = "txn:"+t.ID, t.Net, 0
	}
	if m.amount != 0 {
		moves = append(moves, m)
	}
	if fee.amount != 0 {
		moves = append(moves, fee)
	}
	return moves
}

// list gives f every balance transaction of an account in a span of time, the newest first, a page in memory at a time.
// An empty kind means all.
func (b *stripeReader) list(ctx context.Context, account, kind string, from, until time.Time, f func(*stripe.BalanceTransaction) error) error {
	params := &stripe.BalanceTransactionListParams{CreatedRange: &stripe.RangeQueryParams{
		GreaterThanOrEqual: from.Unix(), LesserThan: until.Add(time.Second - time.Nanosecond).Unix(),
	}}
	if kind != "" {
		params.Type = new(kind)
	}
	return b.each(ctx, account, params, f)
}

func (b *stripeReader) each(ctx context.Context, account string, params *stripe.BalanceTransactionListParams, f func(*stripe.BalanceTransaction) error) error {
	params.Context = ctx
	params.Limit = stripe.Int64(stripePage)
	if account != "" {
		params.SetStripeAccount(account)
	}
	return b.call(ctx, account, func() error {
		list := b.client.BalanceTransactions.List(params)
		for list.Next() {
			if err := f(list.BalanceTransaction()); err != nil {
				return err
			}
		}
		return list.Err()
	})
}

// add keeps what a balance transaction means for the subject.
func (f *stripeMoves) add(t *stripe.BalanceTransaction, account, subject string) {
	if t == nil || t.Currency == "" { // not expanded: Stripe has none
		return
	}
	ofCharge := strings.HasPrefix(subject, "capture:") || strings.HasPrefix(subject, "charge:")
	for _, m := range movesOf(t, account) {
		if m.charge != "" && ofCharge {
			m.subject = subject
		}
		if m.subject == subject {
			f.moves = append(f.moves, m)
		}
	}
}

// fetch returns what Stripe has of a subject. Nothing is no error.
func (b *stripeReader) fetch(ctx context.Context, account, subject string) (f stripeMoves, err error) {
	kind, id, _ := strings.Cut(subject, ":")
	switch kind {
	case "capture":
		err = b.fetchCharges(ctx, account, subject, id, &f)
	case "refund":
		err = b.fetchRefund(ctx, account, subject, id, &f)
	case "payout":
		err = b.fetchPayout(ctx, account, subject, id, &f)
	case "transfer", "transfer-rev":
		err = b.bySource(ctx, account, id, func(t *stripe.BalanceTransaction) { f.add(t, account, subject) })
	case "fee", "txn", "dispute-w", "dispute-r":
		var t *stripe.BalanceTransaction
		if t, err = b.transaction(ctx, account, id); t != nil {
			f.add(t, account, subject)
		}
	case "charge":
		var charge *stripe.Charge
		if charge, err = b.charge(ctx, account, id); charge != nil {
			f.add(charge.BalanceTransaction, account, subject)
		}
	}
	if account != "" && errors.Is(err, errDisconnected) {
		f.waiting, err = errDisconnected.Error(), nil
	}
	return f, err
}

func (b *stripeReader) fetchCharges(ctx context.Context, account, subject, intentID string, f *stripeMoves) error {
	if !strings.HasPrefix(intentID, "pi_") {
		return nil
	}
	params := &stripe.ChargeListParams{PaymentIntent: new(intentID)}
	params.Context = ctx
	params.Limit = stripe.Int64(stripePage)
	params.AddExpand("data.balance_transaction")
	if account != "" {
		params.SetStripeAccount(account)
	}
	return b.call(ctx, account, func() error {
		*f = stripeMoves{}
		list := b.client.Charges.List(params)
		for list.Next() {
			charge := list.Charge()
			if charge.Status != stripe.ChargeStatusSucceeded || !charge.Captured {
				continue
			}
			if charge.BalanceTransaction == nil {
				f.waiting = "Stripe has no balance transaction for the charge yet"
				continue
			}
			f.add(charge.BalanceTransaction, account, subject)
		}
		return list.Err()
	})
}

func (b *stripeReader) fetchRefund(ctx context.Context, account, subject, id string, f *stripeMoves) error {
	params := &stripe.RefundParams{}
	params.Context = ctx
	params.AddExpand("balance_transaction")
	params.AddExpand("failure_balance_transaction")
	if account != "" {
		params.SetStripeAccount(account)
	}
	return b.call(ctx, account, func() error {
		*f = stripeMoves{}
		refund, err := b.client.Refunds.Get(id, params)
		if err != nil {
			return err
		}
		f.add(refund.BalanceTransaction, account, subject)
		f.add(refund.FailureBalanceTransaction, account, subject)
		if len(f.moves) == 0 && (refund.Status == stripe.RefundStatusPending || refund.Status == stripe.RefundStatusRequiresAction) {
			f.waiting = "the refund is still " + string(refund.Status) + " at Stripe"
		}
		return nil
	})
}

func (b *stripeReader) fetchPayout(ctx context.Context, account, subject, id string, f *stripeMoves) error {
	params := &stripe.PayoutParams{}
	params.Context = ctx
	params.AddExpand("balance_transaction")
	params.AddExpand("failure_balance_transaction")
	if account != "" {
		params.SetStripeAccount(account)
	}
	var payout *stripe.Payout
	err := b.call(ctx, account, func() (err error) {
		payout, err = b.client.Payouts.Get(id, params)
		return err
	})
	if err != nil || payout == nil || payout.ID == "" {
		return err
	}
	seen := map[string]bool{}
	add := func(t *stripe.BalanceTransaction) {
		if t != nil && !seen[t.ID] {
			seen[t.ID] = true
			f.add(t, account, subject)
		}
	}
	add(payout.BalanceTransaction)
	add(payout.FailureBalanceTransaction)
	if payout.Status == stripe.PayoutStatusPending || payout.Status == stripe.PayoutStatusInTransit {
		f.waiting = "the payout is still " + string(payout.Status) + " at Stripe"
	}
	return b.bySource(ctx, account, id, add) // a canceled payout names its second transaction nowhere
}

func (b *stripeReader) bySource(ctx context.Context, account, id string, f func(*stripe.BalanceTransaction)) error {
	return b.each(ctx, account, &stripe.BalanceTransactionListParams{Source: new(id)}, func(t *stripe.BalanceTransaction) error {
		f(t)
		return nil
	})
}

// transaction returns a balance transaction; nil when Stripe has none.
func (b *stripeReader) transaction(ctx context.Context, account, id string) (t *stripe.BalanceTransaction, err error) {
	params := &stripe.BalanceTransactionParams{}
	params.Context = ctx
	if account != "" {
		params.SetStripeAccount(account)
	}
	err = b.call(ctx, account, func() (err error) {
		got, err := b.client.BalanceTransactions.Get(id, params)
		if err == nil {
			t = got
		}
		return err
	})
	return t, err
}

// charge returns a charge with its balance transaction; nil when Stripe has none.
func (b *stripeReader) charge(ctx context.Context, account, id string) (charge *stripe.Charge, err error) {
	params := &stripe.ChargeParams{}
	params.Context = ctx
	params.AddExpand("balance_transaction")
	if account != "" {
		params.SetStripeAccount(account)
	}
	err = b.call(ctx, account, func() (err error) {
		got, err := b.client.Charges.Get(id, params)
		if err == nil {
			charge = got
		}
		return err
	})
	return charge, err
}

// chargeOf returns the charge that the source of a balance transaction is or belongs to; nil when it belongs to none.
func (b *stripeReader) chargeOf(ctx context.Context, account, source string) (*stripe.Charge, error) {
	var of *stripe.Charge
	var err error
	switch prefix, _, _ := strings.Cut(source, "_"); prefix {
	case "ch", "py":
		return b.charge(ctx, account, source)
	case "re", "pyr":
		params := &stripe.RefundParams{}
		params.Context = ctx
		if account != "" {
			params.SetStripeAccount(account)
		}
		err = b.call(ctx, account, func() error {
			refund, err := b.client.Refunds.Get(source, params)
			if err == nil {
				of = refund.Charge
			}
			return err
		})
	case "du", "dp":
		params := &stripe.DisputeParams{}
		params.Context = ctx
		if account != "" {
			params.SetStripeAccount(account)
		}
		err = b.call(ctx, account, func() error {
			dispute, err := b.client.Disputes.Get(source, params)
			if err == nil {
				of = dispute.Charge
			}
			return err
		})
	}
	if err != nil || of == nil || of.ID == "" {
		return nil, err
	}
	return b.charge(ctx, account, of.ID)
}

// errDisconnected says that a connected account has left, so that nobody can read it any more.
var errDisconnected = errors.New("stripe does not let us read the account")

// errAccountAway says that Stripe answers calls for a connected account with failures, too many for more of them; others it may
// answer.
var errAccountAway = errors.New("stripe's answers for the account are failures")

// call runs f, which asks for an account, behind the circuit breakers. That Stripe knows no such object is an answer, and no error.
func (b *stripeReader) call(ctx context.Context, account string, f func() error) error {
	err := b.client.Do(ctx, stripeapi.Target{Account: account}, f)
	switch {
	case stripeapi.NotFound(err):
		return nil
	case stripeapi.Status(err) == http.StatusForbidden:
		return errDisconnected
	case account != "" && stripeapi.Status(err) == http.StatusTooManyRequests,
		account != "" && errors.Is(err, breaker.ErrOpen) && !b.client.IsAway():
		return errAccountAway
	}
	return err
}
