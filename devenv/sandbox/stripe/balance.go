package stripe

import "slices"

// balanceBody is the v1 balance of an account: per currency what can be paid out now and what will be later.
type balanceBody struct {
	Object    string         `json:"object"`
	Available []balanceFunds `json:"available"`
	Livemode  bool           `json:"livemode"`
	Pending   []balanceFunds `json:"pending"`
}

type balanceFunds struct {
	Amount      int64            `json:"amount"`
	Currency    string           `json:"currency"`
	SourceTypes map[string]int64 `json:"source_types"`
}

// funds sums the balance transactions of the change's account by currency.
func (c *change) funds() (available, pending map[string]int64) {
	available, pending = map[string]int64{}, map[string]int64{}
	for _, e := range c.lists[listKey(c.account, kindBalanceTransaction)] {
		t, ok := e.obj.(*BalanceTransaction)
		if !ok {
			continue
		}
		if t.at(c.now).Status == "available" {
			available[t.Currency] += t.Net
			pending[t.Currency] += 0
		} else {
			available[t.Currency] += 0
			pending[t.Currency] += t.Net
		}
	}
	return available, pending
}

// available is what can leave the balance now. Money that is pending out counts against it.
func (c *change) available(currency string) int64 {
	available, _ := c.funds()
	return available[currency]
}

func (s *Server) getBalance(r *request) (any, *apiError) {
	r.params.allow()
	if r.params.err != nil {
		return nil, r.params.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &change{store: s.store, s: s, request: r, now: s.clock.Now(), account: r.account}
	available, pending := c.funds()
	return balanceBody{Object: "balance", Available: fundsList(available), Pending: fundsList(pending)}, nil
}

func fundsList(sums map[string]int64) []balanceFunds {
	out := []balanceFunds{}
	for currency, amount := range sums {
		out = append(out, balanceFunds{Amount: amount, Currency: currency, SourceTypes: map[string]int64{"card": amount}})
	}
	slices.SortFunc(out, func(a, b balanceFunds) int {
		if a.Currency < b.Currency {
			return -1
		}
		return 1
	})
	return out
}
