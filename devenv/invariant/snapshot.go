package invariant

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/server"
)

// snapshot is what was read of the whole system, effects before causes: tickets and orders first, then the ledger, then
// Stripe, and what is still to do last.
type snapshot struct {
	pools   map[string]*pgxpool.Pool
	orders  map[string]order
	intents []intent
	refunds []refund
	tickets []ticket
	ledger  books
	copies  map[string]int64 // ledgersvc's own copy: number at the ledger by reference
	// freeSales are the sales that moved nothing, by order: ledgersvc alone has them.
	freeSales map[string]freeSale
	stripe    stripeState
	// sendsMail reports whether there is a mail server.
	sendsMail bool
	// away says which of the ledger and Stripe do not answer, in sentences; none mostly.
	away []string
	// pending is what somebody or something has yet to deal with.
	pending pending
}

type order struct {
	id, organizer, currency, payment, fulfilment, payingIntent string
	total, fee                                                 int64
	taxes                                                      taxShares
}

// taxShares are what an order or a refund says of its taxes.
type taxShares []struct {
	Country    string `json:"country"`
	Kind       string `json:"kind"`
	MinorUnits int64  `json:"minor_units"`
}

func (o order) inFulfilment() bool {
	return o.fulfilment == "in_progress" || o.fulfilment == "ledger_blocked"
}

type intent struct {
	id, orderID, stripeID, account, currency, txn string
	captured                                      int64
	duplicate                                     bool
}

type refund struct {
	id, orderID, intentID, stripeID, state, currency string
	amount, fee                                      int64
	taxes                                            taxShares
}

type freeSale struct{ organizer, currency string }

type ticket struct{ id, orderID, state, passSerial string }

// refundedOf sums what goes back of an intent's money.
func (s *snapshot) refundedOf(intentID string) int64 {
	var sum int64
	for _, r := range s.refunds {
		if r.intentID == intentID && r.state != "failed" && r.state != "canceled" {
			sum += r.amount
		}
	}
	return sum
}

// takeSnapshot reads everything. Connections refuse to write.
func takeSnapshot(ctx context.Context, f client.File) (*snapshot, error) {
	s := &snapshot{pools: map[string]*pgxpool.Pool{}, sendsMail: f.Sandbox.MailLogURL != ""}
	if err := s.read(ctx, f); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *snapshot) read(ctx context.Context, f client.File) error {
	for _, service := range server.Services() {
		pool, err := openReadOnly(ctx, f.DatabaseURLs[service])
		if err != nil {
			return fmt.Errorf("database of %s: %w", service, err)
		}
		s.pools[service] = pool
	}
	var err error
	if s.copies, err = readCopies(ctx, s.pools["ledger"]); err != nil {
		return err
	}
	if err := s.readCheckout(ctx); err != nil {
		return err
	}
	if s.freeSales, err = readFreeSales(ctx, s.pools["ledger"]); err != nil {
		return err
	}
	if s.ledger, err = readLedger(ctx, f.Sandbox.LedgerAPI()); err != nil {
		s.away = append(s.away, fmt.Sprintf("the ledger at %s does not answer: %v", f.Sandbox.FormanceURL, err))
	}
	if s.stripe, err = readStripe(ctx, f); err != nil {
		s.away = append(s.away, fmt.Sprintf("Stripe at %s does not answer: %v", f.Sandbox.StripeURL, err))
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.pending, err = readPending(ctx, s.pools)
	return err
}

func (s *snapshot) close() {
	for _, pool := range s.pools {
		pool.Close()
	}
}

func openReadOnly(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 2
	config.ConnConfig.RuntimeParams["application_name"] = "dayof check"
	config.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	return pgxpool.NewWithConfig(ctx, config)
}

// readCheckout reads orders after what they caused elsewhere is known only to them: tickets, then the rest, in one
// transaction, so that they fit together.
func (s *snapshot) readCheckout(ctx context.Context) error {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, s.pools["checkout"], options, func(tx pgx.Tx) error {
		s.orders = map[string]order{}
		var o order
		err := each(ctx, tx, `select id, organizer_id, currency, payment, fulfilment, coalesce(paying_intent, ''), total_minor_units,
				application_fee_minor_units, taxes from orders`,
			[]any{&o.id, &o.organizer, &o.currency, &o.payment, &o.fulfilment, &o.payingIntent, &o.total, &o.fee, &o.taxes},
			func() { s.orders[o.id], o.taxes = o, nil })
		if err != nil {
			return err
		}
		var p intent
		err = each(ctx, tx, `select id, order_id, coalesce(stripe_id, ''), stripe_account, currency, balance_transaction_id,
				captured_minor_units, duplicate from payment_intents`,
			[]any{&p.id, &p.orderID, &p.stripeID, &p.account, &p.currency, &p.txn, &p.captured, &p.duplicate},
			func() { s.intents = append(s.intents, p) })
		if err != nil {
			return err
		}
		var r refund
		err = each(ctx, tx, `select id, order_id, payment_intent, coalesce(stripe_refund_id, ''), state, currency, amount_minor_units,
				application_fee_minor_units, taxes from refunds`,
			[]any{&r.id, &r.orderID, &r.intentID, &r.stripeID, &r.state, &r.currency, &r.amount, &r.fee, &r.taxes},
			func() { s.refunds, r.taxes = append(s.refunds, r), nil })
		if err != nil {
			return err
		}
		var t ticket
		return each(ctx, tx, `select id, order_id, state, pass_serial from tickets`,
			[]any{&t.id, &t.orderID, &t.state, &t.passSerial}, func() { s.tickets = append(s.tickets, t) })
	})
}

func readCopies(ctx context.Context, pool *pgxpool.Pool) (map[string]int64, error) {
	copies := map[string]int64{}
	var reference string
	var number int64
	err := each(ctx, pool, `select reference, ledger_transaction_id from entries`, []any{&reference, &number},
		func() { copies[reference] = number })
	return copies, err
}

func readFreeSales(ctx context.Context, pool *pgxpool.Pool) (map[string]freeSale, error) {
	sales := map[string]freeSale{}
	var orderID string
	var sale freeSale
	err := each(ctx, pool, `select order_id, organizer_id, currency from free_sales`, []any{&orderID, &sale.organizer, &sale.currency},
		func() { sales[orderID] = sale })
	return sales, err
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// each runs f for every row of a query, scanned into dest.
func each(ctx context.Context, on querier, sql string, dest []any, f func()) error {
	rows, err := on.Query(ctx, sql)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, dest, func() error {
		f()
		return nil
	})
	return err
}

// pending are the texts of all jobs that are not done, of open dead letters, of open alerts and of open review cases.
type pending []string

// mentions reports whether any of them names one of the ids.
func (p pending) mentions(ids ...string) bool {
	for _, text := range p {
		for _, id := range ids {
			if id != "" && strings.Contains(text, id) {
				return true
			}
		}
	}
	return false
}

func readPending(ctx context.Context, pools map[string]*pgxpool.Pool) (pending, error) {
	var out pending
	var text string
	add := func() { out = append(out, text) }
	for service, pool := range pools {
		open, err := jobs.ListOpen(ctx, pool)
		if err != nil {
			return nil, fmt.Errorf("read what is to do at %s: %w", service, err)
		}
		for _, j := range open {
			out = append(out, j.Kind+" "+string(j.Args))
		}
		err = each(ctx, pool, `
			select kind || ' ' || args::text from dead_letters where retried_time is null and dismissed_time is null
			union all select kind || ' ' || subject || ' ' || facts::text from alerts where resolved_time is null`, []any{&text}, add)
		if err != nil {
			return nil, fmt.Errorf("read what is to do at %s: %w", service, err)
		}
	}
	err := each(ctx, pools["checkout"], `
		select concat_ws(' ', kind, subject, order_id, payment_intent, facts::text) from review_cases where resolve_time is null`,
		[]any{&text}, add)
	return out, err
}
