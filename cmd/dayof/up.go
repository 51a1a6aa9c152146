package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/internal/server"
)

// portBaseDefault is the console's port; the others follow it.
const portBaseDefault = 8288

func upCommand() command {
	return command{
		name: "up", args: "[-data DIR] [-port-base N]",
		about: "run database, sandbox and all services until interrupted",
		build: func(flags *pflag.FlagSet) action {
			data := flags.String("data", filepath.Dir(defaultDevFile), "`DIR` that keeps all data, and dev.json")
			portBase := flags.Int("port-base", portBaseDefault, "port of the console; services, Postgres and the sandbox take those after it")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				if *portBase < 1 || *portBase > 65000 {
					return usagef("-port-base is 1 to 65000")
				}
				return up(ctx, h, *data, *portBase)
			}
		},
	}
}

// up runs everything until ctx ends or a part ends by itself, then drains.
func up(ctx context.Context, h host, data string, portBase int) (err error) {
	if err := server.CheckNames(withoutCrashPoint(h.environ)); err != nil {
		return err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("open data directory: %w", err)
	}
	devFile := filepath.Join(data, filepath.Base(defaultDevFile))
	if err := client.RemoveFile(devFile); err != nil {
		return err
	}
	logger, err := h.logger()
	if err != nil {
		return err
	}
	h.say("starting Postgres, the sandbox and four services; all data is in %s ...", data)
	m, err := cluster.Start(ctx, cluster.Config{
		DataDir: data, PortBase: portBase, Logger: logger, Clock: h.clock, Getenv: h.getenv,
	})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, client.RemoveFile(devFile), m.Stop(ctx))
	}()
	h.say("all services are healthy; putting an event on sale ...")
	event, err := client.NewClient(m.File).Seed(ctx, h.clock.Now())
	if err != nil {
		return err
	}
	if err := client.WriteFile(devFile, m.File); err != nil {
		return err
	}
	if err := printAddresses(h, m.File, devFile, event.GetName()); err != nil {
		return err
	}
	select {
	case err := <-m.Failed():
		return err
	case <-ctx.Done():
		return nil
	}
}

func printAddresses(h host, f client.File, devFile, eventName string) error {
	if h.json {
		return h.printJSON(f)
	}
	for _, line := range []struct{ name, value string }{
		{"console", f.ConsoleURL},
		{"checkout", f.CheckoutURL},
		{"pass", f.PassURL},
		{"ledger", f.LedgerURL},
		{"webhook", f.WebhookURL},
		{"stripe", f.Sandbox.StripeURL + "  (sandbox)"},
		{"formance", f.Sandbox.FormanceURL},
		{"apns", f.Sandbox.APNsURL + "  (sandbox)"},
		{"addresses", devFile},
		{"on sale", eventName},
	} {
		fmt.Fprintf(h.stdout, "%-10s %s\n", line.name, line.value)
	}
	h.devFile = devFile
	_, err := fmt.Fprintf(h.stdout, "ready; in another terminal try:\n  %s\n  %s\n  %s\n", h.call("sell"), h.call("orders"), h.call("check"))
	return err
}

// logger writes to stderr as text for people, from the level that DAYOF_LOG_LEVEL names, by default warnings.
func (h host) logger() (*slog.Logger, error) {
	level, err := server.LogLevel(h.getenv, slog.LevelWarn)
	if err != nil {
		return nil, err
	}
	return slog.New(slog.NewTextHandler(h.stderr, &slog.HandlerOptions{Level: level})), nil
}
