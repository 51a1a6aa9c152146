package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/dayof/dayof/internal/chassis/clock"
)

func TestDoubleDashes(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                                 "",
		"-data DIR -port-base 9 x":         "--data DIR --port-base 9 x",
		"x --json -dev=FILE":               "x --json --dev=FILE",
		"-h -v - -5 -10 --":                "-h -v - -5 -10 --",
		"-json -- -json":                   "--json -- -json",
		"fault set ledger mode=slow -json": "fault set ledger mode=slow --json",
	} {
		if got := strings.Join(doubleDashes(strings.Fields(args)), " "); got != want {
			t.Errorf("%q: got %q, want %q", args, got, want)
		}
	}
}

// TestCommandLine parses whole command lines, flags before, between and behind the words of a command and its arguments.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	for args, c := range map[string]struct {
		command string
		args    string
		flag    string // name=value
	}{
		"sell -tickets 2":                     {"dayof sell", "", "tickets=2"},
		"-json sell":                          {"dayof sell", "", "json=true"},
		"-dev order sell":                     {"dayof sell", "", "dev=order"},
		"order show ID -json":                 {"dayof order show", "ID", "json=true"},
		"order -json show ID":                 {"dayof order show", "ID", "json=true"},
		"order refund -ticket T ID":           {"dayof order refund", "ID", "ticket=T"},
		"order refund ID -amount=5 -dev FILE": {"dayof order refund", "ID", "amount=5"},
		"jobs -json":                          {"dayof jobs", "", "json=true"},
		"jobs -state completed":               {"dayof jobs", "", "state=completed"},
		"jobs list -state completed":          {"dayof jobs list", "", "state=completed"},
		"pass set SERIAL gate=B seat=12":      {"dayof pass set", "SERIAL gate=B seat=12", "json=false"},
		"admit CODE -gate north -undo":        {"dayof admit", "CODE", "undo=true"},
		"ticket reissue ID":                   {"dayof ticket reissue", "ID", "json=false"},
		"ticket transfer ID -name N -email E": {"dayof ticket transfer", "ID", "email=E"},
		"up -data DIR --port-base 9000":       {"dayof up", "", "port-base=9000"},
		"replay -shuffle 7 -events D -double": {"dayof replay", "", "shuffle=7"},
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			h, name := host{stdout: io.Discard, stderr: io.Discard}, ""
			cmd, rest, err := newRoot(&h, &name).Find(doubleDashes(strings.Fields(args)))
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err != nil {
				t.Fatal(err)
			}
			key, value, _ := strings.Cut(c.flag, "=")
			if got := strings.Join(cmd.Flags().Args(), " "); cmd.CommandPath() != c.command || got != c.args || cmd.Flag(key).Value.String() != value {
				t.Errorf("got %s with %q, -%s=%s", cmd.CommandPath(), got, key, cmd.Flag(key).Value)
			}
		})
	}
}

// TestHelp shows how each command is called, the version, and a completion script.
func TestHelp(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"help":             "dayof order refund ID [-ticket T] [-amount N] [-payment P]",
		"-help":            "dayof sells tickets",
		"sell -h":          "--tickets",
		"help order show":  "dayof order show ID",
		"order -h":         "refund",
		"--version":        "dayof ",
		"-version":         "go1.",
		"version":          "dayof ",
		"--help":           "dayof order retry ID",
		"completion zsh":   "compdef",
		"completion bash":  "__start_dayof",
		"__complete serve": "checkout",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			h := host{stdout: &out, stderr: io.Discard, getenv: func(string) string { return "" }, clock: clock.System{}}
			words := strings.Fields(args)
			if words[0] == "__complete" {
				words = append(words, "") // what is to be completed
			}
			if code := run(t.Context(), words, h); code != exitDone || !strings.Contains(out.String(), want) {
				t.Errorf("exit code %d: %s", code, out.String())
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
		"admit":                     exitUsage,
		"ticket transfer ID":        exitUsage,
		"replay":                    exitUsage,
		"webhooks list -state lost": exitUsage,
		"jobs show 17":              exitUsage,
		"jobs fly":                  exitUsage,
		"fault set ledger":          exitUsage,
		"fault set ledger mood=bad": exitUsage,
		"fault set ledger rate=x":   exitUsage,
		"serve mail":                exitUsage,
		"up -dev FILE":              exitUsage,
		"up -port-base 0":           exitUsage,
		"sell -nothing":             exitUsage,
		"sell -dev /nonexistent":    exitFailed,
		"-dev /nonexistent sell":    exitFailed,
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			h := host{stdout: io.Discard, stderr: &stderr, getenv: func(string) string { return "" }, clock: clock.System{}}
			if got := run(t.Context(), strings.Fields(args), h); got != want {
				t.Errorf("exit code %d, want %d: %s", got, want, stderr.String())
			}
			if want == exitFailed && strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("not one line: %s", stderr.String())
			}
		})
	}
}

// TestMisspeltSettings has up and demo refuse settings that nobody knows, as services do, before anything starts.
func TestMisspeltSettings(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"up", "-data", t.TempDir()}, {"demo", "-out", t.TempDir()}} {
		var stdout, stderr bytes.Buffer
		h := host{
			stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }, clock: clock.System{},
			environ: []string{"HOME=/", "DAYOF_POSTGRES_BIN=/nowhere", "DAYOF_CHECKOUT_HOLD_DURATON=5m", "DAYOF_TEST_RACES=1"},
		}
		code := run(t.Context(), args, h)
		if said := stderr.String(); code != exitFailed || !strings.Contains(said, "DAYOF_CHECKOUT_HOLD_DURATON: no such setting") || strings.Count(said, "\n") != 1 {
			t.Errorf("%s: exit code %d: %s", args[0], code, said)
		}
	}
}
