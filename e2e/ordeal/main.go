// Command ordeal sells tickets through two replicas of each service as processes while it kills, freezes and starves them,
// then checks every invariant. The seed that it prints brings the same blows about again.
//
//	go run ./e2e/ordeal [-seed N] [-runs N] [-sales 200] [-buyers 16] [-kills 20] [-faults 10] [-database-failures 2]
//	go run ./e2e/ordeal -crash-points        every named crash point, one run each
//	go run ./e2e/ordeal -crash-point NAME    one of them
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/ordeal"
)

func main() { os.Exit(program()) }

func program() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ordeal:", err)
	}
	if err != nil || failed {
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string, out io.Writer) (failed bool, err error) {
	flags := flag.NewFlagSet("ordeal", flag.ContinueOnError)
	seed := flags.Uint64("seed", rand.Uint64(), "of the first run")
	runs := flags.Int("runs", 1, "runs, each with the next seed")
	points := flags.Bool("crash-points", false, "die at every named crash point instead")
	point := flags.String("crash-point", "", "die at this crash point instead")
	program := flags.String("program", "", "dayof binary; built when empty")
	c := ordeal.Config{Log: out, Settings: map[string]string{"DAYOF_CHECKOUT_BACKOFF_MAX": "2s"}}
	flags.IntVar(&c.Sales, "sales", 200, "sales in a run")
	flags.IntVar(&c.Buyers, "buyers", 16, "buyers at once")
	flags.IntVar(&c.Kills, "kills", 20, "kills and freezes per service")
	flags.IntVar(&c.Faults, "faults", 10, "times that an outside party fails")
	flags.IntVar(&c.DatabaseFailures, "database-failures", 2, "times that Postgres fails")
	if err := flags.Parse(args); err != nil {
		return true, err
	}
	if c.Program = *program; c.Program == "" {
		dir, err := os.MkdirTemp("", "dayof-ordeal-*")
		if err != nil {
			return true, err
		}
		defer os.RemoveAll(dir)
		c.Program = filepath.Join(dir, "dayof")
		build := exec.CommandContext(ctx, "go", "build", "-o", c.Program, "./cmd/dayof")
		build.Stdout, build.Stderr = out, out
		if err := build.Run(); err != nil {
			return true, fmt.Errorf("build dayof: %w", err)
		}
	}
	dying := crash.Points()
	if *point != "" {
		dying = []string{*point}
	}
	if *points || *point != "" {
		c.Kills, c.Faults, c.DatabaseFailures = 0, 0, 0
		for i, point := range dying {
			c.CrashPoint, c.Seed = point, *seed+uint64(i)
			bad, err := once(ctx, c, out)
			if err != nil {
				return true, err
			}
			failed = failed || bad
		}
		return failed, nil
	}
	for i := range *runs {
		c.Seed = *seed + uint64(i)
		bad, err := once(ctx, c, out)
		if err != nil {
			return true, err
		}
		failed = failed || bad
	}
	return failed, nil
}

// once holds one ordeal and tells what came of it.
func once(ctx context.Context, c ordeal.Config, out io.Writer) (failed bool, err error) {
	r, err := ordeal.Run(ctx, c)
	if err != nil {
		return true, fmt.Errorf("seed %d %s: %w", c.Seed, c.CrashPoint, err)
	}
	fmt.Fprintf(out, "seed %d %s: %d paid, %d completed, %d refunded, %d killed, %d frozen, orders ended in %v, all in %v, %d violations\n",
		r.Seed, c.CrashPoint, r.Paid, r.Completed, r.Refunded, r.Killed, r.Frozen, r.OrdersEnded.Round(100*time.Millisecond), r.Recovery.Round(100*time.Millisecond), len(r.Violations))
	for _, v := range r.Violations {
		fmt.Fprintln(out, "VIOLATION", v)
	}
	return len(r.Violations) > 0, nil
}
