package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// takeUpMax is TakeUpMax unless Config says so: the order's lease of 8 s, and the 2 s (give or take a tenth) until the next sweep
// of a running replica.
const takeUpMax = 12 * time.Second

// historySQL has the database itself note every step of every order's fulfilment, in the transaction that makes it. A fact
// that leaves the fulfilment as it is, such as a refund, is no step, though the whole row is saved. What is measured follows
// from these rows and not from when somebody read them.
const historySQL = `
	create schema chaos;
	create table chaos.steps (
		number bigint generated always as identity primary key,
		order_id text not null, time timestamptz not null,
		was_fulfilment text not null, fulfilment text not null, was_attempt integer not null, attempt integer not null,
		was_complete_time timestamptz, complete_time timestamptz
	);
	create function chaos.note() returns trigger language plpgsql as $$
	begin
		insert into chaos.steps (order_id, time, was_fulfilment, fulfilment, was_attempt, attempt, was_complete_time, complete_time)
		values (new.id, clock_timestamp(), old.fulfilment, new.fulfilment, old.attempt, new.attempt, old.complete_time, new.complete_time);
		return null;
	end $$;
	create trigger chaos_step after update of fulfilment, attempt, next_attempt_time, complete_time on public.orders
		for each row when ((old.fulfilment, old.attempt, old.next_attempt_time, old.complete_time)
			is distinct from (new.fulfilment, new.attempt, new.next_attempt_time, new.complete_time)) execute function chaos.note();`

// keepHistory begins to note.
func (h *harness) keepHistory(ctx context.Context) error {
	return h.onDatabase(ctx, "checkout", func(conn *pgxpool.Pool) error {
		_, err := conn.Exec(ctx, historySQL)
		return err
	})
}

func (h *harness) onDatabase(ctx context.Context, service string, f func(pool *pgxpool.Pool) error) error {
	pool, err := pgxpool.New(ctx, h.cluster.File.DatabaseURLs[service])
	if err != nil {
		return err
	}
	defer pool.Close()
	return f(pool)
}

// checkHistory finds orders that were written after their end, and measures how long orphans waited.
func (h *harness) checkHistory(ctx context.Context) error {
	return h.onDatabase(ctx, "checkout", func(pool *pgxpool.Pool) error {
		rows, err := pool.Query(ctx, `
			select format('order %s was %s, and then attempt %s made it %s', order_id, was_fulfilment, was_attempt, fulfilment)
			from chaos.steps where was_fulfilment in ('completed', 'unfulfillable') order by number`)
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		late, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		h.violated("order_ends_once", late...)
		return h.checkOrphans(ctx, pool)
	})
}

// orphan is a fulfilment attempt that nobody wrote the end of: its replica failed. Another replica's attempt followed.
type orphan struct {
	OrderID string
	Begun   time.Time // when the lost attempt began
	TakenUp time.Time // when the next one began
}

// checkOrphans measures from the failure of a replica, or from the begin of its attempt when that was later, to the next
// attempt. Nothing else may be wrong meanwhile, or the time says nothing.
func (h *harness) checkOrphans(ctx context.Context, pool *pgxpool.Pool) error {
	rows, err := pool.Query(ctx, `
		select order_id, was_time, time from (
			select order_id, time, attempt, was_attempt,
				lag(time) over w as was_time,
				lag(attempt) over w = attempt - 1 and lag(was_attempt) over w = attempt - 2 as lost
			from chaos.steps window w as (partition by order_id order by number)) s
		where lost and attempt > was_attempt order by time`)
	if err != nil {
		return fmt.Errorf("read history: %w", err)
	}
	orphans, err := pgx.CollectRows(rows, pgx.RowToStructByPos[orphan])
	if err != nil {
		return fmt.Errorf("read history: %w", err)
	}
	for _, lost := range orphans {
		failed, known := h.failureBetween(lost.Begun, lost.TakenUp)
		if !known {
			continue // no failure of a process ended this attempt
		}
		waited := lost.TakenUp.Sub(failed)
		h.orphans[lost.OrderID] = true
		h.report.Orphans++
		h.report.OrphanWaitMax = max(h.report.OrphanWaitMax, waited)
		if waited > h.config.TakeUpMax && h.config.Faults == 0 && h.config.DatabaseFailures == 0 {
			h.violated("orphan_is_taken_up", fmt.Sprintf("order %s lost its attempt at %s and was taken up %v later",
				lost.OrderID, failed.Format(time.RFC3339Nano), waited))
		}
	}
	return nil
}

// failureBetween returns when the first replica of checkoutsvc failed in that time.
func (h *harness) failureBetween(from, to time.Time) (time.Time, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, failed := range h.failures {
		if !failed.Before(from) && failed.Before(to) {
			return failed, true
		}
	}
	return time.Time{}, false
}

// checkOrder wants every order completed after the ledger had its sale, by the times that both wrote.
func (h *harness) checkOrder(ctx context.Context) error {
	booked := map[string]time.Time{}
	err := h.onDatabase(ctx, "ledger", func(pool *pgxpool.Pool) error {
		rows, err := pool.Query(ctx, `select order_id, post_time from entries where kind = 'sale' union all select order_id, record_time from free_sales`)
		if err != nil {
			return err
		}
		var id string
		var at time.Time
		_, err = pgx.ForEachRow(rows, []any{&id, &at}, func() error {
			booked[id] = at
			return nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("read entries: %w", err)
	}
	return h.onDatabase(ctx, "checkout", func(pool *pgxpool.Pool) error {
		rows, err := pool.Query(ctx, `select order_id, time from chaos.steps where fulfilment = 'completed'`)
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		var id string
		var at time.Time
		_, err = pgx.ForEachRow(rows, []any{&id, &at}, func() error {
			if posted, ok := booked[id]; !ok || posted.After(at) {
				h.violated("tickets_are_valid_after_the_booking", fmt.Sprintf("order %s was completed at %s, booked at %s", id, at, posted))
			}
			return nil
		})
		return err
	})
}

// checkOnce wants what a stopped replica must not double: one mail for an order that lost its attempt, and each pass issued
// once. A receipt that was being sent by the replica that stopped is sent again by another, as the same mail.
func (h *harness) checkOnce(ctx context.Context) error {
	if h.config.StopPoint == "" || len(h.plan) > 0 {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.cluster.File.Sandbox.MailLogURL, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var log []struct {
		Header map[string][]string `json:"header"`
	}
	if err := json.NewDecoder(res.Body).Decode(&log); err != nil {
		return fmt.Errorf("read mails: %w", err)
	}
	mails := map[string]int{}
	for _, m := range log {
		for name, values := range m.Header {
			if strings.EqualFold(name, "Message-Id") {
				mails[strings.Join(values, " ")]++
			}
		}
	}
	for id := range h.orphans {
		if count := mails["<receipt."+id+"@dayof>"]; count != 1 {
			h.violated("receipt_is_sent_once", fmt.Sprintf("%d receipts of order %s were sent", count, id))
		}
	}
	return h.onDatabase(ctx, "pass", func(pool *pgxpool.Pool) error {
		// Nobody changes a pass here but who voids it.
		rows, err := pool.Query(ctx, `select format('pass %s is at revision %s', serial, revision) from passes
			where revision > 1 and not coalesce((content->>'voided')::boolean, false)`)
		if err != nil {
			return fmt.Errorf("read revisions: %w", err)
		}
		anew, err := pgx.CollectRows(rows, pgx.RowTo[string])
		h.violated("pass_is_issued_once", anew...)
		return err
	})
}
