// Command lastseat has many buyers want the one seat that there is, with holds that run out while they pay and webhooks that come
// afterwards, and checks what became of the seat and of all money. The seed that it prints decides what each buyer does.
//
//	go run ./e2e/lastseat [-rounds 1000] [-buyers 500] [-seed N]
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(program()) }

func program() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "lastseat:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string, out io.Writer) error {
	p := plan{out: out}
	flags := flag.NewFlagSet("lastseat", flag.ContinueOnError)
	flags.IntVar(&p.rounds, "rounds", 1000, "rounds, each with a seat of its own")
	flags.IntVar(&p.buyers, "buyers", 500, "buyers of a round")
	flags.Uint64Var(&p.seed, "seed", rand.Uint64(), "of what buyers do")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return p.run(ctx)
}
