package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
)

// seed makes up the sales of a day, each a function of its number.
type seed struct {
	orders int
	day    time.Time
}

// organizers is how many sell on the day.
const organizers = 50

// Shares of a sale, in minor units.
const (
	share = 250
	vat   = 320
)

func orderID(i int) string   { return fmt.Sprintf("bench%016d", i) }
func intentID(i int) string  { return fmt.Sprintf("pi_bench%08d", i) }
func txnID(i int) string     { return fmt.Sprintf("txn_bench%08d", i) }
func chargeID(i int) string  { return fmt.Sprintf("ch_bench%08d", i) }
func organizer(i int) string { return fmt.Sprintf("benchOrganizer%06d", i%organizers) }
func gross(i int) int64      { return 4900 + int64(i%100)*50 }
func stripeFee(i int) int64  { return 25 + gross(i)*15/1000 }

// at is when a sale was paid: spread over the day, to the microsecond.
func (s seed) at(i int) time.Time {
	return s.day.Add(time.Duration(i) * (24 * time.Hour / time.Duration(s.orders))).Truncate(time.Microsecond)
}

// writeStripe writes balance transactions as the sandbox keeps them.
func (s seed) writeStripe(path string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriterSize(file, 1<<20)
	encoder := json.NewEncoder(out)
	for i := range s.orders {
		created := s.at(i).Unix()
		if err := encoder.Encode(map[string]any{"changes": []any{map[string]any{"born": i + 1, "seq": i + 1, "object": map[string]any{
			"id": txnID(i), "object": "balance_transaction", "amount": gross(i), "fee": stripeFee(i), "net": gross(i) - stripeFee(i),
			"currency": "eur", "created": created, "available_on": created, "status": "available", "type": "charge",
			"reporting_category": "charge", "source": chargeID(i), "fee_details": []any{},
		}}}}); err != nil {
			return err
		}
	}
	return out.Flush()
}

// write fills the databases of checkoutsvc, of ledgersvc and of the sandbox ledger.
func (s seed) write(ctx context.Context, f client.File) error {
	for _, part := range []struct {
		database string
		write    func(ctx context.Context, conn *pgx.Conn) error
	}{{"checkout", s.writeOrders}, {"ledger", s.writeCopies}, {"sandbox_ledger", s.writeLedger}} {
		if err := withDatabase(ctx, f, part.database, part.write); err != nil {
			return fmt.Errorf("write %s: %w", part.database, err)
		}
	}
	return nil
}

// withDatabase opens the database of a service, or of the sandbox ledger.
func withDatabase(ctx context.Context, f client.File, name string, do func(ctx context.Context, conn *pgx.Conn) error) (err error) {
	u, err := url.Parse(f.DatabaseURLs["checkout"])
	if err != nil {
		return err
	}
	u.Path = strings.TrimSuffix(u.Path, "_checkout") + "_" + name
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	// The rows are whole; triggers and references would only take time.
	if _, err := conn.Exec(ctx, `set session_replication_role = replica`); err != nil {
		return err
	}
	return do(ctx, conn)
}

// copyRows copies count rows into a table.
func copyRows(ctx context.Context, conn *pgx.Conn, table string, columns []string, count int, row func(i int) []any) error {
	_, err := conn.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromSlice(count, func(i int) ([]any, error) { return row(i), nil }))
	if err == nil {
		_, err = conn.Exec(ctx, "analyze "+pgx.Identifier{table}.Sanitize())
	}
	return err
}

func (s seed) writeOrders(ctx context.Context, conn *pgx.Conn) error {
	err := copyRows(ctx, conn, "orders", []string{
		"id", "organizer_id", "event_id", "buyer_name", "buyer_email", "language", "currency", "total_minor_units",
		"application_fee_minor_units", "taxes", "payment", "fulfilment", "paying_intent", "capture_time", "create_time", "complete_time",
	}, s.orders, func(i int) []any {
		return []any{
			orderID(i), organizer(i), "bench", "Ada", "ada@example.org", "en", "EUR", gross(i), int64(share), []byte(`[]`), "paid", "completed",
			intentID(i), s.at(i), s.at(i), s.at(i),
		}
	})
	if err != nil {
		return err
	}
	return copyRows(ctx, conn, "payment_intents", []string{
		"id", "order_id", "number", "stripe_account", "stripe_id", "currency", "amount_minor_units", "status", "status_time",
		"captured_minor_units", "succeeded", "charge_id", "balance_transaction_id", "create_time",
	}, s.orders, func(i int) []any {
		return []any{
			"row" + orderID(i), orderID(i), int32(1), "", intentID(i), "EUR", gross(i), "succeeded", s.at(i), gross(i), true, chargeID(i),
			txnID(i), s.at(i),
		}
	})
}

// posting is a line of an entry as the ledger keeps it.
type posting struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Asset       string `json:"asset"`
	Amount      int64  `json:"amount"`
}

// entry is entry n of the day: the sale of order n/2, or its fee.
func (s seed) entry(n int) (reference, kind string, postings []posting) {
	i := n / 2
	clearing := fmt.Sprintf("stripe:platform:main:%02d", i%16)
	if n%2 == 1 {
		return "fee:" + txnID(i), "stripe_fee", []posting{{"platform:costs:stripe_fees", clearing, "EUR/2", stripeFee(i)}}
	}
	payment := "orders:" + orderID(i) + ":payment"
	return "capture:" + intentID(i), "sale", []posting{
		{clearing, payment, "EUR/2", gross(i)},
		{payment, "organizers:" + organizer(i) + ":payable", "EUR/2", gross(i) - share - vat},
		{payment, fmt.Sprintf("platform:revenue:application_fees:%02d", i%16), "EUR/2", share},
		{payment, "taxes:de:vat", "EUR/2", vat},
	}
}

// firstNumber is the ledger's number of the first entry, beyond those of its own.
const firstNumber = 1_000_000

func (s seed) writeCopies(ctx context.Context, conn *pgx.Conn) error {
	err := copyRows(ctx, conn, "entries", []string{
		"ledger_transaction_id", "reference", "kind", "order_id", "organizer_id", "payment_intent_id", "stripe_account", "dispute_id",
		"fingerprint", "effective_time", "post_time",
	}, 2*s.orders, func(n int) []any {
		reference, kind, _ := s.entry(n)
		return []any{
			int64(firstNumber + n), reference, kind, orderID(n / 2), organizer(n / 2), intentID(n / 2), "", "", []byte{}, s.at(n / 2), s.at(n / 2),
		}
	})
	if err != nil {
		return err
	}
	// Five lines an order: four of the sale, one of the fee.
	return copyRows(ctx, conn, "postings", []string{"ledger_transaction_id", "position", "source", "destination", "asset", "amount"},
		5*s.orders, func(line int) []any {
			n, position := line/5*2, line%5
			if position == 4 {
				n, position = n+1, 0
			}
			_, _, postings := s.entry(n)
			p := postings[position]
			return []any{int64(firstNumber + n), int16(position), p.Source, p.Destination, p.Asset, p.Amount}
		})
}

func (s seed) writeLedger(ctx context.Context, conn *pgx.Conn) error {
	var ledgerID int32
	if err := conn.QueryRow(ctx, `select id from ledgers where name = 'dayof'`).Scan(&ledgerID); err != nil {
		return fmt.Errorf("find the ledger: %w", err)
	}
	return copyRows(ctx, conn, "transactions", []string{
		"ledger_id", "id", "timestamp", "reference", "postings", "metadata", "post_commit_volumes", "inserted_at", "updated_at",
	}, 2*s.orders, func(n int) []any {
		i := n / 2
		reference, kind, postings := s.entry(n)
		lines, err := json.Marshal(postings)
		if err != nil {
			panic("a posting cannot be written: " + err.Error())
		}
		metadata := fmt.Appendf(nil, `{"kind":%q,"order_id":%q,"organizer_id":%q,"payment_intent_id":%q}`, kind, orderID(i), organizer(i), intentID(i))
		return []any{ledgerID, int64(firstNumber + n), s.at(i), reference, lines, metadata, []byte(`{}`), s.at(i), s.at(i)}
	})
}

// removePostings takes sales out of the ledger, evenly over the day.
func (s seed) removePostings(ctx context.Context, f client.File, count int) error {
	return withDatabase(ctx, f, "sandbox_ledger", func(ctx context.Context, conn *pgx.Conn) error {
		var references []string
		for k := range count {
			references = append(references, "capture:"+intentID(k*(s.orders/count)))
		}
		tag, err := conn.Exec(ctx, `delete from transactions where reference = any ($1)`, references)
		if err == nil && tag.RowsAffected() != int64(count) {
			err = fmt.Errorf("%d of %d were removed", tag.RowsAffected(), count)
		}
		return err
	})
}
