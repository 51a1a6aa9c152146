package numscript

import (
	"fmt"
	"math"
	"strings"
)

// CompileError says that a text is not a script: a word out of place or a rule
// of the language broken. Line counts from 1, Column from 0.
type CompileError struct {
	Line, Column int
	Width        int // characters to underline, at least 1
	Message      string
	source       string
}

// Error renders the offending line in the shape, colours included, in which
// the ledger shows it to API clients.
func (e *CompileError) Error() string {
	const (
		red, blue, grey, plain = "\x1b[31m", "\x1b[34m", "\x1b[90m", "\x1b[0m"
	)
	lines := strings.SplitAfter(strings.ReplaceAll(strings.ReplaceAll(e.source, "\t", " "), "\r\n", "\n"), "\n")
	lines[len(lines)-1] += "\n"
	line := []rune(lines[min(e.Line, len(lines))-1])
	start := min(e.Column, len(line)-1)
	end := max(start, min(start+max(e.Width, 1), len(line)-1))
	pad := int(math.Log10(float64(e.Line))) + 1
	bar := blue + "|" + plain
	var b strings.Builder
	fmt.Fprintf(&b, "%s-->%s error:%d:%d\n", red, plain, e.Line, e.Column)
	fmt.Fprintf(&b, "%s %s\n", strings.Repeat(" ", pad), bar)
	fmt.Fprintf(&b, "%s%0*d | %s", red, pad, e.Line, plain)
	fmt.Fprintf(&b, "%s%s%s%s%s%s%s", grey, string(line[:start]), plain, string(line[start:end]), grey, string(line[end:]), plain)
	fmt.Fprintf(&b, "%s %s %s%s%s%s %s\n", strings.Repeat(" ", pad), bar, strings.Repeat(" ", start),
		red, strings.Repeat("^", max(end-start, 1)), plain, e.Message)
	return b.String()
}

// VariableError says that the variables given do not fit the script.
type VariableError struct{ Message string }

func (e *VariableError) Error() string { return e.Message }

// InsufficientFundsError says that the sources of a send cannot pay for it.
type InsufficientFundsError struct{ Accounts []string }

func (e *InsufficientFundsError) Error() string {
	return "account(s) @" + strings.Join(e.Accounts, "|@") + " had/have insufficient funds"
}
