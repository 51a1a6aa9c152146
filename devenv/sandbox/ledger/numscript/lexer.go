package numscript

import (
	"fmt"
	"regexp"
	"strings"
)

// kind is the kind of a token. Keywords and punctuation are their own kind.
type kind string

const (
	kindEnd      kind = "<EOF>"
	kindNewline  kind = "NEWLINE"
	kindString   kind = "STRING"
	kindPortion  kind = "PORTION"
	kindNumber   kind = "NUMBER"
	kindVariable kind = "VARIABLE_NAME"
	kindAccount  kind = "ACCOUNT"
	kindAsset    kind = "ASSET"

	kwOverdraftUpTo      kind = "allowing overdraft up to"
	kwUnboundedOverdraft kind = "allowing unbounded overdraft"
)

// keywords are matched longest first, ties cannot occur.
var keywords = []kind{
	kwUnboundedOverdraft, kwOverdraftUpTo,
	"set_account_meta", "set_tx_meta", "destination", "remaining", "allocate", "monetary",
	"account", "balance", "portion", "number", "source", "string", "asset", "print",
	"fail", "from", "kept", "meta", "save", "send", "vars", "max", "to",
	"+", "-", "(", ")", "[", "]", "{", "}", "=", "*", ",",
}

// token is a word of the script. line counts from 1 and column, in runes, from 0.
type token struct {
	kind         kind
	text         string
	line, column int
}

// patterns of the tokens that are not fixed words. All candidates are tried;
// the longest match wins, and the earlier pattern among equals.
var patterns = []struct {
	kind   kind
	regexp *regexp.Regexp
}{
	{kindString, regexp.MustCompile(`^"[a-zA-Z0-9_\- ]*"`)},
	{kindPortion, regexp.MustCompile(`^([0-9]+ ?/ ?[0-9]+|[0-9]+(\.[0-9]+)?%)`)},
	{kindNumber, regexp.MustCompile(`^[0-9]+`)},
	{kindVariable, regexp.MustCompile(`^\$[a-z_]+[a-z0-9_]*`)},
	{kindAccount, regexp.MustCompile(`^@[a-zA-Z0-9_-]+(:[a-zA-Z0-9_-]+)*`)},
	{kindAsset, regexp.MustCompile(`^[A-Z/0-9]+`)},
}

// lexer cuts a script into tokens. Blanks and comments separate tokens and
// vanish; line ends count, because the grammar asks for them.
type lexer struct {
	source       string
	line, column int
}

// tokens returns all tokens, the last one being kindEnd.
func tokens(source string) ([]token, error) {
	l := lexer{source: source, line: 1}
	var all []token
	for {
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		all = append(all, t)
		if t.kind == kindEnd {
			return all, nil
		}
	}
}

func (l *lexer) next() (token, error) {
	for {
		skipped, err := l.skip()
		if err != nil {
			return token{}, err
		}
		if !skipped {
			break
		}
	}
	t := token{line: l.line, column: l.column}
	if l.source == "" {
		t.kind, t.text = kindEnd, string(kindEnd)
		return t, nil
	}
	if n := len(l.source) - len(strings.TrimLeft(l.source, "\r\n")); n > 0 {
		t.kind, t.text = kindNewline, l.source[:n]
		l.advance(n)
		return t, nil
	}
	for _, p := range patterns {
		if m := p.regexp.FindString(l.source); len(m) > len(t.text) {
			t.kind, t.text = p.kind, m
		}
	}
	for _, k := range keywords {
		if strings.HasPrefix(l.source, string(k)) && len(k) > len(t.text) {
			t.kind, t.text = k, string(k)
			break
		}
	}
	if t.text == "" {
		r := []rune(l.source)[0]
		return token{}, &CompileError{
			Line: l.line, Column: l.column, Width: 1,
			Message: fmt.Sprintf("token recognition error at: '%c'", r),
		}
	}
	l.advance(len(t.text))
	return t, nil
}

// skip drops one run of blanks or one comment, and says whether there was one.
// A line comment takes its line end with it.
func (l *lexer) skip() (bool, error) {
	if n := len(l.source) - len(strings.TrimLeft(l.source, " \t")); n > 0 {
		l.advance(n)
		return true, nil
	}
	if strings.HasPrefix(l.source, "//") {
		end := strings.IndexAny(l.source, "\r\n")
		if end < 0 {
			return false, l.unfinished()
		}
		rest := strings.TrimLeft(l.source[end:], "\r\n")
		l.advance(len(l.source) - len(rest))
		return true, nil
	}
	if strings.HasPrefix(l.source, "/*") {
		end := commentEnd(l.source)
		if end < 0 {
			return false, l.unfinished()
		}
		l.advance(end)
		return true, nil
	}
	return false, nil
}

func (l *lexer) unfinished() error {
	return &CompileError{Line: l.line, Column: l.column, Width: 1, Message: "token recognition error at: '" + l.source + "'"}
}

// commentEnd returns the length of the comment that source starts with, or -1
// if it is not closed. Comments nest.
func commentEnd(source string) int {
	depth := 0
	for i := 0; i+1 < len(source); {
		switch source[i : i+2] {
		case "/*":
			depth++
			i += 2
		case "*/":
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return -1
}

// advance consumes n bytes and keeps the position.
func (l *lexer) advance(n int) {
	for _, r := range l.source[:n] {
		if r == '\n' {
			l.line++
			l.column = 0
		} else {
			l.column++
		}
	}
	l.source = l.source[n:]
}
