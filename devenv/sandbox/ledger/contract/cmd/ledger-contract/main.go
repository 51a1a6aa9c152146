// Command ledger-contract checks a running Formance Ledger API, or a stand-in
// for it, against golden transcripts.
//
//	ledger-contract [-base URL] [-run REGEXP] [-strict-messages] [-loose-time] [-v] DIR|FILE...
//
// The last line is "N passed, N failed"; the exit status is 1 when anything
// failed, 2 when the command could not be carried out. See package contract.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"time"

	"github.com/dayof/dayof/devenv/sandbox/ledger/contract"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("ledger-contract", flag.ContinueOnError)
	flags.SetOutput(stderr)
	base := flags.String("base", "http://127.0.0.1:3068", "base URL of the ledger API")
	only := flags.String("run", "", "only scenarios matching this regular expression")
	strict := flags.Bool("strict-messages", false, "compare errorMessage and errorDescription texts too")
	loose := flags.Bool("loose-time", false, "only check the format of times, not which are equal")
	verbose := flags.Bool("v", false, "print passing steps too")
	timeout := flags.Duration("timeout", time.Minute, "per request")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	filter, err := regexp.Compile(*only)
	if err != nil || flags.NArg() == 0 {
		fmt.Fprintln(stderr, "usage: ledger-contract [-base URL] [-run REGEXP] DIR|FILE...")
		return 2
	}
	totals, err := contract.Replay(ctx, stdout, contract.Options{
		Base: *base, Run: filter, StrictMessages: *strict, LooseTime: *loose, Verbose: *verbose, Timeout: *timeout,
	}, flags.Args()...)
	switch {
	case err != nil:
		fmt.Fprintln(stderr, err)
		return 2
	case totals.Failed > 0:
		return 1
	}
	return 0
}
