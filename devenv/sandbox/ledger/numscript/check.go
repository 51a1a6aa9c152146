package numscript

import "math/big"

const world = "world"

// checker applies the rules that hold whatever the variables are.
type checker struct{ types map[string]Type }

func check(p *Program) error {
	c := checker{types: make(map[string]Type)}
	for _, d := range p.declarations {
		if err := c.declaration(d); err != nil {
			return err
		}
	}
	for _, s := range p.statements {
		if err := c.statement(s); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) declaration(d declaration) error {
	if _, taken := c.types[d.name]; taken {
		return failAt(token{line: 1, text: "vars"}, "duplicate variable $%s", d.name)
	}
	c.types[d.name] = d.kind
	return nil
}

func (c *checker) statement(s statement) error {
	switch s := s.(type) {
	case sendStatement:
		return c.send(s)
	case metaStatement:
		if s.account != nil {
			if err := c.want(*s.account, TypeAccount, "set_account_meta: expression should be of type account"); err != nil {
				return err
			}
		}
		_, err := c.typeOf(s.value)
		return err
	default:
		return nil
	}
}

func (c *checker) want(e expression, want Type, message string) error {
	got, err := c.typeOf(e)
	if err != nil {
		return err
	}
	if got != want {
		return failAt(e.at, "%s", message)
	}
	return nil
}

func (c *checker) typeOf(e expression) (Type, error) {
	switch {
	case e.literal != nil:
		return e.literal.kind, nil
	case e.monetary != nil:
		if err := c.want(e.monetary.asset, TypeAsset, "the expression in monetary literal should be of type 'asset'"); err != nil {
			return "", err
		}
		return TypeMonetary, nil
	case e.sum != nil:
		left, err := c.typeOf(e.sum.left)
		if err != nil {
			return "", err
		}
		right, err := c.typeOf(e.sum.right)
		if err != nil {
			return "", err
		}
		if left != TypeNumber && left != TypeMonetary {
			return "", failAt(e.at, "tried to do an arithmetic operation with unsupported left-hand side operand type: %s", left)
		}
		if left != right {
			return "", failAt(e.at, "tried to do an arithmetic operation with incompatible left and right-hand side operand types: %s and %s", left, right)
		}
		return left, nil
	default:
		kind, declared := c.types[e.variable]
		if !declared {
			return "", failAt(e.at, "variable not declared")
		}
		return kind, nil
	}
}

func (c *checker) send(s sendStatement) error {
	if s.all != nil {
		if err := c.want(*s.all, TypeAsset, "send monetary all: the expression should be of type 'asset'"); err != nil {
			return err
		}
	} else if err := c.want(*s.amount, TypeMonetary, "send monetary: the expression should be of type 'monetary'"); err != nil {
		return err
	}
	if shared, ok := s.source.(sharedSource); ok {
		if s.all != nil {
			return failAt(shared.at, "cannot take all balance of an allotment source")
		}
		if err := c.portions(shared.at, shared.portions); err != nil {
			return err
		}
		for _, sub := range shared.sources {
			if _, _, err := c.source(sub, false); err != nil {
				return err
			}
		}
	} else if _, _, err := c.source(s.source, s.all != nil); err != nil {
		return err
	}
	return c.destination(s.destination)
}

// source returns which accounts the source empties and whether it never runs dry.
func (c *checker) source(s source, all bool) (emptied map[string]bool, unbounded bool, err error) {
	switch s := s.(type) {
	case accountSource:
		return c.accountSource(s, all)
	case maxSource:
		if err := c.want(s.max, TypeMonetary, "wrong type: expected monetary as max"); err != nil {
			return nil, false, err
		}
		_, _, err := c.source(s.source, false)
		return nil, false, err
	case orderedSource:
		emptied := make(map[string]bool)
		for i, sub := range s.sources {
			subEmptied, subUnbounded, err := c.source(sub, all)
			if err != nil {
				return nil, false, err
			}
			if subUnbounded && i != len(s.sources)-1 {
				return nil, false, failAt(s.at, "an unbounded subsource can only be in last position")
			}
			for account := range subEmptied {
				if emptied[account] {
					return nil, false, failAt(sub.position(), "%s is already empty at this stage", account)
				}
				emptied[account] = true
			}
			unbounded = subUnbounded
		}
		return emptied, unbounded, nil
	default:
		return nil, false, failAt(s.position(), "an allotment can only stand at the top of a source")
	}
}

func (c *checker) accountSource(s accountSource, all bool) (map[string]bool, bool, error) {
	if err := c.want(s.account, TypeAccount, "wrong type: expected account or allocation as destination"); err != nil {
		return nil, false, err
	}
	isWorld := s.account.literal != nil && s.account.literal.text == world
	if isWorld && (s.unbounded || s.overdraft != nil) {
		return nil, false, failAt(s.at, "@world is already set to an unbounded overdraft")
	}
	if s.overdraft != nil {
		if err := c.want(*s.overdraft, TypeMonetary, "wrong type: expected monetary"); err != nil {
			return nil, false, err
		}
	}
	unbounded := isWorld || s.unbounded
	if unbounded && all {
		return nil, false, failAt(s.at, "cannot take all balance of an unbounded source")
	}
	return map[string]bool{describe(s.account): true}, unbounded, nil
}

// describe names an account expression in a message.
func describe(e expression) string {
	if e.literal != nil {
		return "@" + e.literal.text
	}
	return "<account " + e.variable + ">"
}

func (c *checker) destination(d destination) error {
	switch d := d.(type) {
	case accountDestination:
		return c.want(d.account, TypeAccount, "wrong type: expected account as destination")
	case orderedDestination:
		for i, limit := range d.maxima {
			if err := c.want(limit, TypeMonetary, "wrong type: expected monetary as max"); err != nil {
				return err
			}
			if err := c.destination(d.destinations[i]); err != nil {
				return err
			}
		}
		return c.destination(d.remaining)
	case sharedDestination:
		if err := c.portions(d.at, d.portions); err != nil {
			return err
		}
		for _, sub := range d.destinations {
			if err := c.destination(sub); err != nil {
				return err
			}
		}
	}
	return nil
}

// portions checks that shares can add up to one.
func (c *checker) portions(at token, shares []portion) error {
	total := new(big.Rat)
	hasVariable, hasRemaining := false, false
	for _, share := range shares {
		switch {
		case share.constant != nil:
			total.Add(total, share.constant)
		case share.remaining:
			if hasRemaining {
				return failAt(share.at, "two uses of `remaining` in the same allocation")
			}
			hasRemaining = true
		default:
			kind, declared := c.types[share.variable]
			if !declared {
				return failAt(share.at, "variable not declared")
			}
			if kind != TypePortion {
				return failAt(share.at, "wrong type: expected type portion for variable: %s", kind)
			}
			hasVariable = true
		}
	}
	message := ""
	switch sign := total.Cmp(big.NewRat(1, 1)); {
	case sign > 0:
		message = "the sum of known portions is greater than 100%"
	case sign < 0 && !hasRemaining:
		message = "the sum of portions might be less than 100%"
	case sign == 0 && hasVariable:
		message = "the sum of portions might be greater than 100%"
	case sign == 0 && hasRemaining:
		message = "known portions are already equal to 100%"
	}
	if message != "" {
		return failAt(at, "%s", message)
	}
	return nil
}
