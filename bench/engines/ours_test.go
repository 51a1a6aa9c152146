package main

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/postgres"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// TestSweep abandons an attempt after its first commit: the sweep completes the order, once, and the attempt that it overtook is fenced.
func TestSweep(t *testing.T) {
	ctx := t.Context()
	pg, err := postgres.Start(ctx, postgres.Options{Settings: map[string]string{"fsync": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Stop(t.Context()) })
	pool, err := pgdb.Open(ctx, pg.URL(""), pgdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if _, err := pool.Exec(ctx, schema); err != nil {
		t.Fatal(err)
	}
	parties, err := startParties(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parties.stop() })
	s := &shop{pool: pool, parties: parties, followUp: &tally{ran: map[string]int{}}}
	p := purchase{Key: "order_1", Variant: "variant_1", Quantity: 2, Email: "ada@example.test"}
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return s.write(ctx, tx, p) }); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, "UPDATE orders SET next_attempt_time = now()"); err != nil {
		t.Fatal(err)
	}
	e, err := startOurs(ctx, s, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.followUp.drain(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if err := s.verify(ctx, 1, 2); err != nil {
		t.Error(err)
	}
	if err := e.attempt(ctx, p); err == nil {
		t.Error("an attempt that was overtaken completed its order again")
	}
	if err := s.verify(ctx, 1, 2); err != nil {
		t.Error(err)
	}
	if err := e.stop(ctx); err != nil {
		t.Error(err)
	}
}
