package numscript

import (
	"errors"
	"math/big"
	"slices"
)

// funding is money on its way: an asset, and who gave how much, in order.
// A part may be zero. Its methods never change it.
type funding struct {
	asset string
	parts []part
}

type part struct {
	account string
	amount  *big.Int
}

func (f funding) total() *big.Int {
	total := new(big.Int)
	for _, p := range f.parts {
		total.Add(total, p.amount)
	}
	return total
}

// take splits off exactly amount, from the front. Taking nothing yields one
// part of zero, so that a send of zero still names its source.
func (f funding) take(amount *big.Int) (taken, rest funding, err error) {
	if amount.Sign() == 0 && len(f.parts) > 0 {
		zero := part{f.parts[0].account, new(big.Int)}
		return funding{asset: f.asset, parts: []part{zero}}, f, nil
	}
	taken, rest = f.takeMax(amount)
	if taken.total().Cmp(amount) != 0 {
		accounts := make([]string, len(f.parts))
		for i, p := range f.parts {
			accounts[i] = p.account
		}
		return funding{}, funding{}, &InsufficientFundsError{Accounts: accounts}
	}
	return taken, rest, nil
}

// takeMax splits off at most amount, from the front.
func (f funding) takeMax(amount *big.Int) (taken, rest funding) {
	taken, rest = funding{asset: f.asset}, funding{asset: f.asset}
	missing := new(big.Int).Set(amount)
	for _, p := range f.parts {
		switch {
		case missing.Sign() <= 0:
			rest.parts = append(rest.parts, p)
		case p.amount.Cmp(missing) > 0:
			taken.parts = append(taken.parts, part{p.account, new(big.Int).Set(missing)})
			rest.parts = append(rest.parts, part{p.account, new(big.Int).Sub(p.amount, missing)})
			missing.SetInt64(0)
		default:
			taken.parts = append(taken.parts, p)
			missing.Sub(missing, p.amount)
		}
	}
	return taken, rest
}

// concat appends other; neighbours of one account become one part.
func (f funding) concat(other funding) funding {
	joined := funding{asset: f.asset, parts: slices.Clone(f.parts)}
	if joined.asset == "" {
		joined.asset = other.asset
	}
	for i, p := range other.parts {
		if last := len(joined.parts) - 1; i == 0 && last >= 0 && joined.parts[last].account == p.account {
			joined.parts[last] = part{p.account, new(big.Int).Add(joined.parts[last].amount, p.amount)}
			continue
		}
		joined.parts = append(joined.parts, p)
	}
	return joined
}

func (f funding) reversed() funding {
	parts := slices.Clone(f.parts)
	slices.Reverse(parts)
	return funding{asset: f.asset, parts: parts}
}

// allot splits amount by shares: each rounded down, what is left goes one by
// one to the first.
func (m *machine) allot(portions []portion, amount *big.Int) ([]*big.Int, error) {
	shares := make([]*big.Rat, len(portions))
	total := new(big.Rat)
	remaining := -1
	for i, p := range portions {
		switch {
		case p.remaining:
			remaining = i
			continue
		case p.constant != nil:
			shares[i] = p.constant
		default:
			shares[i] = m.run.variables[p.variable].portion
		}
		total.Add(total, shares[i])
	}
	if total.Cmp(big.NewRat(1, 1)) > 0 {
		return nil, errors.New("sum of portions exceeded 100%")
	}
	if remaining >= 0 {
		shares[remaining] = new(big.Rat).Sub(big.NewRat(1, 1), total)
	}
	parts := make([]*big.Int, len(shares))
	left := new(big.Int).Set(amount)
	for i, share := range shares {
		parts[i] = new(big.Int).Mul(amount, share.Num())
		parts[i].Div(parts[i], share.Denom())
		left.Sub(left, parts[i])
	}
	for i := range parts {
		if left.Sign() <= 0 {
			break
		}
		parts[i].Add(parts[i], big.NewInt(1))
		left.Sub(left, big.NewInt(1))
	}
	return parts, nil
}
