package ledgersvc

import (
	_ "embed" // the template
	"fmt"
	"strconv"
	"strings"
	"text/template"
)

//go:embed templates/entry.num
var entryTemplate string

// script is a Numscript program with its variables, as the ledger takes it.
type script struct {
	plain string
	vars  map[string]string
}

// scripter writes the moves of entries as Numscript.
type scripter struct{ template *template.Template }

func newScripter() scripter {
	return scripter{template: template.Must(template.New("entry").Parse(entryTemplate))}
}

// The data of the template.
type (
	scriptAccount struct {
		Name      string
		Overdraft bool
	}
	scriptMove struct {
		Amount string
		From   []scriptAccount
		To     scriptAccount
		One    bool
	}
	scriptData struct {
		Accounts []scriptAccount
		Moves    []scriptMove
	}
)

// write returns the script of the moves. The same moves give the same bytes, in every process: an idempotency key at
// the ledger belongs to a body.
func (s scripter) write(asset string, moves []move) (script, error) {
	var data scriptData
	vars := make(map[string]string)
	names := make(map[string]string) // by address
	used := make(map[string]int)     // by role
	name := func(a account) scriptAccount {
		n, known := names[a.address]
		if !known {
			used[a.role]++
			n = a.role
			if used[a.role] > 1 {
				n += "_" + strconv.Itoa(used[a.role])
			}
			names[a.address] = n
			vars[n] = a.address
			data.Accounts = append(data.Accounts, scriptAccount{Name: n})
		}
		return scriptAccount{Name: n, Overdraft: a.debit}
	}
	for i, m := range moves {
		sm := scriptMove{Amount: "amount_" + strconv.Itoa(i+1), One: len(m.sources()) == 1}
		for _, a := range m.sources() {
			sm.From = append(sm.From, name(a))
		}
		sm.To = name(m.to)
		vars[sm.Amount] = m.assetOr(asset) + " " + strconv.FormatInt(m.amount, 10)
		data.Moves = append(data.Moves, sm)
	}
	var text strings.Builder
	if err := s.template.Execute(&text, data); err != nil {
		return script{}, fmt.Errorf("write script: %w", err)
	}
	return script{plain: strings.TrimSpace(text.String()), vars: vars}, nil
}
