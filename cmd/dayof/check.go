package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/invariant"
)

func checkCommand() command {
	return command{
		name: "check", about: "check all invariants over databases, ledger and sandbox Stripe", driving: true,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				file, err := h.file(ctx)
				if err != nil {
					return err
				}
				results, err := invariant.Run(ctx, file)
				if err != nil {
					return err
				}
				return reportCheck(h, results)
			}
		},
	}
}

// reportCheck prints a line for each invariant that holds and for each violation of one that does not.
func reportCheck(h host, results []invariant.Result) error {
	violated := false
	for _, r := range results {
		violated = violated || len(r.Violations) > 0
	}
	if h.json {
		if err := h.printJSON(struct {
			OK         bool               `json:"ok"`
			Invariants []invariant.Result `json:"invariants"`
		}{!violated, results}); err != nil {
			return err
		}
	} else {
		for _, r := range results {
			if len(r.Violations) == 0 {
				fmt.Fprintf(h.stdout, "ok %s\n", r.Name)
			}
			for _, v := range r.Violations {
				fmt.Fprintf(h.stdout, "VIOLATION %s %s\n", r.Name, v)
			}
		}
	}
	if violated {
		return errReported
	}
	return nil
}
