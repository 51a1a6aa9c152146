// Command chaos sells tickets through two replicas of each service as processes while it kills, freezes and starves them,
// then checks every invariant. The seed that it prints brings the same injections about again.
//
//	go run ./e2e/chaos [-seed N] [-runs N] [-sales 200] [-kills 20] [-freezes 5] [-faults 10] [-database-failures 3]
//	go run ./e2e/chaos -crash-points        die at every named crash point, one run each
//	go run ./e2e/chaos -stop-points         stop for 20 s at every one instead
//	go run ./e2e/chaos -crash-point NAME    one of them; also -stop-point NAME
//	go run ./e2e/chaos -mutations           builds known bugs in and wants each to be caught, three times of three
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
	"strings"
	"syscall"
	"time"

	"github.com/dayof/dayof/devenv/chaos"
	"github.com/dayof/dayof/devenv/crashpoint"
)

func main() { os.Exit(program()) }

func program() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	if err != nil || failed {
		return 1
	}
	return 0
}

// stopTime is how long a replica is stopped at a point: longer than any lease.
const stopTime = 20 * time.Second

// options are what the command line says.
type options struct {
	config                chaos.Config
	runs                  int
	crashPoints           bool
	stopPoints, mutations bool
	crashPoint            string
	stopPoint             string
	only                  string
}

func parse(args []string, out io.Writer) (options, error) {
	o := options{config: chaos.Config{
		Log: out, Replicas: 2, StopFor: stopTime, Settings: map[string]string{"DAYOF_CHECKOUT_BACKOFF_MAX": "2s"},
	}}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.Uint64Var(&o.config.Seed, "seed", rand.Uint64(), "of the first run")
	flags.IntVar(&o.runs, "runs", 1, "runs, each with the next seed; of each mutation 3 unless set")
	flags.BoolVar(&o.crashPoints, "crash-points", false, "die at every named crash point instead")
	flags.StringVar(&o.crashPoint, "crash-point", "", "die at this crash point instead")
	flags.BoolVar(&o.stopPoints, "stop-points", false, "stop at every named crash point instead")
	flags.StringVar(&o.stopPoint, "stop-point", "", "stop at this crash point instead")
	flags.BoolVar(&o.mutations, "mutations", false, "build known bugs in instead, each of which must be caught")
	flags.StringVar(&o.only, "only", "", "only the mutation of this name")
	flags.StringVar(&o.config.Program, "program", "", "dayof binary; built when empty")
	flags.IntVar(&o.config.Sales, "sales", 200, "sales in a run")
	flags.IntVar(&o.config.Buyers, "buyers", 200, "buyers at once")
	flags.IntVar(&o.config.Kills, "kills", 20, "kills per service")
	flags.IntVar(&o.config.Freezes, "freezes", 5, "freezes per service")
	flags.IntVar(&o.config.Faults, "faults", 10, "times that an outside party fails")
	flags.IntVar(&o.config.DatabaseFailures, "database-failures", 3, "times that Postgres fails")
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	return o, err
}

func run(ctx context.Context, args []string, out io.Writer) (failed bool, err error) {
	o, err := parse(args, out)
	if err != nil {
		return true, err
	}
	if o.mutations {
		return testMutations(ctx, o, out)
	}
	if o.config.Program == "" {
		dir, err := os.MkdirTemp("", "dayof-chaos-*")
		if err != nil {
			return true, err
		}
		defer os.RemoveAll(dir)
		o.config.Program = filepath.Join(dir, "dayof")
		if err := build(ctx, o.config.Program, out); err != nil {
			return true, err
		}
	}
	for _, c := range o.configs() {
		bad, err := once(ctx, c, out)
		if err != nil {
			return true, err
		}
		failed = failed || bad
	}
	return failed, nil
}

// build makes the dayof binary from the tree that this command is run in.
func build(ctx context.Context, program string, out io.Writer, flags ...string) error {
	args := append(append([]string{"build", "-o", program}, flags...), "./cmd/dayof")
	command := exec.CommandContext(ctx, "go", args...)
	command.Stdout, command.Stderr = out, out
	if err := command.Run(); err != nil {
		return fmt.Errorf("build dayof: %w", err)
	}
	return nil
}

// configs are the runs that were asked for, each with the next seed.
func (o options) configs() []chaos.Config {
	var all []chaos.Config
	add := func(c chaos.Config) {
		c.Seed += uint64(len(all))
		all = append(all, c)
	}
	aimed := o.config
	aimed.Kills, aimed.Freezes, aimed.Faults, aimed.DatabaseFailures = 0, 0, 0, 0
	for _, point := range chosen(o.crashPoints, o.crashPoint) {
		aimed.CrashPoint, aimed.StopPoint = point, ""
		add(aimed)
	}
	for _, point := range chosen(o.stopPoints, o.stopPoint) {
		aimed.CrashPoint, aimed.StopPoint = "", point
		add(aimed)
	}
	if len(all) == 0 {
		for range o.runs {
			add(o.config)
		}
	}
	return all
}

// chosen are all points, or the one that was named.
func chosen(all bool, one string) []string {
	switch {
	case all:
		return crashpoint.Names()
	case one != "":
		return []string{one}
	}
	return nil
}

// once runs one chaos test and prints its outcome.
func once(ctx context.Context, c chaos.Config, out io.Writer) (failed bool, err error) {
	r, took, err := chaosRun(ctx, c)
	if err != nil {
		return true, fmt.Errorf("seed %d %s: %w", c.Seed, c.CrashPoint+c.StopPoint, err)
	}
	fmt.Fprintf(out, "seed %d %s: %s, in %v\n", r.Seed, c.CrashPoint+c.StopPoint, describe(r), took)
	for _, v := range r.Violations {
		fmt.Fprintln(out, "VIOLATION", v)
	}
	return len(r.Violations) > 0, nil
}

func chaosRun(ctx context.Context, c chaos.Config) (chaos.Report, time.Duration, error) {
	began := clockNow()
	r, err := chaos.Run(ctx, c)
	return r, clockNow().Sub(began).Round(time.Second), err
}

func describe(r chaos.Report) string {
	return strings.Join([]string{
		fmt.Sprintf("%d paid", r.Paid), fmt.Sprintf("%d completed", r.Completed), fmt.Sprintf("%d given up", r.Refunded),
		fmt.Sprintf("%d killed", r.Killed), fmt.Sprintf("%d frozen", r.Frozen),
		fmt.Sprintf("%d orphans taken up within %v", r.Orphans, r.OrphanWaitMax.Round(100*time.Millisecond)),
		fmt.Sprintf("%d pushes to %d devices", r.Pushes, r.Devices),
		fmt.Sprintf("orders ended in %v, all in %v", r.OrdersEnded.Round(100*time.Millisecond), r.Recovery.Round(100*time.Millisecond)),
		fmt.Sprintf("%d violations", len(r.Violations)),
	}, ", ")
}
