package reconcile

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// classifyAll classifies all unmatched items, and those that are young and do not match once more a little later: what
// they lack may be on its way.
func (r *reconciliation) classifyAll(ctx context.Context) error {
	young := map[string]string{} // account by subject
	err := r.fetchAll(ctx, func(x *item) error {
		o := x.classify()
		if o.difference != nil && r.clock.Now().Sub(x.newest()) < r.config.Settle {
			young[x.subject] = x.account
			return nil
		}
		return r.save(ctx, x, o)
	})
	if err != nil || len(young) == 0 {
		return err
	}
	select {
	case <-time.After(r.config.RecheckDelay):
	case <-ctx.Done():
		return ctx.Err()
	}
	var rows []ledgerdb.UnmatchedItemsAfterRow
	for _, subject := range slices.Sorted(maps.Keys(young)) {
		rows = append(rows, ledgerdb.UnmatchedItemsAfterRow{Subject: subject, StripeAccount: young[subject]})
	}
	for batch := range slices.Chunk(rows, itemBatch) {
		if err := r.fetch(ctx, batch, func(x *item) error { return r.save(ctx, x, x.classify()) }); err != nil {
			return err
		}
	}
	return nil
}

// fetchAll gives f each unmatched item with all that the sources have of it.
func (r *reconciliation) fetchAll(ctx context.Context, f func(*item) error) error {
	after := ""
	for fetched := 0; ; fetched += itemBatch {
		batch, err := r.q.UnmatchedItemsAfter(ctx, r.pool, r.run.ID, after, itemBatch)
		if err != nil {
			return fmt.Errorf("list unmatched items: %w", err)
		}
		if len(batch) == 0 {
			return nil
		}
		if fetched >= unmatchedItemsMax {
			r.result.Truncated = true
			return nil
		}
		after = batch[len(batch)-1].Subject
		if err := r.fetch(ctx, batch, f); err != nil {
			return err
		}
	}
}

// fetch gives f some items with all that the sources have of them, each once. When they cannot be fetched together, each is
// fetched alone, and what fails alone is left unread.
func (r *reconciliation) fetch(ctx context.Context, batch []ledgerdb.UnmatchedItemsAfterRow, f func(*item) error) error {
	items, err := r.fetchItems(ctx, batch)
	if err != nil && !isOfItem(err) {
		return err
	}
	if err == nil {
		return r.each(ctx, items, f)
	}
	done := map[string]bool{}
	for _, row := range batch {
		items, err := r.fetchItems(ctx, []ledgerdb.UnmatchedItemsAfterRow{row})
		if isOfItem(err) {
			r.leaveUnread(ctx, row.Subject, row.StripeAccount, err)
			continue
		}
		if err != nil {
			return err
		}
		items = slices.DeleteFunc(items, func(x *item) bool { return done[x.subject] })
		for _, x := range items {
			done[x.subject] = true
		}
		if err := r.each(ctx, items, f); err != nil {
			return err
		}
	}
	return nil
}

// each gives f each item, and leaves those unread at which it fails.
func (r *reconciliation) each(ctx context.Context, items []*item, f func(*item) error) error {
	for _, x := range items {
		err := f(x)
		if isOfItem(err) {
			r.leaveUnread(ctx, x.subject, x.account, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// fetchItems asks all sources about some items.
func (r *reconciliation) fetchItems(ctx context.Context, batch []ledgerdb.UnmatchedItemsAfterRow) ([]*item, error) {
	items, err := r.resolve(ctx, batch)
	if err != nil {
		return nil, err
	}
	for _, x := range items {
		if x.stripe, err = r.stripe.fetch(ctx, x.account, x.subject); err != nil {
			return nil, fmt.Errorf("fetch %s from stripe: %w", x.subject, err)
		}
		if err := r.fetchIntent(ctx, x); err != nil {
			return nil, err
		}
	}
	if err := r.fetchEntries(ctx, items); err != nil {
		return nil, err
	}
	if err := r.fetchLines(ctx, items); err != nil {
		return nil, err
	}
	for _, x := range items {
		if err := r.fetchOwner(ctx, x); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// resolve gives unmatched items the subjects under which differences are kept, each once: an entry that undoes another belongs to
// that one, a charge to its intent, a conversion to what was converted.
func (r *reconciliation) resolve(ctx context.Context, batch []ledgerdb.UnmatchedItemsAfterRow) ([]*item, error) {
	var items []*item
	for _, row := range batch {
		x := newItem(subjectOf(row.Subject), row.StripeAccount)
		charge := ""
		switch x.kind {
		case "charge":
			charge = x.id()
		case "fx":
			t, err := r.stripe.transaction(ctx, x.account, x.id())
			if err != nil {
				return nil, fmt.Errorf("fetch %s: %w", x.subject, err)
			}
			if t != nil {
				if moves := movesOf(t, x.account); len(moves) > 0 {
					x, charge = newItem(moves[0].subject, x.account), moves[0].charge
				}
			}
		}
		if charge != "" {
			x = newItem("charge:"+charge, x.account)
			ch, err := r.stripe.charge(ctx, x.account, charge)
			if err != nil {
				return nil, fmt.Errorf("fetch %s: %w", x.subject, err)
			}
			if ch != nil && ch.PaymentIntent != nil && ch.PaymentIntent.ID != "" {
				x = newItem(journal.CaptureReference(ch.PaymentIntent.ID), x.account)
			}
		}
		i := slices.IndexFunc(items, func(other *item) bool { return other.subject == x.subject })
		if i < 0 {
			i, items = len(items), append(items, x)
		}
		items[i].found = append(items[i].found, row.Subject)
	}
	return items, nil
}

// fetchIntent finds out which payment intent a fee is of.
func (r *reconciliation) fetchIntent(ctx context.Context, x *item) error {
	if x.kind != "fee" || len(x.stripe.moves) == 0 || !isCharge(x.stripe.moves[0].source) {
		return nil
	}
	charge, err := r.stripe.charge(ctx, x.account, x.stripe.moves[0].source)
	if err != nil {
		return fmt.Errorf("fetch the charge of %s: %w", x.subject, err)
	}
	if charge != nil && charge.PaymentIntent != nil {
		x.intent = charge.PaymentIntent.ID
	}
	return nil
}

// fetchOwner finds out whether what only Stripe knows belongs to a payment of others: all payments that we ask for name their
// order in their metadata.
func (r *reconciliation) fetchOwner(ctx context.Context, x *item) error {
	if len(x.lines)+len(x.parents)+len(x.entries)+len(x.copies) > 0 || len(x.stripe.moves) == 0 {
		return nil
	}
	charge, err := r.stripe.chargeOf(ctx, x.account, x.stripe.moves[0].source)
	if err != nil {
		return fmt.Errorf("fetch whose %s is: %w", x.subject, err)
	}
	x.foreign = charge != nil && charge.Metadata["order_id"] == ""
	return nil
}

func (r *reconciliation) fetchEntries(ctx context.Context, items []*item) error {
	var references []string
	for _, x := range items {
		references = append(references, x.references()...)
	}
	entries := map[string]journal.Entry{}
	err := r.listEntries(ctx, withReferences(references), func(page []journal.Entry) error {
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
	for _, x := range items {
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

func (r *reconciliation) fetchLines(ctx context.Context, items []*item) error {
	req := &checkoutv1.ListOrderMoneyRequest{}
	for _, x := range items {
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
		return fmt.Errorf("fetch orders: %w", err)
	}
	for _, x := range items {
		for _, line := range res.GetLines() {
			name, _, ok := lineMove(line)
			switch {
			case ok && name == x.subject:
				x.lines = append(x.lines, line)
			case ok && x.intent != "" && name == journal.CaptureReference(x.intent):
				x.parents = append(x.parents, line)
			}
		}
		x.orderKnown = slices.Contains(res.GetKnownOrderIds(), x.orderID())
	}
	return nil
}

// plainID is the form of an id of Stripe's or of ours.
var plainID = regexp.MustCompile(`^[A-Za-z0-9_]{1,255}$`)
