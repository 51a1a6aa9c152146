package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/dayof/dayof/devenv/scenario"
)

func replayCommand() command {
	return command{
		name: "replay", args: "-events DIR -stories FILE [-shuffle SEED] [-double] [-at-once]",
		about: "replay Stripe's webhooks and compare where they end", driving: true,
		build: func(flags *pflag.FlagSet) action {
			events := flags.String("events", "", "`DIR` of the event files")
			file := flags.String("stories", "", "`FILE` of the scenarios")
			seed := flags.Uint64("shuffle", 0, "`SEED` of an order of delivery; default: the scenario's own order")
			double := flags.Bool("double", false, "deliver every event twice")
			atOnce := flags.Bool("at-once", false, "deliver all events of a scenario at the same time")
			return func(ctx context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				if *events == "" || *file == "" {
					return usagef("-events and -stories are required")
				}
				options := scenario.Options{Events: *events, Seed: *seed, Double: *double, AtOnce: *atOnce, Clock: h.clock}
				flags.Visit(func(f *pflag.Flag) { options.Shuffle = options.Shuffle || f.Name == "shuffle" })
				return replay(ctx, h, *file, options)
			}
		},
	}
}

// replayReport is what -json prints.
type replayReport struct {
	Scenarios []scenario.Result `json:"stories"`
	Passed    int               `json:"passed"`
	Failed    int               `json:"failed"`
}

func replay(ctx context.Context, h host, file string, options scenario.Options) error {
	all, err := scenario.Load(file)
	if err != nil {
		return err
	}
	client, err := h.client(ctx)
	if err != nil {
		return err
	}
	report := replayReport{Scenarios: []scenario.Result{}}
	for _, s := range all {
		result := scenario.Replay(ctx, client, s, options)
		if result.Passed {
			report.Passed++
		} else {
			report.Failed++
		}
		report.Scenarios = append(report.Scenarios, result)
		if !h.json {
			printScenario(h.stdout, s, result)
		}
	}
	if h.json {
		err = h.printJSON(report)
	} else {
		_, err = fmt.Fprintf(h.stdout, "%d passed, %d failed\n", report.Passed, report.Failed)
	}
	if err == nil && report.Failed > 0 {
		return errReported
	}
	return err
}

// printScenario prints the end state of one scenario, a key a line, with what was expected where it differs.
func printScenario(out io.Writer, s scenario.Scenario, r scenario.Result) {
	outcome := "passed"
	if !r.Passed {
		outcome = "FAILED"
	}
	fmt.Fprintf(out, "%s %s: %s\n", outcome, s.Key, s.Title)
	if r.Error != "" {
		fmt.Fprintf(out, "  error: %s\n", r.Error)
		return
	}
	fmt.Fprintf(out, "  order_id: %s\n", r.OrderID)
	for _, line := range fields(r.EndState) {
		fmt.Fprintf(out, "  %s\n", line)
	}
	for _, d := range r.Differences {
		fmt.Fprintf(out, "  DIFFERENT %s: want %s, got %s\n", d.Name, text(d.Want), text(d.Got))
	}
	for _, name := range r.NotCompared {
		fmt.Fprintf(out, "  not compared: %s\n", name)
	}
	if r.Left != "" {
		fmt.Fprintf(out, "  LEFT TO DO: %s\n", r.Left)
	}
}

// fields writes a struct as its JSON keys and values, a line each, in the order of the struct.
func fields(value any) []string {
	encoded, err := json.Marshal(value)
	if err != nil {
		return []string{err.Error()}
	}
	decoder := json.NewDecoder(strings.NewReader(string(encoded)))
	if _, err := decoder.Token(); err != nil { // the opening brace
		return []string{err.Error()}
	}
	var lines []string
	for decoder.More() {
		key, keyErr := decoder.Token()
		var raw json.RawMessage
		if err := errors.Join(keyErr, decoder.Decode(&raw)); err != nil {
			return append(lines, err.Error())
		}
		lines = append(lines, fmt.Sprintf("%v: %s", key, raw))
	}
	return lines
}

func text(value any) string {
	encoded, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(encoded)
}
