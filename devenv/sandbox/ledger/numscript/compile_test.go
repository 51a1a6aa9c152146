package numscript_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/dayof/dayof/devenv/sandbox/ledger/numscript"
)

func TestCompileErrors(t *testing.T) {
	for _, test := range []struct{ name, script, want string }{
		{"nothing", "", "mismatched input"},
		{"another language", "SELECT 1", "mismatched input"},
		{"an unknown letter", "send [USD/2 1] (\n source = €\n)", "token recognition error"},
		{"an undeclared variable", send("$m", "@world", "@a"), "variable not declared"},
		{"a variable declared twice", "vars {\n account $a\n account $a\n}\n" + send("[USD/2 1]", "@world", "$a"), "duplicate variable $a"},
		{"a monetary as account", "vars {\n monetary $a\n}\n" + send("[USD/2 1]", "@world", "$a"), "wrong type: expected account as destination"},
		{"an account as amount", "vars {\n account $a\n}\n" + send("$a", "@world", "$a"), "the expression should be of type 'monetary'"},
		{"an unbounded source before others", send("[USD/2 1]", "{\n @world\n @a\n }", "@b"), "an unbounded subsource can only be in last position"},
		{"a source twice", send("[USD/2 1]", "{\n @a\n @a\n }", "@b"), "is already empty at this stage"},
		{"all of world", send("[USD/2 *]", "@world", "@b"), "cannot take all balance of an unbounded source"},
		{"all of a shared source", send("[USD/2 *]", "{\n 1/2 from @a\n 1/2 from @b\n }", "@b"), "cannot take all balance of an allotment source"},
		{"world with an overdraft", send("[USD/2 1]", "@world allowing unbounded overdraft", "@b"), "already set to an unbounded overdraft"},
		{"portions above one", send("[USD/2 1]", "@world", "{\n 2/3 to @a\n 2/3 to @b\n }"), "greater than 100%"},
		{"portions below one", send("[USD/2 1]", "@world", "{\n 1/3 to @a\n 1/3 to @b\n }"), "might be less than 100%"},
		{"a portion above one", send("[USD/2 1]", "@world", "{\n 3/2 to @a\n remaining to @b\n }"), "portion must be between"},
		{"a remainder of nothing", send("[USD/2 1]", "@world", "{\n 100% to @a\n remaining to @b\n }"), "already equal to 100%"},
		{"two remainders", send("[USD/2 1]", "@world", "{\n remaining to @a\n remaining to @b\n }"), "two uses of `remaining`"},
		{"destinations in order without remainder", send("[USD/2 1]", "@world", "{\n max [USD/2 1] to @a\n }"), "remaining"},
		{"clauses on one line", "send [USD/2 1] ( source = @world destination = @a )", "expecting NEWLINE"},
		{"a comment takes its line end along", "vars {\n account $a // who\n}\n" + send("[USD/2 1]", "@world", "$a"), "expecting NEWLINE"},
		{"an unclosed send", "send [USD/2 1] (\n source = @world\n destination = @a\n", ")"},
		{"an unclosed comment", "/* " + send("[USD/2 1]", "@world", "@a"), "token recognition error"},
		{"brackets without end", "send " + strings.Repeat("[", 100_000), "nested deeper"},
		{"braces without end", "send [USD/2 1] (\n source = " + strings.Repeat("{\n", 100_000), "nested deeper"},
		{"a sum without end", send("[USD/2 1]"+strings.Repeat(" + [USD/2 1]", 10_000), "@world", "@a"), "more than 64 terms"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := numscript.Parse(test.script)
			var refused *numscript.CompileError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want a CompileError with %q", err, test.want)
			}
		})
	}
}

// TestNeeds pins which holdings a run may touch, and that no balance is asked
// for when every source is without bound: the ledger then locks nothing early.
func TestNeeds(t *testing.T) {
	for _, test := range []struct {
		name, script    string
		sources, others []string
		balances        bool
	}{
		{"world", send("[USD/2 1]", "@world", "@a"), []string{"world"}, []string{"a"}, false},
		{"unbounded", send("[USD/2 1]", "@b allowing unbounded overdraft", "@a"), []string{"b"}, []string{"a"}, false},
		{"bounded", send("[USD/2 1]", "@b allowing overdraft up to [USD/2 5]", "@a"), []string{"b"}, []string{"a"}, true},
		{"a list and nested destinations", send("[USD/2 1]", "{\n @c\n @b\n @world\n }", "{\n 1/2 to @a\n 1/2 to {\n max [USD/2 1] to @d\n remaining kept\n }\n }"), []string{"b", "c", "world"}, []string{"a", "d"}, true},
		{"money passing through", send("[USD/2 1]", "@world", "@a") + "\n" + send("[USD/2 1]", "@a", "@b"), []string{"a", "world"}, []string{"b"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			program, err := numscript.Parse(test.script)
			if err != nil {
				t.Fatal(err)
			}
			bound, err := program.Bind(nil)
			if err != nil {
				t.Fatal(err)
			}
			needs, err := bound.Needs()
			if err != nil {
				t.Fatal(err)
			}
			if got := accounts(needs.Sources); !slices.Equal(got, test.sources) {
				t.Errorf("sources %v, want %v", got, test.sources)
			}
			if got := accounts(needs.Others); !slices.Equal(got, test.others) {
				t.Errorf("others %v, want %v", got, test.others)
			}
			if needs.Balances != test.balances {
				t.Errorf("balances %v, want %v", needs.Balances, test.balances)
			}
		})
	}
}

func accounts(holdings []numscript.Holding) []string {
	var all []string
	for _, h := range holdings {
		all = append(all, h.Account)
	}
	return all
}
