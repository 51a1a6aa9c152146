package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/dayof/dayof/devenv/client"
)

// defaultDevFile is where `dayof up` writes its addresses unless -data says otherwise.
const defaultDevFile = ".dayof/dev.json"

// printJSON prints one value: on one line with -json, indented for people otherwise.
func (h host) printJSON(value any) error {
	encoder := json.NewEncoder(h.stdout)
	encoder.SetEscapeHTML(false)
	if !h.json {
		encoder.SetIndent("", "  ")
	}
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// printList prints a list: one JSON array with -json, else a line of each or, for an empty one, that it is empty.
func printList[T any](h host, list []T, empty string, line func(T) string) error {
	if h.json {
		return h.printJSON(list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(h.stdout, empty)
		return err
	}
	for _, item := range list {
		if _, err := fmt.Fprintln(h.stdout, line(item)); err != nil {
			return err
		}
	}
	return nil
}

// call is a command line that works as it is printed: with the program as it was started and the file of addresses that it
// was told.
func (h host) call(args string) string {
	line := cmp.Or(h.program, "dayof") + " " + args
	if h.devFile != "" && h.devFile != defaultDevFile {
		line += " -" + devFlag + " " + quote(h.devFile)
	}
	return line
}

// quote writes a word for a shell.
func quote(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !strings.ContainsRune(plainCharacters, r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// plainCharacters mean themselves in a shell.
const plainCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:,@%"

// probeTimeout bounds the look whether a system still runs.
const probeTimeout = 2 * time.Second

// file reads the addresses of the running dayof that -dev names. One that was killed leaves its file behind: nobody listens
// at its addresses then.
func (h host) file(ctx context.Context) (client.File, error) {
	file, err := client.ReadFile(h.devFile)
	if err != nil {
		return file, err
	}
	address, err := url.Parse(cmp.Or(file.ConsoleURL, file.CheckoutURL))
	if err != nil {
		return file, fmt.Errorf("read addresses: %s: %w", h.devFile, err)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address.Host)
	if err != nil {
		return file, fmt.Errorf("no dayof is running: %s is left of one that ended without tidying up (nobody listens at %s); start one with `%s`",
			h.devFile, address.Host, cmp.Or(h.program, "dayof")+" up")
	}
	return file, conn.Close()
}

// client reaches the running dayof that -dev names.
func (h host) client(ctx context.Context) (*client.Client, error) {
	file, err := h.file(ctx)
	if err != nil {
		return nil, err
	}
	return client.NewClient(file), nil
}
