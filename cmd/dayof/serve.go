package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/crashpoint"
	"github.com/dayof/dayof/internal/server"
)

func serveCommand() command {
	return command{
		name: "serve", args: strings.Join(server.Services(), "|"), about: "run one service as dayof-server does, with crash points for tests",
		words: server.Services(),
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args, "the service"); err != nil {
					return err
				}
				if err := wantServices(args); err != nil {
					return err
				}
				if err := crashpoint.Arm(h.getenv(crashpoint.Setting)); err != nil {
					return err
				}
				logger, err := server.NewLogger(h.stderr, h.getenv)
				if err != nil {
					return err
				}
				return server.Serve(ctx, args[0], server.Options{Getenv: h.getenv, Environ: withoutCrashPoint(h.environ), Logger: logger, Clock: h.clock})
			}
		},
	}
}

// withoutCrashPoint drops the setting of tests that services know nothing of and would refuse.
func withoutCrashPoint(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool { return strings.HasPrefix(entry, crashpoint.Setting+"=") })
}

func migrateCommand() command {
	return command{
		name: "migrate", args: "[SERVICE ...]", about: "bring the databases of services up to date and end; default: those whose URL is set",
		words: server.Services(),
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantServices(args); err != nil {
					return err
				}
				done, err := server.MigrateAll(ctx, args, h.getenv)
				for _, service := range done {
					h.say("%s is up to date", service)
				}
				if err != nil || !h.json {
					return err
				}
				return h.printJSON(struct {
					Migrated []string `json:"migrated"`
				}{done})
			}
		},
	}
}

// wantServices refuses names that are no service's.
func wantServices(names []string) error {
	for _, name := range names {
		if !slices.Contains(server.Services(), name) {
			return usagef("no such service: %s; one of %s", name, strings.Join(server.Services(), ", "))
		}
	}
	return nil
}
