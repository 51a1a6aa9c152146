package checkoutsvc_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/dayof/dayof/checkoutsvc"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// oneSweep has a replica sweep once, when it starts.
func oneSweep(c *checkoutsvc.Config) { c.SweepInterval = time.Hour }

// TestHoldsThatRunOutTogether has a thousand holds end at the same instant, of which one cannot be ended. One sweep frees the seats of
// all others, in few transactions.
func TestHoldsThatRunOutTogether(t *testing.T) {
	const holds, buyersAtOnce = 1000, 8
	w := newHarness(t, oneSweep)
	w.seller = w.sell(4500, holds)
	var wg sync.WaitGroup
	for buyer := range buyersAtOnce {
		wg.Go(func() {
			for i := buyer; i < holds; i += buyersAtOnce {
				if _, err := w.replicas[0].checkout.StartCheckout(w.keyed(fmt.Sprintf("together/%d", i)), w.cart(1)); err != nil {
					t.Errorf("start checkout: %v", err)
				}
			}
		})
	}
	wg.Wait()
	w.exec(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'this hold stays'; end $$`)
	w.exec(`update holds set expire_time = now() - interval '1 second'`)
	var bad string
	if err := w.pool.QueryRow(t.Context(), "select order_id from holds order by order_id limit 1 offset 500").Scan(&bad); err != nil {
		t.Fatal(err)
	}
	w.exec(fmt.Sprintf(`create trigger hold_stays before update on holds for each row when (new.order_id = '%s') execute function refuse()`, bad))

	w.addReplica(oneSweep)
	w.until("are the seats of all but one free", func() bool {
		return w.count("select sum(taken) from stock where variant_id = $1", w.variant.GetId()) == 1
	})
	for what, sql := range map[string]string{
		"holds have expired":          "select count(*) from holds where state = 'expired'",
		"orders are expired":          "select count(*) from orders where payment = 'expired'",
		"lines of timelines say so":   "select count(*) from timeline where step = 'hold_expired'",
		"intents are to be cancelled": "select count(*) from river_job where kind = 'cancel_intents'",
	} {
		if n := w.count(sql); n != holds-1 {
			t.Errorf("%d %s, want %d", n, what, holds-1)
		}
	}
	if state := w.order(bad).GetHoldState(); state.String() != "HOLD_STATE_ACTIVE" {
		t.Errorf("the hold that cannot be ended is %v", state)
	}
	// Five pages, and the one with the bad hold in up to eight parts.
	if n := w.count("select count(distinct xmin::text) from holds where state = 'expired'"); n > 5+8 {
		t.Errorf("the holds ended in %d transactions", n)
	}
}

// BenchmarkHoldsThatRunOut ends 10,000 holds of one variant, of as many orders, that run out together:
//
//	go test ./checkoutsvc -run '^$' -bench HoldsThatRunOut -benchtime 1x
func BenchmarkHoldsThatRunOut(b *testing.B) {
	const holds = 10_000
	w := newHarnessAlone(b, oneSweep)
	w.seller = w.sell(4500, holds)
	first := w.start("first", 1).GetOrder().GetId()
	for _, table := range []string{"orders", "order_lines", "holds", "payment_intents"} {
		key, ids := "order_id", `'order_id', 'copy' || i`
		switch table {
		case "orders":
			key, ids = "id", `'id', 'copy' || i`
		case "payment_intents":
			ids += `, 'id', 'intent' || i, 'stripe_id', 'pi_copy' || i`
		}
		w.exec(fmt.Sprintf(`insert into %[1]s select (jsonb_populate_record(r, jsonb_build_object(%[3]s))).*
			from %[1]s r, generate_series(2, %[4]d) i where r.%[2]s = '%[5]s'`, table, key, ids, holds, first))
	}
	// A hundred were made in each second, and Stripe has them all.
	w.exec(`update payment_intents set create_time = now() - substr(id, 7)::integer * interval '10 milliseconds' where id like 'intent%'`)
	made := clock.System{}.Now().Unix()
	for i := 2; i <= holds; i++ {
		id := fmt.Sprintf("pi_copy%d", i)
		w.control("PUT", "/_sandbox/objects/"+id, map[string]any{
			"id": id, "object": "payment_intent", "status": "requires_payment_method", "amount": 4500, "currency": "eur", "created": made - int64(i)/100,
		})
	}
	w.exec("analyze")
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	for b.Loop() {
		b.StopTimer()
		w.exec(`update holds set state = 'active', end_time = null, expire_time = now() - interval '1 second'`)
		w.exec(`delete from stock where variant_id = $1 and shard > 0`, w.variant.GetId())
		w.exec(`update stock set capacity = $1, taken = $1 where variant_id = $2`, holds, w.variant.GetId())
		w.exec(`update orders set payment = 'awaiting_payment'`)
		w.exec(`delete from river_job`)
		b.StartTimer()
		began := clock.System{}.Now()
		r := w.newReplica(w.pool, oneSweep)
		if err := r.service.Start(ctx); err != nil {
			b.Fatal(err)
		}
		w.until("are all seats free", func() bool { return w.count("select sum(taken) from stock") == 0 })
		b.ReportMetric(holds/clock.System{}.Now().Sub(began).Seconds(), "holds/s")
		b.StopTimer()
		if err := r.service.Stop(ctx); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
