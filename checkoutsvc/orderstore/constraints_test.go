package orderstore_test

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dayof/dayof/checkoutsvc"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/devenv/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// stateConstraints are the check constraints that list the states of a machine.
var stateConstraints = map[string]string{
	"payment": "order_payment_is_known", "fulfilment": "order_fulfilment_is_known", "hold": "hold_state_is_known",
	"ticket": "ticket_state_is_known", "payment intent": "payment_intent_status_is_known", "refund": "refund_state_is_known",
	"dispute": "dispute_status_is_known", "transfer": "ticket_transfer_state_is_known",
}

// The database knows the states that the rules know, and no others.
func TestDatabaseKnowsTheStates(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, checkoutsvc.Migrate)
	listed := func(constraint string) []string {
		var definition string
		if err := pool.QueryRow(t.Context(), "select pg_get_constraintdef(oid) from pg_constraint where conname = $1", constraint).Scan(&definition); err != nil {
			t.Fatalf("%s: %v", constraint, err)
		}
		states := map[string]bool{}
		for _, match := range regexp.MustCompile(`'(\w*)'`).FindAllStringSubmatch(definition, -1) {
			states[match[1]] = true
		}
		return slices.Sorted(maps.Keys(states))
	}
	for _, m := range order.Machines() {
		if got, want := listed(stateConstraints[m.Name]), m.States(); !slices.Equal(got, want) {
			t.Errorf("%s: the database lists %v, the rules %v", m.Name, got, want)
		}
	}
	reasons := []string{
		string(order.RefundByRequest), string(order.RefundDuplicatePayment), string(order.RefundLate), string(order.RefundGivenUp),
		string(order.RefundExternal), string(order.RefundFraud), string(order.RefundUnmatched),
	}
	slices.Sort(reasons)
	if got := listed("refund_reason_is_known"); !slices.Equal(got, reasons) {
		t.Errorf("refund reasons: the database lists %v, the rules %v", got, reasons)
	}
	mismatches := []string{
		string(order.MismatchNone), string(order.MismatchOwner), string(order.MismatchLivemode), string(order.MismatchCurrency),
		string(order.MismatchAmount),
	}
	slices.Sort(mismatches)
	if got := listed("payment_intent_mismatch_is_known"); !slices.Equal(got, mismatches) {
		t.Errorf("mismatches: the database lists %v, the rules %v", got, mismatches)
	}
	holds := []string{string(order.ReviewHoldNone), string(order.ReviewHoldOpen), string(order.ReviewHoldRefunded)}
	if got := listed("order_review_is_known"); !slices.Equal(got, holds) {
		t.Errorf("review holds: the database lists %v, the rules %v", got, holds)
	}
}

// The trigger on tickets allows exactly the transitions of the table.
func TestDatabaseKeepsTheTicketMachine(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, checkoutsvc.Migrate)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	_, err = conn.Exec(t.Context(), `
		create temp table lives (like tickets including defaults including constraints);
		create trigger ticket_state_moves_forward before update of state on lives for each row execute function ticket_state_machine()`)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(order.Machines(), func(m order.Machine) bool { return m.Name == "ticket" })
	tickets := order.Machines()[i]
	for _, from := range tickets.States() {
		for _, to := range tickets.States() {
			if _, err := conn.Exec(t.Context(), `insert into lives (id, order_id, position, event_id, variant_id, variant_version, code_key_version,
				create_time, snapshot_schema, snapshot, state, pass_serial, valid_time)
				values ($1, 'o', 1, 'e', 'v', 1, 1, now(), 1, '{}', $2, 'serial', now())`, from+"/"+to, from); err != nil {
				t.Fatal(err)
			}
			_, err := conn.Exec(t.Context(), `update lives set state = $2 where id = $1`, from+"/"+to, to)
			if allowed := err == nil; allowed != tickets.May(from, to) {
				t.Errorf("from %s to %s: the database allows it: %t, the rules: %t (%v)", from, to, allowed, tickets.May(from, to), err)
			}
		}
	}
}

// The database takes a ticket in the place of another one only where that is void, of the same order, and replaced by no other; and one
// pending transfer of a ticket.
func TestDatabaseKeepsReplacements(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, checkoutsvc.Migrate)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	const ticket = `insert into tickets (id, order_id, position, event_id, variant_id, variant_version, code_key_version, create_time, snapshot_schema,
		snapshot, state, pass_serial, valid_time, replaces) values ($1, $2, $3, 'e', 'v', 1, 1, now(), 1, '{}', $4, 'serial', now(), nullif($5, ''))`
	const transfer = `insert into ticket_transfers (id, order_id, ticket_id, state, recipient_name, recipient_email, recipient_language, create_time, expire_time, end_time)
		values ($1, 'o', 'live', $2::text, 'Bob', 'bob@example.com', 'en', now(), now(), case when $2::text <> 'pending' then now() end)`
	for i, c := range []struct {
		sql     string
		args    []any
		refused string // by this constraint; empty: it is taken
	}{
		{ticket, []any{"live", "o", 1, "valid", ""}, ""},
		{ticket, []any{"gone", "o", 2, "void", ""}, ""},
		{ticket, []any{"a", "o", 3, "reserved", "live"}, "ticket_replaces_a_void_one"},
		{ticket, []any{"b", "another", 1, "reserved", "gone"}, "ticket_replaces_a_void_one"},
		{ticket, []any{"c", "o", 3, "reserved", "nobody's"}, "ticket_replaces_a_void_one"},
		{ticket, []any{"d", "o", 3, "reserved", "gone"}, ""},
		{ticket, []any{"e", "o", 4, "reserved", "gone"}, "ticket_is_replaced_once"},
		{transfer, []any{"1", "pending"}, ""},
		{transfer, []any{"2", "pending"}, "ticket_transfer_pending_once"},
		{transfer, []any{"3", "declined"}, ""},
		{transfer, []any{"4", "accepted"}, ""},
		{transfer, []any{"5", "accepted"}, "ticket_transfer_accepted_once"},
	} {
		var got string
		err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			// The references to order, event and variant are not what this is about; the trigger is.
			if _, err := tx.Exec(t.Context(), `alter table tickets disable trigger user; alter table tickets enable trigger ticket_replaces_a_void_one;
				alter table tickets drop constraint if exists tickets_order_id_fkey; alter table ticket_transfers drop constraint if exists ticket_transfers_order_id_fkey`); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), c.sql, c.args...)
			return err
		})
		if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
			got = refused.ConstraintName
		} else if err != nil {
			t.Fatal(err)
		}
		if got != c.refused {
			t.Errorf("%d, %v: refused by %q, want %q (%v)", i, c.args, got, c.refused, err)
		}
	}
}
