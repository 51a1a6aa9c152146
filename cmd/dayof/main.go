// Command dayof runs, drives and inspects the whole system: see `dayof help`.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

func main() {
	pgdb.DropEnvironment()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], host{
		stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, environ: os.Environ(), clock: clock.System{}, program: program(os.Args[0]),
	})
	stop()
	os.Exit(code)
}

// program is how to start this program again: as it was started, `go run` included, which runs a build of a directory that
// is gone afterwards.
func program(arg0 string) string {
	if strings.Contains(filepath.ToSlash(arg0), "/go-build") {
		return "go run ./cmd/dayof"
	}
	return quote(arg0)
}

// host is what a command uses of the machine, so that a test can run it.
type host struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        []string
	clock          clock.Clock
	program        string // how to start it again; empty: dayof

	json    bool   // -json: one JSON value instead of text
	devFile string // -dev: where a running `dayof up` wrote its addresses
}

// commands are all that dayof can do, in the order in which usage shows them.
func commands() []command {
	return []command{
		upCommand(), demoCommand(),
		sellCommand(), ordersCommand(), orderShowCommand(), orderRefundCommand(), orderRetryCommand(), orderResendCommand(), orderCorrectCommand(), admitCommand(),
		ticketTransferCommand(), ticketReissueCommand(), passSetCommand(), passVerifyCommand(),
		eventListCommand(), eventCreateCommand(), eventShowCommand(), eventPublishCommand(), eventArchiveCommand(),
		promotionCreateCommand(), promotionListCommand(), promotionArchiveCommand(),
		eventSeatsCommand(), eventMoveCommand(), eventCancelCommand(), operationShowCommand(),
		replayCommand(), faultSetCommand(), faultClearCommand(), faultListCommand(), checkCommand(), reconcileCommand(),
		jobsListCommand(), jobsShowCommand(), jobsRetryCommand(),
		webhooksListCommand(), webhooksShowCommand(), webhooksRetryCommand(),
		alertsCommand(), casesListCommand(), casesResolveCommand(),
		dlqListCommand(), dlqShowCommand(), dlqRetryCommand(),
		serveCommand(), migrateCommand(), doctorCommand(), versionCommand(),
	}
}
