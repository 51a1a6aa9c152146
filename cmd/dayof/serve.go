package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/internal/server"
)

func serveCommand() command {
	return command{
		name: "serve", args: strings.Join(client.Services, "|"), about: "run one service from the environment (docs/configuration.md)",
		build: func(*flag.FlagSet) action {
			return func(ctx context.Context, w world, args []string) error {
				if err := wantArgs(args, "the service"); err != nil {
					return err
				}
				if !slices.Contains(client.Services, args[0]) {
					return usagef("no such service: %s; one of %s", args[0], strings.Join(client.Services, ", "))
				}
				logger, err := w.logger(slog.LevelInfo, true)
				if err != nil {
					return err
				}
				return server.Serve(ctx, args[0], server.Options{Getenv: w.getenv, Environ: w.environ, Logger: logger, Clock: w.clock})
			}
		},
	}
}

func migrateCommand() command {
	return command{
		name: "migrate", args: "[SERVICE ...]", about: "bring the databases of services up to date and end; default: those whose URL is set",
		build: func(*flag.FlagSet) action {
			return func(ctx context.Context, w world, args []string) error {
				services := args
				for _, service := range client.Services {
					if len(args) == 0 && w.getenv("DAYOF_"+strings.ToUpper(service)+"_DATABASE_URL") != "" {
						services = append(services, service)
					}
				}
				if len(services) == 0 {
					return errors.New("nothing to migrate: set DAYOF_CHECKOUT_DATABASE_URL, DAYOF_PASS_DATABASE_URL, " +
						"DAYOF_LEDGER_DATABASE_URL or DAYOF_WEBHOOK_DATABASE_URL")
				}
				for _, service := range services {
					if !slices.Contains(client.Services, service) {
						return usagef("no such service: %s; one of %s", service, strings.Join(client.Services, ", "))
					}
					if err := server.Migrate(ctx, service, w.getenv); err != nil {
						return fmt.Errorf("%s: %w", service, err)
					}
					w.say("%s is up to date", service)
				}
				if w.json {
					return w.printJSON(struct {
						Migrated []string `json:"migrated"`
					}{services})
				}
				return nil
			}
		},
	}
}
