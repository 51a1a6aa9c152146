package chaos_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/chaos"
	"github.com/dayof/dayof/devenv/crashpoint"
	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/internal/chassis/crash"
)

// program builds dayof as the processes of a chaos test run it.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dayof")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/dayof/dayof/cmd/dayof").CombinedOutput()
	if err != nil {
		t.Fatalf("build dayof: %v\n%s", err, out)
	}
	return path
}

// seed is that of DAYOF_CHAOS_SEED, or a new one.
func seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("DAYOF_CHAOS_SEED")
	if text == "" {
		return rand.Uint64()
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("DAYOF_CHAOS_SEED: %v", err)
	}
	return n
}

// TestChaos is a short one; `go run ./e2e/chaos` holds long ones.
func TestChaos(t *testing.T) {
	t.Parallel()
	dayof := program(t)
	tests := map[string]chaos.Config{
		"kills, freezes and faults": {Kills: 3, Freezes: 1, Faults: 4},
		"Postgres fails":            {DatabaseFailures: 3},
		"die before tx 2":           {CrashPoint: crashpoint.Name(crash.CheckoutAttemptFinishing) + ":3"},
		"die after the posting":     {CrashPoint: crashpoint.Name(crash.LedgerPosted) + ":3"},
		"stop before tx 2":          {StopPoint: crashpoint.Name(crash.CheckoutAttemptFinishing) + ":3", StopFor: time.Second},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of a test is waiting
			c.Program, c.Seed, c.Sales, c.Buyers = dayof, seed(t), 24, 8
			c.PostgresSettings, c.Log = pgtest.Settings(), t.Output()
			c.PostgresSettings["synchronous_commit"] = "on" // what was committed survives a crash of the server
			if c.DatabaseFailures > 0 {
				c.PostgresSettings["max_connections"] = "160" // each of the services' pools can be full
			}
			c.TakeUpMax = 5 * time.Minute // it must be taken up, however busy the machine is
			c.Settings = map[string]string{"DAYOF_CHECKOUT_BACKOFF_MAX": "2s"}
			t.Logf("seed %d; repeat with DAYOF_CHAOS_SEED=%d", c.Seed, c.Seed)
			r, err := chaos.Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", r)
			if r.Paid != c.Sales || r.Completed+r.Refunded != c.Sales {
				t.Errorf("%d sales: %d paid, %d completed, %d refunded", c.Sales, r.Paid, r.Completed, r.Refunded)
			}
			for _, v := range r.Violations {
				t.Error(v)
			}
		})
	}
}
