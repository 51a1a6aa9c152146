package numscript

import (
	"fmt"
	"math/big"
)

// Execute carries out the script on the given balances; a holding that is
// absent counts as zero. When Needs said that no balance matters, nil will do.
//
// The error is an *InsufficientFundsError, or a plain error for a script that
// went wrong while running (assets that do not fit, a negative amount).
func (r *Run) Execute(balances map[Holding]*big.Int) (Result, error) {
	m := machine{run: r, balances: make(map[Holding]*big.Int, len(balances)), result: Result{
		TransactionMetadata: make(map[string]string),
		AccountMetadata:     make(map[string]map[string]string),
	}}
	for h, b := range balances {
		m.balances[h] = new(big.Int).Set(b)
	}
	for _, s := range r.program.statements {
		if err := m.statement(s); err != nil {
			return Result{}, err
		}
	}
	return m.result, nil
}

type machine struct {
	run      *Run
	balances map[Holding]*big.Int
	result   Result
}

func (m *machine) balance(h Holding) *big.Int {
	b, ok := m.balances[h]
	if !ok {
		b = new(big.Int)
		m.balances[h] = b
	}
	return b
}

func (m *machine) statement(s statement) error {
	switch s := s.(type) {
	case sendStatement:
		return m.send(s)
	case metaStatement:
		v, err := m.run.eval(s.value)
		if err != nil {
			return err
		}
		if s.account == nil {
			m.result.TransactionMetadata[s.key] = v.String()
			return nil
		}
		account, err := m.run.eval(*s.account)
		if err != nil {
			return err
		}
		if m.result.AccountMetadata[account.text] == nil {
			m.result.AccountMetadata[account.text] = make(map[string]string)
		}
		m.result.AccountMetadata[account.text][s.key] = v.String()
	}
	return nil
}

func (m *machine) send(s sendStatement) error {
	var money funding
	if s.all != nil {
		asset, err := m.run.eval(*s.all)
		if err != nil {
			return err
		}
		if money, _, err = m.gather(s.source, asset.text); err != nil {
			return err
		}
	} else {
		amount, err := m.run.eval(*s.amount)
		if err != nil {
			return err
		}
		if money, err = m.collect(s.source, amount); err != nil {
			return err
		}
	}
	left, err := m.deliver(s.destination, money)
	if err != nil {
		return err
	}
	m.repay(left)
	return nil
}

// collect takes exactly amount from a source.
func (m *machine) collect(s source, amount value) (funding, error) {
	shared, ok := s.(sharedSource)
	if !ok {
		return m.draw(s, amount)
	}
	shares, err := m.allot(shared.portions, amount.amount)
	if err != nil {
		return funding{}, err
	}
	total := funding{asset: amount.asset}
	for i, sub := range shared.sources {
		part, err := m.draw(sub, value{kind: TypeMonetary, asset: amount.asset, amount: shares[i]})
		if err != nil {
			return funding{}, err
		}
		total = total.concat(part)
	}
	return total, nil
}

// draw gathers what the source has, keeps amount of it, and gives the rest back.
func (m *machine) draw(s source, amount value) (funding, error) {
	have, fallback, err := m.gather(s, amount.asset)
	if err != nil {
		return funding{}, err
	}
	if have.asset != amount.asset {
		return funding{}, fmt.Errorf("cannot take from different assets: %s and %s", have.asset, amount.asset)
	}
	if fallback == "" {
		taken, rest, err := have.take(amount.amount)
		if err != nil {
			return funding{}, err
		}
		m.repay(rest)
		return taken, nil
	}
	return m.capped(have, fallback, amount)
}

// capped keeps at most limit of have; what is missing comes from fallback, if
// there is one.
func (m *machine) capped(have funding, fallback string, limit value) (funding, error) {
	if limit.amount.Sign() < 0 {
		return funding{}, fmt.Errorf("cannot send a monetary with a negative amount: [%s %s]", limit.asset, limit.amount)
	}
	if have.asset != limit.asset {
		return funding{}, fmt.Errorf("cannot take from different assets: %s and %s", have.asset, limit.asset)
	}
	missing := new(big.Int).Sub(limit.amount, have.total())
	if missing.Sign() < 0 {
		missing.SetInt64(0)
	}
	taken, rest := have.takeMax(limit.amount)
	m.repay(rest)
	if fallback != "" {
		b := m.balance(Holding{fallback, limit.asset})
		b.Sub(b, missing)
		taken = taken.concat(funding{asset: limit.asset, parts: []part{{fallback, missing}}})
	}
	return taken, nil
}

// gather empties a source. fallback names the account that never runs dry, if
// the source ends in one.
func (m *machine) gather(s source, asset string) (have funding, fallback string, err error) {
	switch s := s.(type) {
	case accountSource:
		return m.gatherAccount(s, asset)
	case maxSource:
		have, fallback, err := m.gather(s.source, asset)
		if err != nil {
			return funding{}, "", err
		}
		limit, err := m.run.eval(s.max)
		if err != nil {
			return funding{}, "", err
		}
		have, err = m.capped(have, fallback, limit)
		return have, "", err
	case orderedSource:
		total := funding{}
		for i, sub := range s.sources {
			part, subFallback, err := m.gather(sub, asset)
			if err != nil {
				return funding{}, "", err
			}
			if i == 0 {
				total.asset = part.asset
			} else if part.asset != total.asset {
				return funding{}, "", fmt.Errorf("cannot assemble different assets: %s and %s", part.asset, total.asset)
			}
			total = total.concat(part)
			fallback = subFallback
		}
		return total, fallback, nil
	}
	panic("source of unknown kind")
}

func (m *machine) gatherAccount(s accountSource, asset string) (have funding, fallback string, err error) {
	account, err := m.run.eval(s.account)
	if err != nil {
		return funding{}, "", err
	}
	overdraft := new(big.Int)
	if s.overdraft != nil {
		limit, err := m.run.eval(*s.overdraft)
		if err != nil {
			return funding{}, "", err
		}
		overdraft, asset = limit.amount, limit.asset
	}
	if account.text == world || s.unbounded {
		fallback = account.text
	}
	taken := new(big.Int)
	if account.text != world {
		b := m.balance(Holding{account.text, asset})
		if available := new(big.Int).Add(b, overdraft); available.Sign() > 0 {
			taken = available
			b.Neg(overdraft)
		}
	}
	return funding{asset: asset, parts: []part{{account.text, taken}}}, fallback, nil
}

// repay gives money back to the accounts it was taken from.
func (m *machine) repay(f funding) {
	for _, p := range f.parts {
		if p.account == world {
			continue
		}
		b := m.balance(Holding{p.account, f.asset})
		b.Add(b, p.amount)
	}
}

// deliver hands money to a destination and returns what it did not want.
func (m *machine) deliver(d destination, money funding) (funding, error) {
	switch d := d.(type) {
	case keptDestination:
		return money, nil
	case accountDestination:
		return m.deliverAccount(d, money)
	case sharedDestination:
		shares, err := m.allot(d.portions, money.total())
		if err != nil {
			return funding{}, err
		}
		rest := money
		for i, sub := range d.destinations {
			var taken funding
			if taken, rest, err = rest.take(shares[i]); err != nil {
				return funding{}, err
			}
			left, err := m.deliver(sub, taken)
			if err != nil {
				return funding{}, err
			}
			rest = left.concat(rest)
		}
		return rest, nil
	case orderedDestination:
		return m.deliverOrdered(d, money)
	}
	panic("destination of unknown kind")
}

func (m *machine) deliverAccount(d accountDestination, money funding) (funding, error) {
	account, err := m.run.eval(d.account)
	if err != nil {
		return funding{}, err
	}
	taken, rest, err := money.take(money.total())
	if err != nil {
		return funding{}, err
	}
	// A source that gave nothing leaves no posting; an explicit send of zero
	// leaves one.
	zero := taken.total().Sign() == 0
	for _, p := range taken.parts {
		if p.amount.Sign() == 0 && !zero {
			continue
		}
		m.result.Postings = append(m.result.Postings, Posting{
			Source: p.account, Destination: account.text, Amount: new(big.Int).Set(p.amount), Asset: money.asset,
		})
		if account.text != world {
			b := m.balance(Holding{account.text, money.asset})
			b.Add(b, p.amount)
		}
	}
	return rest, nil
}

func (m *machine) deliverOrdered(d orderedDestination, money funding) (funding, error) {
	kept := new(big.Int)
	rest := money
	for i, sub := range d.destinations {
		limit, err := m.run.eval(d.maxima[i])
		if err != nil {
			return funding{}, err
		}
		if limit.amount.Sign() < 0 {
			return funding{}, fmt.Errorf("cannot send a monetary with a negative amount: [%s %s]", limit.asset, limit.amount)
		}
		if limit.asset != rest.asset {
			return funding{}, fmt.Errorf("cannot take from different assets: %s and %s", rest.asset, limit.asset)
		}
		var taken funding
		taken, rest = rest.takeMax(limit.amount)
		left, err := m.deliver(sub, taken)
		if err != nil {
			return funding{}, err
		}
		kept.Add(kept, left.total())
		rest = left.concat(rest)
	}
	// What was kept is taken from the end, so that the remaining destination
	// gets the money that came first.
	back, forward, err := rest.reversed().take(kept)
	if err != nil {
		return funding{}, err
	}
	left, err := m.deliver(d.remaining, forward.reversed())
	if err != nil {
		return funding{}, err
	}
	return left.concat(back.reversed()), nil
}
