// Command sequences plays random lives of orders against a whole dayof and proves that money stays true: after each batch
// every order, every entry of the books and every balance transaction of sandbox Stripe must agree, and all
// invariants must hold.
//
// A sequence is made from one number, so a failure is repeated by
//
//	go run ./e2e/model -seed NUMBER -count 1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"

	"github.com/dayof/dayof/internal/chassis/clock"
)

// errViolated ends the command when a sequence did not end well, or an invariant is violated.
var errViolated = errors.New("money did not stay true")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sequences:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("sequences", flag.ContinueOnError)
	p := plan{clock: clock.System{}, of: newSequence, out: out}
	flags.IntVar(&p.count, "count", 1000, "how many `sequences`")
	flags.IntVar(&p.seed, "seed", int(rand.Int32()), "`number` of the first sequence; the others follow")
	flags.IntVar(&p.parallel, "parallel", 8, "how many `sequences` are played at the same time")
	flags.IntVar(&p.batch, "batch", 250, "`sequences` between two checks")
	flags.IntVar(&p.system, "system", 1000, "`sequences` of one system, before the next starts empty")
	flags.IntVar(&p.replicas, "replicas", 2, "`replicas` of each service")
	flags.BoolVar(&p.verbose, "v", false, "print every sequence")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return p.run(ctx)
}
