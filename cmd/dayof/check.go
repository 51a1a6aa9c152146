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

// reportCheck prints a line for each invariant that holds and for each violation of one that does not, and at the end how many
// sales were excused as under way, if any were.
func reportCheck(h host, results []invariant.Result) error {
	violated, excused := false, 0
	for _, r := range results {
		violated = violated || len(r.Violations) > 0
		excused += r.Excused
	}
	if h.json {
		if err := h.printJSON(struct {
			OK         bool               `json:"ok"`
			Excused    int                `json:"sales_under_way"`
			Invariants []invariant.Result `json:"invariants"`
		}{!violated, excused, results}); err != nil {
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
		if excused > 0 {
			fmt.Fprintf(h.stdout, "excused %d sales that are under way\n", excused)
		}
	}
	if violated {
		return errReported
	}
	return nil
}
