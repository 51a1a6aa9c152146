package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dayof/dayof/internal/server"
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
	words   []string      // that its arguments may be, for the shell's completion
	// build registers the command's own flags and returns what runs once they are parsed.
	build func(flags *pflag.FlagSet) action
}

// action does the work with the arguments that are not flags.
type action func(ctx context.Context, h host, args []string) error

// errReported ends a command with exit code 1 when its output has already said why, as its last line.
var errReported = errors.New("failed as reported")

// usageError is a wrong call; it ends with exit code 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return usageError{text: fmt.Sprintf(format, args...)}
}

// run executes one command line and returns the exit code. Errors go to stderr as one line.
func run(ctx context.Context, args []string, h host) int {
	name := "dayof"
	root := newRoot(&h, &name)
	root.SetArgs(doubleDashes(args))
	err := root.ExecuteContext(ctx)
	return report(h, name, err)
}

// newRoot builds the tree of commands: `order show` is the command show below the group order. running is set to the name
// of the command that runs.
func newRoot(h *host, running *string) *cobra.Command {
	root := &cobra.Command{
		Use: "dayof", Version: server.Version(), Args: cobra.ArbitraryArgs, SilenceErrors: true, SilenceUsage: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("name a command")
			}
			return usagef("no such command: %s", args[0])
		},
	}
	root.SetOut(h.stdout)
	root.SetErr(h.stderr)
	root.SetVersionTemplate("dayof {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		*running = cmd.CommandPath()
		return usageError{text: err.Error()}
	})
	helpOfCommand := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if cmd == root {
			printUsage(h.stdout, commands())
			return
		}
		helpOfCommand(cmd, args)
	})
	root.PersistentFlags().BoolVar(&h.json, "json", false, "print one JSON value")
	root.PersistentFlags().StringVar(&h.devFile, devFlag, defaultDevFile, "`FILE` in which a running dayof wrote its addresses")
	groups := map[string]*cobra.Command{}
	for _, c := range commands() {
		first, second, two := strings.Cut(c.name, " ")
		if !two {
			root.AddCommand(c.cobra(h, first, running))
			continue
		}
		group := groups[first]
		if group == nil {
			group = &cobra.Command{Use: first, Short: aboutGroup(first), Args: cobra.ArbitraryArgs, RunE: func(cmd *cobra.Command, _ []string) error {
				*running = cmd.CommandPath()
				return usagef("%s what? one of: %s", first, strings.Join(secondWords(first), ", "))
			}}
			groups[first] = group
			root.AddCommand(group)
		}
		group.AddCommand(c.cobra(h, second, running))
		if second == "list" { // what the group's name alone does
			group.RunE = c.runE(h, group.Flags(), running)
		}
	}
	return root
}

// devFlag names the file of a running dayof.
const devFlag = "dev"

// cobra makes the command for the library that reads command lines.
func (c command) cobra(h *host, word string, running *string) *cobra.Command {
	cmd := &cobra.Command{Use: strings.TrimSpace(word + " " + c.args), Short: c.about, Args: cobra.ArbitraryArgs, ValidArgs: c.words}
	cmd.RunE = c.runE(h, cmd.Flags(), running)
	return cmd
}

// runE registers the command's flags and returns what runs it.
func (c command) runE(h *host, flags *pflag.FlagSet, running *string) func(*cobra.Command, []string) error {
	act := c.build(flags)
	return func(cmd *cobra.Command, args []string) error {
		*running = "dayof " + c.name
		if f := cmd.Flag(devFlag); f.Changed && !c.driving {
			return usagef("-%s is no flag of this command", devFlag)
		}
		ctx := cmd.Context()
		if c.timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("not completed within %v", c.timeout))
			defer cancel()
		}
		err := act(ctx, *h, args)
		if err != nil && ctx.Err() != nil && !strings.Contains(err.Error(), context.Cause(ctx).Error()) {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return err
	}
}

// doubleDashes lets flags be written with one dash as well, as scripts do: -data DIR is --data DIR. What stands behind a
// lone "--" is no flag, and neither is a negative number.
func doubleDashes(args []string) []string {
	out := make([]string, 0, len(args))
	for i, arg := range args {
		if arg == "--" {
			return append(out, args[i:]...)
		}
		if len(arg) > 2 && arg[0] == '-' && (arg[1] >= 'a' && arg[1] <= 'z') {
			arg = "-" + arg
		}
		out = append(out, arg)
	}
	return out
}

// report prints an error as one line and returns the exit code that fits it.
func report(h host, name string, err error) int {
	if err == nil {
		return exitDone
	}
	if errors.Is(err, errReported) {
		return exitFailed
	}
	line := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	fmt.Fprintf(h.stderr, "%s: %s\n", name, line)
	if errors.As(err, &usageError{}) {
		fmt.Fprintln(h.stderr, "try: dayof help")
		return exitUsage
	}
	return exitFailed
}

// secondWords are the commands of a group.
func secondWords(group string) []string {
	var words []string
	for _, c := range commands() {
		if first, second, two := strings.Cut(c.name, " "); two && first == group {
			words = append(words, second)
		}
	}
	return words
}

func aboutGroup(group string) string { return strings.Join(secondWords(group), ", ") }

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
Flags may stand before or after arguments, with one dash or two; -h after a command lists its own. Commands that drive a
running dayof find it by -dev FILE (default `+defaultDevFile+`). With -json they print one JSON value. --version says
which build this is; dayof completion bash|zsh|fish|powershell writes a script that completes commands and flags.
Exit status: 0 done; 1 failed, violated or not completed within 30 s; 2 wrong usage.
`)
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

func versionCommand() command {
	return command{
		name: "version", about: "say which build this is",
		build: func(*pflag.FlagSet) action {
			return func(_ context.Context, h host, args []string) error {
				if err := wantArgs(args); err != nil {
					return err
				}
				if h.json {
					return h.printJSON(struct {
						Version string `json:"version"`
					}{server.Version()})
				}
				_, err := fmt.Fprintln(h.stdout, "dayof "+server.Version())
				return err
			}
		},
	}
}
