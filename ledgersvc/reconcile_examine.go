package ledgersvc

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/money"
	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// subject is one thing that several books speak of, such as "capture:pi_123", with all that they say of it now.
type subject struct {
	name    string
	kind    string // what stands before the colon
	account string // at Stripe; empty for the platform's

	lines   []*checkoutv1.OrderMoney
	entries []journal.Entry // at the ledger
	copies  map[string]journal.Entry
	stripe  found

	intent     string                   // of a fee: whose it is; empty while unknown
	parents    []*checkoutv1.OrderMoney // of a fee: the capture
	orderKnown bool                     // whether checkoutsvc knows the order that the entries name
}

func newSubject(name, account string) *subject {
	kind, _, _ := strings.Cut(name, ":")
	if strings.HasPrefix(kind, "transfer") {
		account = "" // the platform's side is compared
	}
	return &subject{name: name, kind: kind, account: account}
}

// id is what stands behind the kind.
func (x *subject) id() string { return strings.TrimPrefix(x.name, x.kind+":") }

// examineAll looks at all suspects closely, and at those that are young once more a little later: what they lack may
// be on its way.
func (r *reconciliation) examineAll(ctx context.Context) error {
	young := map[string]string{} // account by subject
	err := r.examineEach(ctx, func(x *subject) error {
		v := x.judge()
		if v.difference != nil && r.clock.Now().Sub(x.newest()) < r.config.Reconcile.Settle {
			young[x.name] = x.account
			return nil
		}
		return r.record(ctx, x, v)
	})
	if err != nil || len(young) == 0 {
		return err
	}
	if !sleep(ctx, r.config.Reconcile.SecondLook) {
		return ctx.Err()
	}
	var batch []ledgerdb.SuspectsAfterRow
	for _, name := range sortedKeys(young) {
		batch = append(batch, ledgerdb.SuspectsAfterRow{Subject: name, StripeAccount: young[name]})
	}
	for part := range slices.Chunk(batch, suspectBatch) {
		if err := r.examine(ctx, part, func(x *subject) error { return r.record(ctx, x, x.judge()) }); err != nil {
			return err
		}
	}
	return nil
}

// examineEach gives f each suspect with all that is said of it.
func (r *reconciliation) examineEach(ctx context.Context, f func(*subject) error) error {
	after := ""
	for seen := 0; ; seen += suspectBatch {
		batch, err := r.q.SuspectsAfter(ctx, r.pool, r.run.ID, after, suspectBatch)
		if err != nil {
			return fmt.Errorf("list suspects: %w", err)
		}
		if len(batch) == 0 {
			return nil
		}
		if seen >= suspectsMax {
			r.result.Truncated = true
			return nil
		}
		after = batch[len(batch)-1].Subject
		if err := r.examine(ctx, batch, f); err != nil {
			return err
		}
	}
}

// examine asks all sides about some subjects.
func (r *reconciliation) examine(ctx context.Context, batch []ledgerdb.SuspectsAfterRow, f func(*subject) error) error {
	subjects, err := r.resolve(ctx, batch)
	if err != nil {
		return err
	}
	for _, x := range subjects {
		if x.stripe, err = r.stripe.find(ctx, x.account, x.name); err != nil {
			return fmt.Errorf("look up %s at stripe: %w", x.name, err)
		}
		if err := r.findIntent(ctx, x); err != nil {
			return err
		}
	}
	if err := r.findEntries(ctx, subjects); err != nil {
		return err
	}
	if err := r.findLines(ctx, subjects); err != nil {
		return err
	}
	for _, x := range subjects {
		if err := f(x); err != nil {
			return err
		}
	}
	return nil
}

// resolve gives suspects the names under which differences are kept, each once: an entry that undoes another belongs to
// that one, a charge to its intent, a conversion to what was converted.
func (r *reconciliation) resolve(ctx context.Context, batch []ledgerdb.SuspectsAfterRow) ([]*subject, error) {
	var subjects []*subject
	for _, row := range batch {
		x := newSubject(subjectOf(row.Subject), row.StripeAccount)
		charge := ""
		switch x.kind {
		case "charge":
			charge = x.id()
		case "fx":
			t, err := r.stripe.transaction(ctx, x.account, x.id())
			if err != nil {
				return nil, fmt.Errorf("look up %s: %w", x.name, err)
			}
			if t != nil {
				if moves := movesOf(t, x.account); len(moves) > 0 {
					x, charge = newSubject(moves[0].subject, x.account), moves[0].charge
				}
			}
		}
		if charge != "" {
			x = newSubject("charge:"+charge, x.account)
			ch, err := r.stripe.charge(ctx, x.account, charge)
			if err != nil {
				return nil, fmt.Errorf("look up %s: %w", x.name, err)
			}
			if ch != nil && ch.PaymentIntent != nil && ch.PaymentIntent.ID != "" {
				x = newSubject(journal.CaptureReference(ch.PaymentIntent.ID), x.account)
			}
		}
		if !slices.ContainsFunc(subjects, func(other *subject) bool { return other.name == x.name }) {
			subjects = append(subjects, x)
		}
	}
	return subjects, nil
}

// findIntent finds out whose a fee is.
func (r *reconciliation) findIntent(ctx context.Context, x *subject) error {
	if x.kind != "fee" || len(x.stripe.moves) == 0 || !isCharge(x.stripe.moves[0].source) {
		return nil
	}
	charge, err := r.stripe.charge(ctx, x.account, x.stripe.moves[0].source)
	if err != nil {
		return fmt.Errorf("look up the charge of %s: %w", x.name, err)
	}
	if charge != nil && charge.PaymentIntent != nil {
		x.intent = charge.PaymentIntent.ID
	}
	return nil
}

func isCharge(id string) bool { return strings.HasPrefix(id, "ch_") || strings.HasPrefix(id, "py_") }

// references are the entries that a subject may consist of.
func (x *subject) references() []string {
	references := referencesOf(x.name)
	for _, m := range x.stripe.moves {
		if x.kind != "fee" {
			references = append(references, "fx:"+m.txn)
		}
	}
	return references
}

func (r *reconciliation) findEntries(ctx context.Context, subjects []*subject) error {
	var references []string
	for _, x := range subjects {
		references = append(references, x.references()...)
	}
	entries := map[string]journal.Entry{}
	err := r.ledger.list(ctx, withReferences(references), func(page []journal.Entry) error {
		for _, e := range page {
			entries[e.Reference] = e
		}
		return nil
	})
	if err != nil {
		return err
	}
	copies, err := r.copiesOf(ctx, references)
	if err != nil {
		return err
	}
	for _, x := range subjects {
		x.copies = map[string]journal.Entry{}
		for _, reference := range x.references() {
			if e, ok := entries[reference]; ok {
				x.entries = append(x.entries, e)
			}
			if c, ok := copies[reference]; ok {
				x.copies[reference] = c
			}
		}
	}
	return nil
}

func (r *reconciliation) findLines(ctx context.Context, subjects []*subject) error {
	req := &checkoutv1.ListOrderMoneyRequest{}
	for _, x := range subjects {
		if id := x.id(); id != "" && len(id) <= 255 {
			req.Ids = append(req.Ids, id)
		}
		if x.intent != "" {
			req.Ids = append(req.Ids, x.intent)
		}
		if id := x.orderID(); id != "" {
			req.OrderIds = append(req.OrderIds, id)
		}
	}
	odd := func(id string) bool { return !plainID.MatchString(id) }
	req.Ids, req.OrderIds = slices.DeleteFunc(req.Ids, odd), slices.DeleteFunc(req.OrderIds, odd)
	if len(req.Ids) == 0 && len(req.OrderIds) == 0 {
		return nil
	}
	res, err := r.orders.ListOrderMoney(ctx, req)
	if err != nil {
		return fmt.Errorf("look up orders: %w", err)
	}
	for _, x := range subjects {
		for _, line := range res.GetLines() {
			name, _, ok := lineMove(line)
			switch {
			case ok && name == x.name:
				x.lines = append(x.lines, line)
			case ok && x.intent != "" && name == journal.CaptureReference(x.intent):
				x.parents = append(x.parents, line)
			}
		}
		x.orderKnown = slices.Contains(res.GetKnownOrderIds(), x.orderID())
	}
	return nil
}

// plainID is what an id of Stripe's or of ours looks like.
var plainID = regexp.MustCompile(`^[A-Za-z0-9_]{1,255}$`)

// lineMove says under which name a line of an order is compared, and what it means for the money of orders.
func lineMove(line *checkoutv1.OrderMoney) (name string, m ledgerMove, ok bool) {
	m = ledgerMove{
		account: line.GetStripeAccount(), amount: line.GetAmount().GetMinorUnits(),
		asset: money.Money{Currency: line.GetAmount().GetCurrency()}.FormanceAsset(),
	}
	switch line.GetKind() {
	case checkoutv1.OrderMoneyKind_ORDER_MONEY_KIND_CAPTURE:
		return journal.CaptureReference(line.GetId()), m, true
	case checkoutv1.OrderMoneyKind_ORDER_MONEY_KIND_REFUND:
		m.amount = -m.amount
		undone := line.GetRefundState() == checkoutv1.RefundState_REFUND_STATE_FAILED || line.GetRefundState() == checkoutv1.RefundState_REFUND_STATE_CANCELED
		if undone {
			m.amount = 0
		}
		if !line.GetRefundAtStripe() {
			return "refund-request:" + line.GetId(), m, !undone
		}
		return journal.RefundReference(line.GetId()), m, true
	case checkoutv1.OrderMoneyKind_ORDER_MONEY_KIND_DISPUTE_FUNDS:
		if m.amount > 0 {
			return journal.ReinstatementPrefix + line.GetId(), m, true
		}
		return journal.WithdrawalPrefix + line.GetId(), m, true
	case checkoutv1.OrderMoneyKind_ORDER_MONEY_KIND_DISPUTE_LOSS:
		return journal.LossReference(line.GetId()), m, true
	case checkoutv1.OrderMoneyKind_ORDER_MONEY_KIND_UNSPECIFIED:
	}
	return "", m, false
}

// newest is when the latest thing happened that is said of the subject.
func (x *subject) newest() time.Time {
	var newest time.Time
	see := func(t time.Time) {
		if t.After(newest) {
			newest = t
		}
	}
	for _, line := range x.lines {
		see(line.GetTime().AsTime())
	}
	for _, e := range x.entries {
		see(e.PostTime)
	}
	for _, m := range x.stripe.moves {
		see(m.time)
	}
	return newest
}

func (x *subject) orderID() string {
	for _, line := range slices.Concat(x.lines, x.parents) {
		return line.GetOrderId()
	}
	for _, e := range x.entries {
		if id := orderIDOf(e); id != "" {
			return id
		}
	}
	for _, c := range x.copies {
		return c.Facts.OrderID
	}
	return ""
}
