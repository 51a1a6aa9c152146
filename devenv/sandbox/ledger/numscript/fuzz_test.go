package numscript_test

import (
	"errors"
	"math/big"
	"testing"

	"github.com/dayof/dayof/devenv/sandbox/ledger/numscript"
)

// FuzzParse throws any text at the parser: it answers with a program or with a
// CompileError that can be shown, and a program that needs no variables runs to
// an end without creating money.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		send("[USD/2 100]", "@world", "@a"),
		send("[USD/2 *]", "{\n @a\n max [USD/2 5] from @b\n }", "{\n 1/3 to @c\n 12.5% kept\n remaining to {\n max [USD/2 1] to @d\n remaining to @e\n }\n }"),
		send("[USD/2 100]", "{\n 1/2 from @a allowing overdraft up to [USD/2 10]\n remaining from @b allowing unbounded overdraft\n }", "@c"),
		"set_tx_meta(\"k\", \"v\")\n" + send("[USD/2 2] - [USD/2 1]", "@a", "@b"),
		"set_account_meta(@a, \"k\", \"v\")\n" + send("[USD/2 *]", "@a", "@b"),
		"/* /* */ */ // x\nsend",
		"send [\"\r\n\t€",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		program, err := numscript.Parse(text)
		if err != nil {
			var refused *numscript.CompileError
			if !errors.As(err, &refused) || refused.Error() == "" {
				t.Fatalf("error %T %v, want a CompileError", err, err)
			}
			return
		}
		bound, err := program.Bind(nil)
		if err != nil {
			return
		}
		needs, err := bound.Needs()
		if err != nil {
			return
		}
		balances := make(map[numscript.Holding]*big.Int)
		touched := make(map[numscript.Holding]bool)
		for _, h := range append(needs.Sources, needs.Others...) {
			balances[h] = big.NewInt(100)
			touched[h] = true
		}
		result, err := bound.Execute(balances)
		if err != nil {
			return
		}
		for _, p := range result.Postings {
			if p.Amount.Sign() < 0 {
				t.Errorf("posting %+v below zero", p)
			}
			for _, h := range []numscript.Holding{{Account: p.Source, Asset: p.Asset}, {Account: p.Destination, Asset: p.Asset}} {
				if !touched[h] {
					t.Errorf("posting %+v touches %v, which Needs did not name", p, h)
				}
			}
		}
	})
}
