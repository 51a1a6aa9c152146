package numscript

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
)

// Posting moves a non-negative amount of an asset from source to destination.
type Posting struct {
	Source      string
	Destination string
	Amount      *big.Int
	Asset       string
}

// Result is what a run produced, in the order of the script.
type Result struct {
	Postings            []Posting
	TransactionMetadata map[string]string
	AccountMetadata     map[string]map[string]string
}

// Holding is a balance: an account in an asset.
type Holding struct{ Account, Asset string }

// Run is a program with its variables bound. It is used once.
type Run struct {
	program   *Program
	variables map[string]value
}

// Bind gives the program its variables, each in its text form ("USD/2 100" for
// a monetary). Exactly the declared variables must be given: one missing, one too
// many or one malformed is a *VariableError.
func (p *Program) Bind(given map[string]string) (*Run, error) {
	run := &Run{program: p, variables: make(map[string]value)}
	unused := maps.Clone(given)
	for _, d := range p.declarations {
		text, ok := given[d.name]
		if !ok {
			return nil, &VariableError{Message: "missing variable $" + d.name}
		}
		v, err := parseValue(d.kind, text)
		if err != nil {
			return nil, &VariableError{Message: fmt.Sprintf("invalid JSON value for variable $%s of type %s: %s", d.name, d.kind, err)}
		}
		run.variables[d.name] = v
		delete(unused, d.name)
	}
	if extra := slices.Sorted(maps.Keys(unused)); len(extra) > 0 {
		return nil, &VariableError{Message: "extraneous variable $" + extra[0]}
	}
	return run, nil
}

// Needs is what Execute needs to know.
type Needs struct {
	// Sources are the holdings that may pay. Their rows exist afterwards even
	// when they paid nothing, as the ledger's do.
	Sources []Holding
	// Others are the holdings that may receive.
	Others []Holding
	// Balances is false when the result depends on no balance, because every
	// source is @world or has an unbounded overdraft.
	Balances bool
}

// Needs lists every holding that the run may touch, each once and sorted.
func (r *Run) Needs() (Needs, error) {
	n := needs{run: r, sources: make(map[Holding]bool), others: make(map[Holding]bool)}
	for _, s := range r.program.statements {
		if send, ok := s.(sendStatement); ok {
			if err := n.send(send); err != nil {
				return Needs{}, err
			}
		}
	}
	for h := range n.sources {
		delete(n.others, h)
	}
	return Needs{Sources: sorted(n.sources), Others: sorted(n.others), Balances: n.balances}, nil
}

func sorted(set map[Holding]bool) []Holding {
	return slices.SortedFunc(maps.Keys(set), CompareHoldings)
}

// CompareHoldings orders holdings by account, then by asset, bytewise: the
// order in which the ledger locks them.
func CompareHoldings(a, b Holding) int {
	if a.Account != b.Account {
		if a.Account < b.Account {
			return -1
		}
		return 1
	}
	switch {
	case a.Asset < b.Asset:
		return -1
	case a.Asset > b.Asset:
		return 1
	}
	return 0
}

type needs struct {
	run             *Run
	sources, others map[Holding]bool
	balances        bool
}

func (n *needs) send(s sendStatement) error {
	expr := s.all
	if expr == nil {
		expr = s.amount
	}
	v, err := n.run.eval(*expr)
	if err != nil {
		return err
	}
	asset := v.asset
	if s.all != nil {
		asset = v.text
		n.balances = true
	}
	if err := n.source(s.source, asset); err != nil {
		return err
	}
	return n.destination(s.destination, asset)
}

func (n *needs) source(s source, asset string) error {
	switch s := s.(type) {
	case accountSource:
		account, err := n.run.eval(s.account)
		if err != nil {
			return err
		}
		if s.account.literal == nil && account.text == world {
			return &VariableError{Message: "`@world` can only be used as a variable in the experimental interpreter, or if it is never used as a source"}
		}
		n.sources[Holding{account.text, asset}] = true
		if !s.unbounded && account.text != world {
			n.balances = true
		}
		return nil
	case maxSource:
		return n.source(s.source, asset)
	case orderedSource:
		return n.each(s.sources, asset)
	case sharedSource:
		return n.each(s.sources, asset)
	}
	return nil
}

func (n *needs) each(sources []source, asset string) error {
	for _, sub := range sources {
		if err := n.source(sub, asset); err != nil {
			return err
		}
	}
	return nil
}

func (n *needs) destination(d destination, asset string) error {
	switch d := d.(type) {
	case accountDestination:
		account, err := n.run.eval(d.account)
		if err != nil {
			return err
		}
		n.others[Holding{account.text, asset}] = true
	case orderedDestination:
		for _, sub := range append(slices.Clone(d.destinations), d.remaining) {
			if err := n.destination(sub, asset); err != nil {
				return err
			}
		}
	case sharedDestination:
		for _, sub := range d.destinations {
			if err := n.destination(sub, asset); err != nil {
				return err
			}
		}
	}
	return nil
}

// eval computes an expression. The checker has made sure of the types.
func (r *Run) eval(e expression) (value, error) {
	switch {
	case e.literal != nil:
		return *e.literal, nil
	case e.monetary != nil:
		asset, err := r.eval(e.monetary.asset)
		return value{kind: TypeMonetary, asset: asset.text, amount: e.monetary.amount}, err
	case e.sum != nil:
		left, err := r.eval(e.sum.left)
		if err != nil {
			return left, err
		}
		right, err := r.eval(e.sum.right)
		if err != nil {
			return right, err
		}
		if left.asset != right.asset {
			return left, fmt.Errorf("cannot add different assets: %s and %s", left.asset, right.asset)
		}
		total := value{kind: left.kind, asset: left.asset}
		if e.sum.minus {
			total.amount = new(big.Int).Sub(left.amount, right.amount)
		} else {
			total.amount = new(big.Int).Add(left.amount, right.amount)
		}
		return total, nil
	default:
		return r.variables[e.variable], nil
	}
}
