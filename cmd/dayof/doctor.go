package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/internal/server"
)

func doctorCommand() command {
	return command{
		name: "doctor", args: "[SERVICE ...]",
		about:   "check settings, secrets (never their values), databases, migrations and clocks",
		driving: true, timeout: commandTimeout, words: server.Services(),
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantServices(args); err != nil {
					return err
				}
				services := args
				if len(services) == 0 {
					services = server.Services()
				}
				// A running `dayof up` makes up its settings, so that only its databases are checked.
				running, err := client.ReadFile(h.devFile)
				if err != nil && h.devFile != defaultDevFile {
					return err
				}
				var findings []server.Finding
				for _, service := range services {
					found, err := server.Diagnose(ctx, service, running.DatabaseURLs[service], h.getenv, h.clock)
					if err != nil {
						return err
					}
					findings = append(findings, found...)
				}
				return reportFindings(h, findings)
			}
		},
	}
}

func reportFindings(h host, findings []server.Finding) error {
	var errs []error
	for _, f := range findings {
		if !f.OK {
			errs = append(errs, fmt.Errorf("%s: %s: %s", f.Service, f.Name, f.Detail))
		}
		if !h.json {
			outcome := "ok"
			if !f.OK {
				outcome = "PROBLEM"
			}
			detail := strings.ReplaceAll(f.Detail, "\n", "; ")
			fmt.Fprintf(h.stdout, "%-7s %-8s %s: %s\n", outcome, f.Service, f.Name, detail)
		}
	}
	if h.json {
		if err := h.printJSON(findings); err != nil {
			return err
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("%d problems, see above", len(errs))
	}
	return nil
}
