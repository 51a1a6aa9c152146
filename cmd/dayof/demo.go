package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/internal/server"
)

func demoCommand() command {
	return command{
		name: "demo", args: "[-out DIR]",
		about: "sell one ticket on a private system; keep ticket.pkpass, order.json and ledger.json",
		build: func(flags *pflag.FlagSet) action {
			out := flags.String("out", ".", "`DIR` that the three files are written to")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				return demo(ctx, h, *out)
			}
		},
	}
}

// demo starts everything on free ports in a temporary directory, sells one ticket whose payment only Stripe's webhook
// reports, and writes the result.
func demo(ctx context.Context, h host, out string) (err error) {
	files := []string{filepath.Join(out, "ticket.pkpass"), filepath.Join(out, "order.json"), filepath.Join(out, "ledger.json")}
	if err := checkOutput(out, files); err != nil {
		return err
	}
	if err := server.CheckNames(withoutCrashPoint(h.environ)); err != nil {
		return err
	}
	logger, err := h.logger()
	if err != nil {
		return err
	}
	h.say("starting Postgres, the sandbox and four services ...")
	m, err := cluster.Start(ctx, cluster.Config{Logger: logger, Clock: h.clock, Getenv: h.getenv})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Stop(ctx)) }()

	ctx, cancel := context.WithTimeoutCause(ctx, commandTimeout, fmt.Errorf("the sale was not completed within %v", commandTimeout))
	defer cancel()
	system := client.NewClient(m.File)
	event, err := system.Seed(ctx, h.clock.Now())
	if err != nil {
		return err
	}
	h.say("selling one ticket of %q: the card is charged, and Stripe's signed webhook reports it ...", event.GetName())
	sale, err := system.Sell(ctx, client.Purchase{Tickets: 1, Via: client.ViaWebhook})
	if err != nil {
		return err
	}
	if err := awaitIdle(ctx, system, sale.OrderID); err != nil {
		return err
	}
	order, err := system.Order(ctx, sale.OrderID)
	if err != nil {
		return err
	}
	statement, err := system.Statement(ctx)
	if err != nil {
		return err
	}
	pass, err := fetchPass(ctx, system, sale.Tickets[0])
	if err != nil {
		return err
	}
	err = errors.Join(writeFile(files[0], pass), writeJSON(files[1], order), writeJSON(files[2], statement))
	if err != nil {
		return err
	}
	if h.json {
		return h.printJSON(struct {
			client.Sale
			Files []string `json:"files"`
		}{sale, files})
	}
	h.say("order %s is %s and %s; its ticket %s is %s", sale.OrderID, sale.PaymentState, sale.FulfilmentState, sale.Tickets[0].ID, sale.Tickets[0].State)
	for asset, balance := range statement.TrialBalance {
		h.say("the books have %d postings; the trial balance in %s is %s", len(statement.Postings), asset, balance)
	}
	for _, file := range files {
		h.say("wrote %s", file)
	}
	return nil
}

// awaitIdle waits until nothing is left to do about an order, its fee booked.
func awaitIdle(ctx context.Context, system *client.Client, orderID string) error {
	watch, err := idle.NewWatch(ctx, system)
	if err != nil {
		return err
	}
	defer watch.Close()
	return watch.Await(ctx, idle.Scope{Orders: []string{orderID}, Fees: true})
}

// say prints a line of progress for people; -json leaves it out.
func (h host) say(format string, args ...any) {
	if !h.json {
		fmt.Fprintf(h.stdout, format+"\n", args...)
	}
}

// fetchPass gets the archive of a ticket as a device does: by serial and token.
func fetchPass(ctx context.Context, system *client.Client, t client.Ticket) ([]byte, error) {
	url := system.File.PassURL + "/v1/passes/" + system.File.PassTypeIdentifier + "/" + t.PassSerial
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "ApplePass "+t.AuthenticationToken)
	res, err := system.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch pass: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch pass: passsvc answers %s", res.Status)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("fetch pass: %w", err)
	}
	return body, nil
}

func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return writeFile(path, append(text, '\n'))
}

// checkOutput makes the directory and checks that the files can be written there, before anything takes long.
func checkOutput(dir string, files []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the directory may be shared; the files are not
		return fmt.Errorf("open output directory: %w", err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			return fmt.Errorf("open output directory: %s is a directory", file)
		}
	}
	probe, err := os.CreateTemp(dir, ".dayof-*")
	if err != nil {
		return fmt.Errorf("open output directory: %w", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// writeFile replaces a file by one that only its owner reads: the files hold tokens and a ticket.
func writeFile(path string, body []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".dayof-*") // with mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(body)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}
