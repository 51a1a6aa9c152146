package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/jackc/pgx/v5"
)

// dbosEngine is DBOS in its leanest shape: an attempt is one workflow without steps. What it does is idempotent by itself, so
// DBOS records its start and its end and nothing between: two commits beside the two of the attempt. Its tables are in the
// database of the orders and it uses their pool.
//
// Follow-up jobs are workflows that are enqueued in the attempt's last transaction. DBOS refuses that from a workflow's own context, where
// each would be a step with a commit of its own; the root's context takes it, and since that transaction completes an order once, it is
// safe.
type dbosEngine struct {
	shop     *shop
	root     dbos.Context
	followUp bool
}

const dbosQueue = "follow_up"

func startDBOS(ctx context.Context, s *shop, followUp bool) (engine, error) {
	root, err := dbos.NewContext(context.WithoutCancel(ctx), dbos.Config{
		AppName: "bench-engines", SystemDBPool: s.pool, Logger: slog.New(slog.DiscardHandler), ApplicationVersion: "1",
	})
	if err != nil {
		return nil, err
	}
	e := &dbosEngine{shop: s, root: root, followUp: followUp}
	dbos.RegisterWorkflow(root, e.workflow, dbos.WithWorkflowName("attempt"))
	dbos.RegisterWorkflow(root, e.mail, dbos.WithWorkflowName(mailKind))
	dbos.RegisterWorkflow(root, e.fee, dbos.WithWorkflowName(feeKind))
	if err := dbos.Launch(root); err != nil {
		return nil, err
	}
	if followUp {
		// The product's jobs wait 50 ms at most for their poll; the default here is a second.
		if _, err := dbos.RegisterQueue(root, dbosQueue, dbos.WithQueueBasePollingInterval(50*time.Millisecond)); err != nil {
			return nil, errors.Join(err, e.stop(ctx))
		}
	}
	return e, nil
}

func (e *dbosEngine) attempt(_ context.Context, p purchase) error {
	handle, err := dbos.RunWorkflow(e.root, e.workflow, p, dbos.WithWorkflowID(p.Key))
	if err != nil {
		return err
	}
	_, err = handle.GetResult()
	return err
}

func (e *dbosEngine) workflow(ctx dbos.Context, p purchase) (string, error) {
	err := pgx.BeginFunc(ctx, e.shop.pool, func(tx pgx.Tx) error { return e.shop.write(ctx, tx, p) })
	if err != nil && !known(err) {
		return "", err
	}
	intent, entry, err := e.shop.call(ctx, p)
	if err != nil {
		return "", err
	}
	err = pgx.BeginFunc(ctx, e.shop.pool, func(tx pgx.Tx) error {
		if err := e.shop.finish(ctx, tx, p, 1, intent, entry); err != nil || !e.followUp {
			return err
		}
		for _, kind := range []string{mailKind, feeKind} {
			if _, err := dbos.Enqueue[string](e.root, dbosQueue, kind, p.Key, dbos.WithEnqueueTransaction(tx),
				dbos.WithEnqueueWorkflowID(p.Key+"-"+kind)); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errFenced) { // the workflow runs again and was cut off after its commit
		if done, readErr := e.shop.completed(ctx, p.Key); readErr == nil && done {
			err = nil
		}
	}
	return "", err
}

func (e *dbosEngine) mail(_ dbos.Context, orderID string) (string, error) {
	e.shop.followUp.count(mailKind, orderID)
	return "", nil
}

func (e *dbosEngine) fee(_ dbos.Context, orderID string) (string, error) {
	e.shop.followUp.count(feeKind, orderID)
	return "", nil
}

// dbosPatience is how long its loops may take to end.
const dbosPatience = 20 * time.Second

func (e *dbosEngine) stop(context.Context) error { return dbos.Shutdown(e.root, dbosPatience) }
