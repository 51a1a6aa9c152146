// Command dayof-server runs dayof in production: one service, or all four in one process, from the environment. It holds
// no stand-ins for external services; those are in the command dayof.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/server"
)

// Exit codes: scripts rely on them.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	pgdb.DropEnvironment()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], host{
		stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, environ: os.Environ(), clock: clock.System{},
	})
	stop()
	os.Exit(code)
}

// host is what the program uses of the machine, so that a test can run it.
type host struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        []string
	clock          clock.Clock
}

// usageError is a wrong call; it ends with exit code 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// usage lists what the program does.
func usage() string {
	services := strings.Join(server.Services(), "|")
	return `dayof-server runs dayof's services from the environment (docs/configuration.md) until SIGTERM, then drains them.

  dayof-server ` + services + `  one service
  dayof-server all                           all of them in one process, each with its own database and listener
  dayof-server migrate [SERVICE ...]         bring databases up to date and end; default: those whose URL is set
  dayof-server doctor [SERVICE ...]          say what a start would find wrong: settings, secrets (never their values), certificates,
                                             databases, other services, Stripe and its endpoints, ledger, mail and push; default: all
  dayof-server --version

A service migrates its database when it starts. Exit status: 0 done; 1 failed; 2 wrong usage.
`
}

// run executes one command line and returns the exit code. An error goes to stderr as one line.
func run(ctx context.Context, args []string, h host) int {
	err := execute(ctx, args, h)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(h.stderr, "dayof-server: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	if errors.As(err, &usageError{}) {
		fmt.Fprintln(h.stderr, "try: dayof-server --help")
		return exitUsage
	}
	return exitFailed
}

func execute(ctx context.Context, args []string, h host) error {
	if len(args) == 0 {
		return usageError{"name a service, all, migrate or doctor"}
	}
	switch name, rest := args[0], args[1:]; {
	case slices.Contains([]string{"-h", "-help", "--help", "help"}, name):
		fmt.Fprint(h.stdout, usage())
		return nil
	case slices.Contains([]string{"-version", "--version", "version"}, name):
		fmt.Fprintln(h.stdout, "dayof-server", server.Version())
		return nil
	case name == "migrate":
		return migrate(ctx, rest, h)
	case name == "doctor":
		return doctor(ctx, rest, h)
	case name != "all" && !slices.Contains(server.Services(), name):
		return usageError{fmt.Sprintf("no such service: %s; one of %s, or all, migrate or doctor", name, strings.Join(server.Services(), ", "))}
	case len(rest) > 0:
		return usageError{fmt.Sprintf("unexpected argument %q", rest[0])}
	default:
		return serve(ctx, name, h)
	}
}

func serve(ctx context.Context, name string, h host) error {
	logger, err := server.NewLogger(h.stderr, h.getenv)
	if err != nil {
		return err
	}
	options := server.Options{Getenv: h.getenv, Environ: h.environ, Logger: logger, Clock: h.clock}
	if name == "all" {
		return server.ServeAll(ctx, options)
	}
	return server.Serve(ctx, name, options)
}

// wantServices refuses names that are none of a service.
func wantServices(names []string) error {
	for _, name := range names {
		if !slices.Contains(server.Services(), name) {
			return usageError{fmt.Sprintf("no such service: %s; one of %s", name, strings.Join(server.Services(), ", "))}
		}
	}
	return nil
}

func doctor(ctx context.Context, names []string, h host) error {
	if err := wantServices(names); err != nil {
		return err
	}
	if len(names) == 0 {
		names = server.Services()
	}
	var findings []server.Finding
	for _, name := range names {
		found, err := server.Diagnose(ctx, name, "", h.getenv, h.clock)
		if err != nil {
			return err
		}
		findings = append(findings, found...)
	}
	server.PrintFindings(h.stdout, findings)
	return server.Problems(findings)
}

func migrate(ctx context.Context, names []string, h host) error {
	if err := wantServices(names); err != nil {
		return err
	}
	done, err := server.MigrateAll(ctx, names, h.getenv)
	for _, name := range done {
		fmt.Fprintf(h.stdout, "%s is up to date\n", name)
	}
	return err
}
