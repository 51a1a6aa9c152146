package main

import (
	"context"
	"net/http"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/internal/chassis/diagnosis"
	"github.com/dayof/dayof/internal/server"
)

func doctorCommand() command {
	return command{
		name: "doctor", args: "[SERVICE ...]",
		about:   "check settings, secrets (never their values), databases, migrations, clocks, certificates, and the parties beyond",
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
				// A running `dayof up` makes up its settings: then that system is examined, and not what the environment says.
				running, err := h.file(ctx)
				if err != nil && h.devFile != defaultDevFile {
					return err
				}
				isRunning := err == nil
				var findings []server.Finding
				for _, service := range services {
					found, err := server.Diagnose(ctx, service, running.DatabaseURLs[service], h.getenv, h.clock)
					if err != nil {
						return err
					}
					if isRunning {
						findings = append(findings, health(ctx, running, service))
					}
					findings = append(findings, found...)
				}
				return reportFindings(h, findings)
			}
		},
	}
}

// health asks a service of a running system how it is.
func health(ctx context.Context, file client.File, service string) server.Finding {
	base := map[string]string{"checkout": file.CheckoutURL, "pass": file.PassURL, "ledger": file.LedgerURL, "webhook": file.WebhookURL}[service]
	finding := server.Finding{Service: service, Finding: diagnosis.Finding{Name: "health", Detail: base + "/healthz"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/healthz", nil)
	if err == nil {
		var res *http.Response
		if res, err = http.DefaultClient.Do(req); err == nil {
			finding.OK = res.StatusCode == http.StatusOK
			finding.Detail += " answers " + res.Status
			err = res.Body.Close()
		}
	}
	if err != nil {
		finding.OK, finding.Detail = false, err.Error()
	}
	return finding
}

func reportFindings(h host, findings []server.Finding) error {
	if !h.json {
		server.PrintFindings(h.stdout, findings)
	} else if err := h.printJSON(findings); err != nil {
		return err
	}
	return server.Problems(findings)
}
