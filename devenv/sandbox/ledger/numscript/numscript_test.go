package numscript_test

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"

	"github.com/dayof/dayof/devenv/sandbox/ledger/numscript"
)

// run executes a script and renders its postings as "source>destination
// amount asset", one per line.
func run(text string, vars map[string]string, balances map[string]int64) (string, numscript.Result, error) {
	program, err := numscript.Parse(text)
	if err != nil {
		return "", numscript.Result{}, err
	}
	bound, err := program.Bind(vars)
	if err != nil {
		return "", numscript.Result{}, err
	}
	if _, err := bound.Needs(); err != nil {
		return "", numscript.Result{}, err
	}
	holdings := make(map[numscript.Holding]*big.Int)
	for account, balance := range balances {
		holdings[numscript.Holding{Account: account, Asset: "USD/2"}] = big.NewInt(balance)
	}
	result, err := bound.Execute(holdings)
	if err != nil {
		return "", numscript.Result{}, err
	}
	lines := make([]string, len(result.Postings))
	for i, p := range result.Postings {
		lines[i] = fmt.Sprintf("%s>%s %s %s", p.Source, p.Destination, p.Amount, p.Asset)
	}
	return strings.Join(lines, "\n"), result, nil
}

// send is a script of one send of amount.
func send(amount, source, destination string) string {
	return "send " + amount + " (\n source = " + source + "\n destination = " + destination + "\n)"
}

func lines(l ...string) string { return strings.Join(l, "\n") }

func TestExecute(t *testing.T) {
	type balances = map[string]int64
	type vars = map[string]string
	for _, test := range []struct {
		name     string
		script   string
		vars     vars
		balances balances
		want     string
		problem  string // part of the error's text
	}{
		{
			name: "from world", script: send("[USD/2 100]", "@world", "@a"),
			want: "world>a 100 USD/2",
		},
		{
			name: "enough", script: send("[USD/2 100]", "@a", "@b"), balances: balances{"a": 100},
			want: "a>b 100 USD/2",
		},
		{
			name: "not enough", script: send("[USD/2 100]", "@a", "@b"), balances: balances{"a": 99},
			problem: "account(s) @a had/have insufficient funds",
		},
		{
			name: "a debt is not enough for zero but zero is sent", script: send("[USD/2 0]", "@a", "@b"), balances: balances{"a": -5},
			want: "a>b 0 USD/2",
		},
		{
			name: "sources in their order", script: send("[USD/2 100]", "{\n @a\n @b\n @c\n }", "@d"), balances: balances{"a": 30, "b": 50, "c": 100},
			want: lines("a>d 30 USD/2", "b>d 50 USD/2", "c>d 20 USD/2"),
		},
		{
			name: "an empty source between others leaves no posting", script: send("[USD/2 100]", "{\n @a\n @b\n @c\n }", "@d"), balances: balances{"a": 30, "c": 100},
			want: lines("a>d 30 USD/2", "c>d 70 USD/2"),
		},
		{
			name: "an empty first source leaves no posting", script: send("[USD/2 100]", "{\n @a\n @b\n }", "@d"), balances: balances{"b": 100},
			want: "b>d 100 USD/2",
		},
		{
			name: "sources that do not reach", script: send("[USD/2 100]", "{\n @a\n @b\n }", "@d"), balances: balances{"a": 30, "b": 50},
			problem: "account(s) @a|@b had/have insufficient funds",
		},
		{
			name: "world fills up", script: send("[USD/2 100]", "{\n @a\n @world\n }", "@d"), balances: balances{"a": 30},
			want: lines("a>d 30 USD/2", "world>d 70 USD/2"),
		},
		{
			name: "an unbounded overdraft fills up", script: send("[USD/2 100]", "{\n @a\n @b allowing unbounded overdraft\n }", "@d"), balances: balances{"a": 30},
			want: lines("a>d 30 USD/2", "b>d 70 USD/2"),
		},
		{
			name: "an unbounded overdraft of a variable", script: "vars {\n account $a\n}\n" + send("[USD/2 100]", "$a allowing unbounded overdraft", "@d"),
			vars: vars{"a": "stripe:platform"}, want: "stripe:platform>d 100 USD/2",
		},
		{
			name: "overdraft up to its limit", script: send("[USD/2 100]", "@a allowing overdraft up to [USD/2 60]", "@d"), balances: balances{"a": 40},
			want: "a>d 100 USD/2",
		},
		{
			name: "overdraft beyond its limit", script: send("[USD/2 100]", "@a allowing overdraft up to [USD/2 59]", "@d"), balances: balances{"a": 40},
			problem: "account(s) @a had/have insufficient funds",
		},
		{
			name: "overdraft used up", script: send("[USD/2 10]", "{\n @a allowing overdraft up to [USD/2 10]\n @b\n }", "@d"), balances: balances{"a": -10, "b": 10},
			want: "b>d 10 USD/2",
		},
		{
			name: "capped sources", script: send("[USD/2 100]", "{\n max [USD/2 10] from @a\n max [USD/2 20] from @world\n @c\n }", "@d"), balances: balances{"a": 30, "c": 100},
			want: lines("a>d 10 USD/2", "world>d 20 USD/2", "c>d 70 USD/2"),
		},
		{
			name: "a cap over a list", script: send("[USD/2 100]", "{\n max [USD/2 40] from {\n  @a\n  @b\n }\n @c\n }", "@d"), balances: balances{"a": 30, "b": 30, "c": 100},
			want: lines("a>d 30 USD/2", "b>d 10 USD/2", "c>d 60 USD/2"),
		},
		{
			name: "a shared source", script: send("[USD/2 100]", "{\n 1/3 from @a\n remaining from @b\n }", "@d"), balances: balances{"a": 100, "b": 100},
			want: lines("a>d 34 USD/2", "b>d 66 USD/2"),
		},
		{
			name: "a shared source that cannot pay its part", script: send("[USD/2 100]", "{\n 50% from @a\n 50% from @b\n }", "@d"), balances: balances{"a": 49, "b": 100},
			problem: "account(s) @a had/have insufficient funds",
		},
		{
			name: "all of an account", script: send("[USD/2 *]", "@a", "@b"), balances: balances{"a": 42},
			want: "a>b 42 USD/2",
		},
		{
			name: "all of an empty account", script: send("[USD/2 *]", "@a", "@b"),
			want: "a>b 0 USD/2",
		},
		{
			name: "all of some accounts, one capped", script: send("[USD/2 *]", "{\n @a\n max [USD/2 5] from @b\n }", "@c"), balances: balances{"a": 42, "b": 42},
			want: lines("a>c 42 USD/2", "b>c 5 USD/2"),
		},
		{
			name: "portions, the first takes what rounding leaves", script: send("[USD/2 100]", "@world", "{\n 1/3 to @a\n 1/3 to @b\n 1/3 to @c\n }"),
			want: lines("world>a 34 USD/2", "world>b 33 USD/2", "world>c 33 USD/2"),
		},
		{
			name: "percents and a remainder", script: send("[USD/2 999]", "@world", "{\n 2.5% to @fees\n remaining to @organizer\n }"),
			want: lines("world>fees 25 USD/2", "world>organizer 974 USD/2"),
		},
		{
			name: "a portion of a variable", script: "vars {\n portion $p\n}\n" + send("[USD/2 200]", "@world", "{\n $p to @fees\n remaining to @organizer\n }"),
			vars: vars{"p": "1/8"}, want: lines("world>fees 25 USD/2", "world>organizer 175 USD/2"),
		},
		{
			name: "a remainder that is kept", script: send("[USD/2 100]", "@a", "{\n 40% to @b\n remaining kept\n }") + "\n" + send("[USD/2 *]", "@a", "@c"),
			balances: balances{"a": 100}, want: lines("a>b 40 USD/2", "a>c 60 USD/2"),
		},
		{
			name: "capped destinations", script: send("[USD/2 100]", "@world", "{\n max [USD/2 30] to @a\n max [USD/2 50] to @b\n remaining to @c\n }"),
			want: lines("world>a 30 USD/2", "world>b 50 USD/2", "world>c 20 USD/2"),
		},
		{
			name: "capped destinations that take it all", script: send("[USD/2 100]", "@world", "{\n max [USD/2 100] to @a\n remaining to @c\n }"),
			want: "world>a 100 USD/2",
		},
		{
			name: "a capped destination that keeps", script: send("[USD/2 100]", "@a", "{\n max [USD/2 30] kept\n remaining to @c\n }"), balances: balances{"a": 100},
			want: "a>c 70 USD/2",
		},
		{
			name: "destinations within destinations", script: send("[USD/2 100]", "@world", "{\n 50% to {\n  max [USD/2 10] to @a\n  remaining to @b\n }\n remaining to @c\n }"),
			want: lines("world>a 10 USD/2", "world>b 40 USD/2", "world>c 50 USD/2"),
		},
		{
			name: "destination first", script: "send [USD/2 1] (\n destination = @a\n source = @world\n)",
			want: "world>a 1 USD/2",
		},
		{
			name: "a send spends what the send before brought", script: send("[USD/2 100]", "@world", "@a") + "\n" + send("[USD/2 100]", "@a", "@b"),
			want: lines("world>a 100 USD/2", "a>b 100 USD/2"),
		},
		{
			name: "sums and differences", script: "vars {\n monetary $g\n monetary $f\n}\n" + send("$g - $f + [USD/2 1]", "@world", "@a"),
			vars: vars{"g": "USD/2 100", "f": "USD/2 30"}, want: "world>a 71 USD/2",
		},
		{
			name: "a difference below zero", script: send("[USD/2 1] - [USD/2 2]", "@a", "@b"), balances: balances{"a": 100},
			problem: "insufficient funds",
		},
		{
			name: "a sum of two assets", script: "vars {\n monetary $g\n}\n" + send("$g + [EUR/2 1]", "@world", "@a"),
			vars: vars{"g": "USD/2 100"}, problem: "cannot add different assets",
		},
		{
			name: "an asset of a variable", script: "vars {\n asset $c\n}\n" + send("[$c 7]", "@world", "@a"),
			vars: vars{"c": "JPY"}, want: "world>a 7 JPY",
		},
		{
			name: "money of any size", script: send("[USD/2 123456789012345678901234567890]", "@world", "@a"),
			want: "world>a 123456789012345678901234567890 USD/2",
		},
		{
			name: "comments and blank lines", script: "\n/* a /* b */ c */ vars {\n// who\n account $a\n}\n\n" + send("[USD/2 1]", "@world", "$a") + "\n\n",
			vars: vars{"a": "x"}, want: "world>x 1 USD/2",
		},
		{
			name: "world by a variable as a source", script: "vars {\n account $a\n}\n" + send("[USD/2 1]", "$a", "@b"),
			vars: vars{"a": "world"}, problem: "`@world` can only be used as a variable",
		},
		{
			name: "world by a variable as a destination", script: "vars {\n account $a\n}\n" + send("[USD/2 1]", "@b", "$a"),
			vars: vars{"a": "world"}, balances: balances{"b": 1}, want: "b>world 1 USD/2",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _, err := run(test.script, test.vars, test.balances)
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Fatalf("error %v, want one with %q", err, test.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("postings\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	_, result, err := run(`vars {
 account $o
 portion $p
 monetary $m
 string $s
 number $n
 asset $c
}
set_tx_meta("order", $o)
set_tx_meta("part", $p)
set_tx_meta("gross", $m)
set_tx_meta("note", $s)
set_tx_meta("count", $n + 1)
set_tx_meta("asset", $c)
set_tx_meta("literal", "a b")
set_account_meta($o, "gross", [USD/2 7])
set_account_meta($o, "gross", [USD/2 8])
send [USD/2 1] (
 source = @world
 destination = $o
)`, map[string]string{
		"o": "orders:o1", "p": "12.5%", "m": "USD/2 100", "s": "two  words", "n": "41", "c": "EUR/2",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"order": "orders:o1", "part": "1/8", "gross": "USD/2 100", "note": "two  words", "count": "42", "asset": "EUR/2", "literal": "a b",
	}
	if !maps.Equal(result.TransactionMetadata, want) {
		t.Errorf("metadata %v, want %v", result.TransactionMetadata, want)
	}
	if got := result.AccountMetadata["orders:o1"]["gross"]; got != "USD/2 8" || len(result.AccountMetadata) != 1 {
		t.Errorf("account metadata %v", result.AccountMetadata)
	}
}

func TestVariables(t *testing.T) {
	script := "vars {\n monetary $m\n account $a\n}\n" + send("$m", "@world", "$a")
	for _, test := range []struct {
		name, monetary, account string
		omit, add               string
		want                    string
	}{
		{name: "one missing", omit: "m", want: "missing variable $m"},
		{name: "one too many", add: "z", want: "extraneous variable $z"},
		{name: "an account with a blank", account: "a b", want: "invalid JSON value for variable $a of type account"},
		{name: "a negative amount", monetary: "USD/2 -1", want: "negative amount"},
		{name: "an amount with a fraction", monetary: "USD/2 1.5", want: "invalid monetary int"},
		{name: "an amount without asset", monetary: "100", want: "monetary must have two parts"},
		{name: "an asset in lower case", monetary: "usd 1", want: "asset should respect pattern"},
	} {
		t.Run(test.name, func(t *testing.T) {
			vars := map[string]string{"m": "USD/2 1", "a": "x"}
			if test.monetary != "" {
				vars["m"] = test.monetary
			}
			if test.account != "" {
				vars["a"] = test.account
			}
			if test.add != "" {
				vars[test.add] = "1"
			}
			delete(vars, test.omit)
			_, _, err := run(script, vars, nil)
			var refused *numscript.VariableError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want a VariableError with %q", err, test.want)
			}
		})
	}
}
