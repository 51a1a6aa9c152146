package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/temporal"
	dbschema "go.temporal.io/server/tools/common/schema"
	"go.temporal.io/server/tools/sql"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/jackc/pgx/v5"

	"github.com/dayof/dayof/devenv/postgres"
)

// temporalEngine is Temporal in its leanest shape: its four services in this process, with their tables in databases of their own on the
// same Postgres. An attempt is one workflow with one local activity that does all of it, since what it does is idempotent; its worker
// is here too, and the first workflow task is handed to it with the answer to the start (eager start). Follow-up jobs are child
// workflows that outlive the attempt.
type temporalEngine struct {
	shop     *shop
	server   temporal.Server
	client   client.Client
	worker   worker.Worker
	followUp bool
}

const (
	temporalNamespace = "bench"
	temporalTasks     = "attempts"
	// temporalShards is what Temporal's own Docker configuration has.
	temporalShards = 4
	// temporalPatience bounds the start and the wait until the namespace is known.
	temporalPatience = time.Minute
)

// startTemporal runs a server on two new databases, whose names carry suffix: one that is started again over its old tables looks for
// its former members first.
func startTemporal(ctx context.Context, pg *postgres.Server, suffix string, s *shop, followUp bool) (engine, error) {
	store := map[string]config.DataStore{}
	for _, kind := range []string{"temporal", "visibility"} {
		made, err := makeTemporalStore(ctx, pg, kind, suffix)
		if err != nil {
			return nil, fmt.Errorf("make temporal's database: %w", err)
		}
		store[kind] = config.DataStore{SQL: made}
	}
	cfg, err := temporalConfig(ctx, store)
	if err != nil {
		return nil, err
	}
	server, err := temporal.NewServer(
		temporal.WithConfig(cfg), temporal.ForServices(temporal.DefaultServices), temporal.WithLogger(log.NewZapLogger(log.BuildZapLogger(log.Config{Level: "fatal"}))),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()), temporal.WithCustomMetricsHandler(metrics.NoopMetricsHandler),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return authorization.NewNoopClaimMapper() }),
		temporal.WithDynamicConfigClient(dynamicconfig.StaticClient{
			dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key(): []dynamicconfig.ConstrainedValue{{Value: true}},
		}),
	)
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	e := &temporalEngine{shop: s, server: server, followUp: followUp}
	if err := e.connect(ctx, cfg.PublicClient.HostPort); err != nil {
		return nil, errors.Join(err, e.stop(ctx))
	}
	return e, nil
}

// makeTemporalStore makes a database with Temporal's tables, by its own schema tool.
func makeTemporalStore(ctx context.Context, pg *postgres.Server, kind, suffix string) (*config.SQL, error) {
	name := "temporal_" + kind + "_" + suffix
	if err := pg.CreateDatabase(ctx, name); err != nil {
		return nil, err
	}
	address, err := url.Parse(pg.URL(name))
	if err != nil {
		return nil, err
	}
	password, _ := address.User.Password()
	store := &config.SQL{
		PluginName: postgresql.PluginNamePGX, DatabaseName: name, ConnectAddr: address.Host, ConnectProtocol: "tcp",
		User: address.User.Username(), Password: password, ConnectAttributes: map[string]string{"sslmode": "disable"},
		MaxConns: poolSize, MaxIdleConns: poolSize,
	}
	conn, err := sql.NewConnection(store, log.NewNoopLogger())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := dbschema.NewSetupSchemaTask(conn, &dbschema.SetupConfig{InitialVersion: "0.0"}, log.NewNoopLogger()).Run(); err != nil {
		return nil, err
	}
	return store, dbschema.NewUpdateSchemaTask(conn, &dbschema.UpdateConfig{DBName: name, SchemaName: "postgresql/v12/" + kind}, log.NewNoopLogger()).Run()
}

func temporalConfig(ctx context.Context, store map[string]config.DataStore) (*config.Config, error) {
	services, frontend := map[string]config.Service{}, ""
	for _, name := range []string{"frontend", "history", "matching", "worker"} {
		var ports [2]int
		for i := range ports {
			port, err := freePort(ctx)
			if err != nil {
				return nil, err
			}
			ports[i] = port
		}
		// Its plugin keeps the membership port as a signed 16-bit number.
		services[name] = config.Service{RPC: config.RPC{GRPCPort: ports[0], MembershipPort: ports[1], BindOnLocalHost: true}}
		if name == "frontend" {
			frontend = fmt.Sprintf("127.0.0.1:%d", ports[0])
		}
	}
	return &config.Config{
		Global: config.Global{Membership: config.Membership{MaxJoinDuration: temporalPatience, BroadcastAddress: "127.0.0.1"}},
		Persistence: config.Persistence{
			DefaultStore: "temporal", VisibilityStore: "visibility", NumHistoryShards: temporalShards, DataStores: store,
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10, MasterClusterName: "active", CurrentClusterName: "active",
			ClusterInformation: map[string]cluster.ClusterInformation{"active": {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend}},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services:            services,
		PublicClient:        config.PublicClient{HostPort: frontend},
		Archival:            config.Archival{History: config.HistoryArchival{State: "disabled"}, Visibility: config.VisibilityArchival{State: "disabled"}},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History: config.HistoryArchivalNamespaceDefaults{State: "disabled"}, Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"},
		}},
	}, nil
}

// connect registers the namespace and the worker, and waits until workflows can be started.
func (e *temporalEngine) connect(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, temporalPatience)
	defer cancel()
	options := client.Options{HostPort: address, Namespace: temporalNamespace, Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))}
	for e.client == nil {
		c, err := client.DialContext(ctx, options)
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err == nil {
			e.client = c
		}
	}
	if _, err := e.client.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: temporalNamespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	}); err != nil {
		return fmt.Errorf("register namespace: %w", err)
	}
	var last error
	for {
		_, err := e.client.DescribeTaskQueue(ctx, temporalTasks, enums.TASK_QUEUE_TYPE_WORKFLOW)
		if err == nil {
			break
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the namespace does not become known: %w", last)
		case <-time.After(100 * time.Millisecond):
		}
	}
	e.worker = worker.New(e.client, temporalTasks, worker.Options{MaxConcurrentWorkflowTaskPollers: 8})
	e.worker.RegisterWorkflowWithOptions(e.workflow, workflow.RegisterOptions{Name: "attempt"})
	for _, kind := range []string{mailKind, feeKind} {
		e.worker.RegisterWorkflowWithOptions(func(ctx workflow.Context, orderID string) error {
			ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: callTimeout})
			return workflow.ExecuteLocalActivity(ctx, func(context.Context) error {
				e.shop.followUp.count(kind, orderID)
				return nil
			}).Get(ctx, nil)
		}, workflow.RegisterOptions{Name: kind})
	}
	return e.worker.Start()
}

func (e *temporalEngine) attempt(ctx context.Context, p purchase) error {
	run, err := e.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: p.Key, TaskQueue: temporalTasks, EnableEagerStart: true}, "attempt", p)
	if err != nil {
		return err
	}
	return run.Get(ctx, nil)
}

func (e *temporalEngine) workflow(ctx workflow.Context, p purchase) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: callTimeout})
	if err := workflow.ExecuteLocalActivity(ctx, e.activity, p).Get(ctx, nil); err != nil || !e.followUp {
		return err
	}
	var started []workflow.ChildWorkflowFuture
	for _, kind := range []string{mailKind, feeKind} {
		child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
			WorkflowID: p.Key + "-" + kind, ParentClosePolicy: enums.PARENT_CLOSE_POLICY_ABANDON,
		})
		started = append(started, workflow.ExecuteChildWorkflow(child, kind, p.Key))
	}
	for _, child := range started {
		if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// activity is a whole attempt. Idempotent, as Temporal may run it again.
func (e *temporalEngine) activity(ctx context.Context, p purchase) error {
	err := pgx.BeginFunc(ctx, e.shop.pool, func(tx pgx.Tx) error { return e.shop.write(ctx, tx, p) })
	if err != nil && !known(err) {
		return err
	}
	intent, entry, err := e.shop.call(ctx, p)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, e.shop.pool, func(tx pgx.Tx) error { return e.shop.finish(ctx, tx, p, 1, intent, entry) })
	if errors.Is(err, errFenced) {
		if done, readErr := e.shop.completed(ctx, p.Key); readErr == nil && done {
			err = nil
		}
	}
	return err
}

func (e *temporalEngine) stop(context.Context) error {
	if e.worker != nil {
		e.worker.Stop()
	}
	if e.client != nil {
		e.client.Close()
	}
	return e.server.Stop()
}
