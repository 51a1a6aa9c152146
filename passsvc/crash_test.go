package passsvc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/passsvc"
)

// workerEnv makes this test binary a replica that does background work until it is killed. It holds a workerConfig.
const workerEnv = "DAYOF_TEST_PASS_WORKER"

type workerConfig struct {
	DatabaseURL, APNsURL, APNsRoots, Certificate string
	BatchChunk                                   int
}

func runWorker() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var w workerConfig
	if err := json.Unmarshal([]byte(os.Getenv(workerEnv)), &w); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	if err := work(ctx, w); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	return 0
}

func work(ctx context.Context, w workerConfig) error {
	pool, err := pgdb.Open(ctx, w.DatabaseURL, pgdb.Options{ApplicationName: "pass worker"})
	if err != nil {
		return err
	}
	defer pool.Close()
	c := passsvc.LoadConfig(config.New(func(string) string { return "" }))
	c.Certificates = []config.Secret{config.NewSecret(w.Certificate)}
	c.TokenKeys = []config.Secret{config.NewSecret(tokenKey)}
	c.APNs.URL, c.APNs.RootsFile, c.BatchChunk = w.APNsURL, w.APNsRoots, w.BatchChunk
	c.PushCoalesce = 20 * time.Millisecond
	s, err := passsvc.New(passsvc.Deps{Config: c, Pool: pool, Clock: clock.NewFake(testNow), Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return s.Stop(context.WithoutCancel(ctx))
}

// startWorker starts a replica in a process of its own.
func startWorker(tb testing.TB, w workerConfig) *exec.Cmd {
	tb.Helper()
	encoded, err := json.Marshal(w)
	if err != nil {
		tb.Fatal(err)
	}
	command := exec.CommandContext(tb.Context(), os.Args[0])
	command.Env = append(os.Environ(), workerEnv+"="+string(encoded))
	command.Stderr = testLog{tb}
	if err := command.Start(); err != nil {
		tb.Fatal(err)
	}
	return command
}

// TestKilledInTheMiddle kills the worker twice while it changes an event's passes and notifies their devices. In the end
// each pass has changed once and each device was notified of it; those notified twice are within the last claims.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	server, useAPNs := newAPNs(t)
	var w workerConfig
	pool, databaseURL := pgtest.NewNamed(t, "passsvc", passsvc.Migrate)
	r := newReplica(t, pool, clock.NewFake(testNow), useAPNs, func(c *passsvc.Config) {
		w = workerConfig{
			DatabaseURL: databaseURL, APNsURL: c.APNs.URL, APNsRoots: c.APNs.RootsFile, Certificate: c.Certificates[0].Reveal(), BatchChunk: 100,
		}
	})
	n := 2000 * factor(t)
	r.crowd(t, n)
	batch := r.reschedule(withKey(t.Context()), t)

	// Killed while passes change, and again while devices are notified.
	kill := func(what string, reached func() bool) {
		t.Helper()
		worker := startWorker(t, w)
		until(t, what, reached)
		if err := worker.Process.Kill(); err != nil { // SIGKILL
			t.Fatal(err)
		}
		_ = worker.Wait() // killed
	}
	kill("some passes changed", func() bool { return r.batch(t, batch.GetId()).GetVisitedPassCount() >= int64(n/4) })
	kill("half of the devices notified", func() bool { return accepted(server) >= n/2 })
	t.Logf("killed at %v and %d pushes", r.batch(t, batch.GetId()), accepted(server))

	last := startWorker(t, w)
	r.done(t, batch.GetId())
	// Leases of the dead run out by the database's clock; nobody has to wait for that here.
	if _, err := pool.Exec(t.Context(), `update pushes set due_time = now() where state = 'pending' and due_time > now() + interval '1 second'`); err != nil {
		t.Fatal(err)
	}
	r.settled(t)
	if err := last.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := last.Wait(); err != nil {
		t.Errorf("the last worker did not stop well: %v", err)
	}

	if bad := r.count(t, "select count(*) from passes where revision <> 2"); bad != 0 {
		t.Errorf("%d passes did not change exactly once", bad)
	}
	if end := r.batch(t, batch.GetId()); end.GetChangedPassCount() != int64(n) || end.GetVisitedPassCount() != int64(n) {
		t.Errorf("%v", end)
	}
	notified := map[string]int{}
	for _, p := range server.Pushes() {
		if p.Status == 200 {
			notified[p.DeviceToken]++
		}
	}
	if len(notified) != n {
		t.Errorf("%d of %d devices notified", len(notified), n)
	}
	repeated := 0
	for _, times := range notified {
		repeated += times - 1
	}
	// Each kill loses the account of one claim at most.
	if repeated > 2*256 {
		t.Errorf("%d pushes more than devices", repeated)
	}
	t.Logf("%d devices notified, %d of them twice", len(notified), repeated)
}
