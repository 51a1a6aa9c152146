package main

import (
	"bytes"
	"flag"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/dayof/dayof/internal/chassis/clock"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want []string
		n    int
		b    bool
	}{
		"flags first":          {args: []string{"-n", "3", "-b", "x", "y"}, want: []string{"x", "y"}, n: 3, b: true},
		"flags last":           {args: []string{"x", "y", "-b", "-n", "3"}, want: []string{"x", "y"}, n: 3, b: true},
		"flags between":        {args: []string{"x", "--n=3", "y", "-b"}, want: []string{"x", "y"}, n: 3, b: true},
		"arguments like flags": {args: []string{"-n", "3", "--", "-b", "y"}, want: []string{"-b", "y"}, n: 3},
		"nothing":              {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flags := flag.NewFlagSet("test", flag.ContinueOnError)
			n, b := flags.Int("n", 0, ""), flags.Bool("b", false, "")
			got, err := parse(flags, c.args)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.want) || *n != c.n || *b != c.b {
				t.Errorf("got %q n=%d b=%v", got, *n, *b)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args string
		want string // command, "" for help
		rest string
	}{
		"one word":                {args: "sell -tickets 2", want: "sell", rest: "-tickets 2"},
		"flags before":            {args: "-json -dev order sell", want: "sell", rest: "-json -dev order"},
		"two words":               {args: "order show ID -json", want: "order show", rest: "ID -json"},
		"flags between the words": {args: "order -json show ID", want: "order show", rest: "-json ID"},
		"a list by itself":        {args: "jobs -json", want: "jobs list", rest: "-json"},
		"help":                    {args: "help"},
		"help by a flag":          {args: "-h"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chosen, rest, err := choose(commands(), strings.Fields(c.args))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if chosen != nil {
				got = chosen.name
			}
			if got != c.want || strings.Join(rest, " ") != c.rest {
				t.Errorf("got %q with %q", got, rest)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]int{
		"help":                      exitDone,
		"sell -h":                   exitDone,
		"":                          exitUsage,
		"fly":                       exitUsage,
		"order":                     exitUsage,
		"order show":                exitUsage,
		"sell -tickets many":        exitUsage,
		"sell -tickets 0":           exitUsage,
		"sell -via mail":            exitUsage,
		"sell now":                  exitUsage,
		"pass set serial gate":      exitUsage,
		"replay":                    exitUsage,
		"webhooks list -state lost": exitUsage,
		"jobs show 17":              exitUsage,
		"jobs fly":                  exitUsage,
		"fault set ledger":          exitUsage,
		"fault set ledger mood=bad": exitUsage,
		"fault set ledger rate=x":   exitUsage,
		"sell -dev /nonexistent":    exitFailed,
		"-dev /nonexistent sell":    exitFailed,
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			w := world{stdout: io.Discard, stderr: &stderr, getenv: func(string) string { return "" }, clock: clock.System{}}
			if got := run(t.Context(), strings.Fields(args), w); got != want {
				t.Errorf("exit code %d, want %d: %s", got, want, stderr.String())
			}
			if want == exitFailed && strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("not one line: %s", stderr.String())
			}
		})
	}
}
