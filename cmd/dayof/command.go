package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Exit codes: scripts rely on them.
const (
	exitDone   = 0
	exitFailed = 1 // failed, violated, or not completed in time
	exitUsage  = 2
)

// commandTimeout is how long a command that drives a running dayof may take.
const commandTimeout = 30 * time.Second

// command is one thing that dayof does.
type command struct {
	name  string // one word, or two: "order show"
	args  string // its arguments as usage shows them
	about string // one line
	// driving commands find a running `dayof up` by -dev.
	driving bool
	timeout time.Duration // 0 means none
	// build registers the command's own flags and returns what runs once they are parsed.
	build func(flags *flag.FlagSet) action
}

// action does the work with the arguments that are not flags.
type action func(ctx context.Context, w world, args []string) error

// errReported ends a command with exit code 1 when its output has already said why, as its last line.
var errReported = errors.New("failed as reported")

// usageError is a wrong call; it ends with exit code 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return usageError{text: fmt.Sprintf(format, args...)}
}

// run executes one command line and returns the exit code. Errors go to stderr as one line.
func run(ctx context.Context, args []string, w world) int {
	cmd, rest, err := choose(commands(), args)
	if err != nil {
		return report(w, "dayof", err)
	}
	if cmd == nil {
		printUsage(w.stdout, commands())
		return exitDone
	}
	flags := flag.NewFlagSet("dayof "+cmd.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&w.json, "json", false, "print one JSON value")
	if cmd.driving {
		flags.StringVar(&w.devFile, "dev", defaultDevFile, "`FILE` in which a running dayof wrote its addresses")
	}
	act := cmd.build(flags)
	positional, err := parse(flags, rest)
	if errors.Is(err, flag.ErrHelp) {
		printCommandUsage(w.stdout, *cmd, flags)
		return exitDone
	}
	if err != nil {
		return report(w, "dayof "+cmd.name, usageError{text: err.Error()})
	}
	if cmd.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, cmd.timeout, fmt.Errorf("not completed within %v", cmd.timeout))
		defer cancel()
	}
	err = act(ctx, w, positional)
	if err != nil && ctx.Err() != nil && !strings.Contains(err.Error(), context.Cause(ctx).Error()) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return report(w, "dayof "+cmd.name, err)
}

// report prints an error as one line and returns the exit code that fits it.
func report(w world, name string, err error) int {
	if err == nil {
		return exitDone
	}
	if errors.Is(err, errReported) {
		return exitFailed
	}
	line := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	fmt.Fprintf(w.stderr, "%s: %s\n", name, line)
	if errors.As(err, &usageError{}) {
		fmt.Fprintln(w.stderr, "try: dayof help")
		return exitUsage
	}
	return exitFailed
}

// parse reads flags wherever they stand among the arguments, and returns the arguments. A lone "--" ends the flags.
func parse(flags *flag.FlagSet, args []string) ([]string, error) {
	var positional []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		rest := flags.Args()
		if used := len(args) - len(rest); used > 0 && args[used-1] == "--" {
			return append(positional, rest...), nil
		}
		if len(rest) == 0 {
			return positional, nil
		}
		positional, args = append(positional, rest[0]), rest[1:]
	}
}

// choose finds the command that args name and returns the arguments without its name. Flags may stand before the name
// and between its two words; a first word alone lists, where there is something to list. No command is chosen when help
// is asked for.
func choose(all []command, args []string) (*command, []string, error) {
	first, ok := nextWord(args, 0)
	if !ok {
		if slices.ContainsFunc(args, isHelp) {
			return nil, nil, nil
		}
		return nil, nil, usagef("name a command")
	}
	if args[first] == "help" {
		return nil, nil, nil
	}
	group, list := false, -1
	for i := range all {
		word, second, two := strings.Cut(all[i].name, " ")
		if word != args[first] {
			continue
		}
		if !two {
			return &all[i], slices.Delete(slices.Clone(args), first, first+1), nil
		}
		group = true
		if second == "list" {
			list = i
		}
		if at := slices.Index(args[first+1:], second); at >= 0 {
			rest := slices.Delete(slices.Clone(args), first+1+at, first+2+at)
			return &all[i], slices.Delete(rest, first, first+1), nil
		}
	}
	if list >= 0 {
		return &all[list], slices.Delete(slices.Clone(args), first, first+1), nil
	}
	if group {
		return nil, nil, usagef("%s what? one of: %s", args[first], strings.Join(secondWords(all, args[first]), ", "))
	}
	return nil, nil, usagef("no such command: %s", args[first])
}

// nextWord returns the place of the first argument that is neither a flag nor the value of a flag common to all commands.
func nextWord(args []string, from int) (int, bool) {
	for i := from; i < len(args); i++ {
		switch {
		case args[i] == "-dev" || args[i] == "--dev":
			i++ // its value
		case !strings.HasPrefix(args[i], "-"):
			return i, true
		}
	}
	return 0, false
}

func isHelp(arg string) bool {
	return arg == "-h" || arg == "-help" || arg == "--help"
}

func secondWords(all []command, first string) []string {
	var words []string
	for _, c := range all {
		if word, second, _ := strings.Cut(c.name, " "); word == first {
			words = append(words, second)
		}
	}
	return words
}

// callWidth is the column of usage at which explanations begin.
const callWidth = 40

func printUsage(out io.Writer, all []command) {
	fmt.Fprint(out, "dayof sells tickets: from a signed payment webhook to a wallet pass and a booked ledger.\n\n")
	for _, c := range all {
		call := strings.TrimSpace(c.name + " " + c.args)
		if len(call) > callWidth {
			call += "\n" + strings.Repeat(" ", len("  dayof ")+callWidth)
		}
		fmt.Fprintf(out, "  dayof %-*s  %s\n", callWidth, call, c.about)
	}
	fmt.Fprint(out, `
Flags may stand before or after arguments; -h after a command lists its own. Commands that drive a running
dayof find it by -dev FILE (default `+defaultDevFile+`). With -json they print one JSON value.
Exit status: 0 done; 1 failed, violated or not completed within 30 s; 2 wrong usage.
`)
}

func printCommandUsage(out io.Writer, c command, flags *flag.FlagSet) {
	fmt.Fprintf(out, "dayof %s: %s\n\n", strings.TrimSpace(c.name+" "+c.args), c.about)
	flags.SetOutput(out)
	flags.PrintDefaults()
}

// wantArgs refuses any other number of arguments than want names.
func wantArgs(args []string, want ...string) error {
	switch {
	case len(args) < len(want):
		return usagef("%s is missing", want[len(args)])
	case len(args) > len(want):
		return usagef("unexpected argument %q", args[len(want)])
	}
	return nil
}
