package faults

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/e2e/e2etest"
)

// TestRetryAfterIsHonoured has the ledger say 429 and when to come back, and checks when it is asked again.
func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	const wait, hits = 2 * time.Second, 5
	m := e2etest.NewCluster(t, 2, nil)
	system := client.NewClient(m.File)
	cart := e2etest.Start(t, system, e2etest.NewVariant(t, system, 4450, 10), 1)
	err := m.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.TooMany, Rate: 1, Match: "POST ", RetryAfterSeconds: int(wait / time.Second), Count: hits})
	if err != nil {
		t.Fatal(err)
	}
	if err := system.Pay(e2etest.Within(t, time.Minute), cart, client.ViaWebhook); err != nil {
		t.Fatal(err)
	}
	e2etest.Await(t, system, cart.OrderID, "completed", e2etest.Completed)
	times := m.Sandbox.Faults.List()[fault.Ledger].HitTimes
	if len(times) != hits {
		t.Errorf("the ledger was asked %d times, want %d", len(times), hits)
	}
	for i := 1; i < len(times); i++ {
		if gap := times[i].Sub(times[i-1]); gap < wait {
			t.Errorf("asked again after %v, want at least %v", gap, wait)
		}
	}
	e2etest.AssertOneSale(t, e2etest.Order(t, system, cart.OrderID), 1)
}

// keepWaitsSQL has the database keep how long each failed fulfilment attempt decides to wait.
const keepWaitsSQL = `
	create table public.test_waits (number bigint generated always as identity, order_id text, attempt integer, seconds float8, error text);
	create function public.test_keep_wait() returns trigger language plpgsql as $$
	begin
		insert into public.test_waits (order_id, attempt, seconds, error)
		values (new.id, new.attempt, extract(epoch from new.next_attempt_time - now()), new.last_error);
		return null;
	end $$;
	create trigger test_keep_wait after update of last_error on public.orders
		for each row when (new.fulfilment in ('in_progress', 'ledger_blocked')) execute function public.test_keep_wait()`

// TestAttemptsBackOff takes the ledger away and checks how long each attempt waits: longer and longer up to a limit, and no
// two orders alike, so that they do not come back together.
func TestAttemptsBackOff(t *testing.T) {
	t.Parallel()
	const attempts, shortest, longest = 4, time.Second, 6 * time.Second
	m := e2etest.NewCluster(t, 2, map[string]string{"DAYOF_CHECKOUT_BACKOFF_MIN": shortest.String(), "DAYOF_CHECKOUT_BACKOFF_MAX": longest.String()})
	system := client.NewClient(m.File)
	conn := e2etest.Connect(t, m, "checkout")
	ctx := e2etest.Within(t, 3*time.Minute)
	if _, err := conn.Exec(ctx, keepWaitsSQL); err != nil {
		t.Fatal(err)
	}
	if err := m.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.Refuse, Rate: 1}); err != nil {
		t.Fatal(err)
	}
	variant := e2etest.NewVariant(t, system, 4450, 10)
	var carts []client.Cart
	for range 3 {
		carts = append(carts, e2etest.Start(t, system, variant, 1))
	}
	for _, cart := range carts {
		if err := system.Pay(ctx, cart, client.ViaWebhook); err != nil {
			t.Fatal(err)
		}
	}
	for enough := false; !enough; {
		if err := conn.QueryRow(ctx, `select count(distinct order_id) = 3 from test_waits where attempt >= $1`, attempts).Scan(&enough); err != nil {
			t.Fatal(err)
		}
		e2etest.Pause(ctx)
	}
	m.Sandbox.Faults.Clear(fault.Ledger)
	rows, err := conn.Query(ctx, `select attempt, seconds from test_waits where error <> '' and attempt <= $1 order by number`, attempts)
	if err != nil {
		t.Fatal(err)
	}
	different := map[float64]bool{}
	var attempt int
	var seconds float64
	_, err = pgx.ForEachRow(rows, []any{&attempt, &seconds}, func() error {
		t.Logf("attempt %d waits for %.3f s", attempt, seconds)
		different[seconds] = true
		waited := time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
		if most := shortest + min(longest, shortest<<attempt); waited < shortest || waited > most {
			t.Errorf("attempt %d waits for %v, not between %v and %v", attempt, waited, shortest, most)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(different) < 3*attempts/2 {
		t.Errorf("%d waits of %d differ: they have no jitter", len(different), 3*attempts)
	}
	for _, cart := range carts {
		e2etest.Await(t, system, cart.OrderID, "completed", e2etest.Completed)
	}
}
