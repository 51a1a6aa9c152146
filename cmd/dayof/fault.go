package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/sandbox/fault"
)

func faultSetCommand() command {
	return command{
		name: "fault set", args: "PARTY mode=M [rate=R] [latency=D] [count=N] [match=TEXT] [status=S] [retry_after=D]",
		about:   "make a sandbox party fail: ledger, stripe, apns or mail; modes: refuse, 5xx, 429, slow, hang, lost_reply, half_body; of stripe also 4xx, stored_5xx, stored_5xx_done",
		driving: true, timeout: commandTimeout, words: []string{"ledger", "stripe", "apns", "mail"},
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if len(args) < 2 {
					return usagef("give the party and mode=...")
				}
				wanted, err := readFault(args[1:])
				if err != nil {
					return err
				}
				body, err := json.Marshal(wanted)
				if err != nil {
					return err
				}
				return h.faults(ctx, http.MethodPut, "/"+url.PathEscape(args[0]), body)
			}
		},
	}
}

func faultClearCommand() command {
	return command{
		name: "fault clear", args: "[PARTY]", about: "end the fault of a party, or all faults", driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				path := ""
				if len(args) == 1 {
					path = "/" + url.PathEscape(args[0])
				} else if err := wantArgs(args); err != nil {
					return err
				}
				return h.faults(ctx, http.MethodDelete, path, nil)
			}
		},
	}
}

func faultListCommand() command {
	return command{
		name: "fault list", about: "show the faults in force and how often they struck", driving: true, timeout: commandTimeout,
		build: func(*pflag.FlagSet) action {
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				return h.faults(ctx, http.MethodGet, "", nil)
			}
		},
	}
}

// readFault reads key=value pairs. Durations are written like 250ms or 2s; a bare number is milliseconds.
func readFault(pairs []string) (fault.Fault, error) {
	f := fault.Fault{Rate: 1}
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		var err error
		switch key {
		case "mode":
			f.Mode = fault.Mode(value)
		case "rate":
			f.Rate, err = strconv.ParseFloat(value, 64)
		case "latency":
			var d time.Duration
			d, err = readDuration(value)
			f.LatencyMS = int(d.Milliseconds())
		case "retry_after":
			var d time.Duration
			d, err = readDuration(value)
			f.RetryAfterSeconds = int(d.Seconds())
		case "count":
			f.Count, err = strconv.Atoi(value)
		case "status":
			f.Status, err = strconv.Atoi(value)
		case "match":
			f.Match = value
		default:
			return f, usagef("%q is none of mode=, rate=, latency=, count=, match=, status=, retry_after=", pair)
		}
		if err != nil {
			return f, usagef("%s: %q cannot be read", key, value)
		}
	}
	return f, nil
}

func readDuration(text string) (time.Duration, error) {
	if ms, err := strconv.Atoi(text); err == nil {
		return time.Duration(ms) * time.Millisecond, nil
	}
	return time.ParseDuration(text)
}

// faults calls the control API of the sandbox's faults and prints its answer, the faults in force.
func (h host) faults(ctx context.Context, method, path string, body []byte) error {
	file, err := h.file(ctx)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, file.Sandbox.FaultsURL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("call the sandbox: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("read the sandbox's answer: %w", err)
	}
	if res.StatusCode == http.StatusBadRequest {
		var refusal struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(answer, &refusal) == nil && refusal.Error != "" {
			return usagef("%s", refusal.Error)
		}
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the sandbox answers %s: %s", res.Status, answer)
	}
	var faults map[string]any
	if err := json.Unmarshal(answer, &faults); err != nil {
		return fmt.Errorf("read the sandbox's answer: %w", err)
	}
	if len(faults) == 0 && !h.json {
		_, err := fmt.Fprintln(h.stdout, "no faults: every party does what it should")
		return err
	}
	return h.printJSON(faults)
}
