// Command dayof runs, drives and inspects the whole system: see `dayof help`.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/pgdb"
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

// host is what a command uses of the machine, so that a test can run it.
type host struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        []string
	clock          clock.Clock

	json    bool   // -json: one JSON value instead of text
	devFile string // -dev: where a running `dayof up` wrote its addresses
}

// commands are all that dayof can do, in the order in which usage shows them.
func commands() []command {
	return []command{
		upCommand(), demoCommand(),
		sellCommand(), orderShowCommand(), orderRefundCommand(), passSetCommand(), passVerifyCommand(),
		replayCommand(), faultSetCommand(), faultClearCommand(), faultListCommand(), checkCommand(), reconcileCommand(),
		jobsListCommand(), jobsShowCommand(), jobsRetryCommand(),
		webhooksListCommand(), webhooksShowCommand(), webhooksRetryCommand(),
		dlqListCommand(), dlqShowCommand(), dlqRetryCommand(),
		serveCommand(), migrateCommand(), doctorCommand(),
	}
}
