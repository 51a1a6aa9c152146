// Command photographs shows what people get to see: it plays sales, refunds, transfers, a dispute, a move and a cancellation, and photographs
// each mail and each page on a phone and on a desk, light and dark. index.html in the folder has them side by side.
//
//	go run ./e2e/photographs -out DIR [-browser chromium]
//
// It needs Chromium.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/pgtest"
)

func main() { os.Exit(program()) }

func program() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "photographs:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("photographs", flag.ContinueOnError)
	folder := flags.String("out", "", "folder to write to")
	browser := flags.String("browser", "chromium", "the browser's program")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *folder == "" {
		return errors.New("name a folder: -out DIR")
	}
	c, err := cluster.Start(ctx, cluster.Config{
		Replicas: 1, PostgresSettings: pgtest.Settings(), Logger: slog.New(slog.DiscardHandler),
		Settings: map[string]string{
			"DAYOF_SHOP_URL": "https://shop.example", "DAYOF_PASS_SUPPORT_CONTACT": "help@shop.example",
			"DAYOF_CHECKOUT_BLOCKED_AFTER": "2s", "DAYOF_CHECKOUT_GIVE_UP_AFTER": "5s",
		},
	})
	if err != nil {
		return fmt.Errorf("start the cluster: %w", err)
	}
	defer func() { _ = c.Stop(context.WithoutCancel(ctx)) }() // a cluster of this command alone
	s := scene{cluster: c, client: client.NewClient(c.File)}
	subjects, err := s.play(ctx)
	if err != nil {
		return err
	}
	files, err := photograph(ctx, *browser, *folder, subjects)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d photographs of %d mails and pages\n", files, len(subjects))
	return nil
}
