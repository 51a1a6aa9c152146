package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/passsvc/pkpass"
)

func passVerifyCommand() command {
	return command{
		name: "pass verify", args: "FILE [-ca FILE]", about: "say what iOS would say to a .pkpass, in plain words",
		build: func(flags *pflag.FlagSet) action {
			ca := flags.String("ca", "", "PEM `FILE` of the only roots to trust; default: any chain, with a warning when it is not Apple's")
			return func(_ context.Context, h host, args []string) error {
				if err := wantArgs(args, "the .pkpass file"); err != nil {
					return err
				}
				archive, err := os.ReadFile(args[0])
				if err != nil {
					return fmt.Errorf("read pass: %w", err)
				}
				options := pkpass.VerifyOptions{Now: h.clock.Now()}
				if *ca != "" {
					if options.Roots, err = readRoots(*ca); err != nil {
						return err
					}
				}
				return reportPass(h, pkpass.Verify(archive, options))
			}
		},
	}
}

func readRoots(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read roots: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read roots: %s holds no certificate", path)
	}
	return roots, nil
}

// reportPass prints the outcome. A pass that iOS refuses is a failure.
func reportPass(h host, r *pkpass.Report) error {
	if h.json {
		err := h.printJSON(struct {
			Accepted bool `json:"accepted"`
			*pkpass.Report
		}{r.Accepted(), r})
		if err != nil {
			return err
		}
	} else {
		for _, f := range r.Findings {
			fmt.Fprintln(h.stdout, f)
		}
		outcome := "iOS accepts this pass"
		if !r.Accepted() {
			outcome = "iOS refuses this pass"
		}
		fmt.Fprintln(h.stdout, outcome)
	}
	if !r.Accepted() {
		return errReported
	}
	return nil
}
