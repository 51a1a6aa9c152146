package invariant

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
)

// books are all transactions of the ledger, by reference, and the balances that follow from them.
type books struct {
	byReference map[string]transaction
	all         []transaction
	balances    map[string]map[string]*big.Int // by account and asset
	total       map[string]*big.Int            // by asset, as the ledger itself sums it
}

type transaction struct {
	ID        int64     `json:"id"`
	Reference string    `json:"reference"`
	Postings  []posting `json:"postings"`
}

type posting struct {
	Source      string   `json:"source"`
	Destination string   `json:"destination"`
	Asset       string   `json:"asset"`
	Amount      *big.Int `json:"amount"`
}

// orderPayment is the transit account of an order's captured money.
func orderPayment(orderID string) string { return "orders:" + orderID + ":payment" }

// received is what a capture brought into the order's transit account; shared is what left it in the same transaction.
func (t transaction) received(account string) (received, shared *big.Int) {
	received, shared = new(big.Int), new(big.Int)
	for _, p := range t.Postings {
		if p.Destination == account {
			received.Add(received, p.Amount)
		}
		if p.Source == account {
			shared.Add(shared, p.Amount)
		}
	}
	return received, shared
}

// readLedger pages through the ledger's transactions, newest first, and asks for the sum of all balances.
func readLedger(ctx context.Context, base string) (books, error) {
	b := books{byReference: map[string]transaction{}, balances: map[string]map[string]*big.Int{}, total: map[string]*big.Int{}}
	query := "?pageSize=100"
	for {
		var page struct {
			Cursor struct {
				HasMore bool          `json:"hasMore"`
				Next    string        `json:"next"`
				Data    []transaction `json:"data"`
			} `json:"cursor"`
		}
		if err := persist(ctx, func() error { return getJSON(ctx, base+"/transactions"+query, &page) }); err != nil {
			return b, fmt.Errorf("read the ledger's transactions: %w", err)
		}
		for _, t := range page.Cursor.Data {
			b.add(t)
		}
		if !page.Cursor.HasMore || page.Cursor.Next == "" {
			break
		}
		query = "?cursor=" + url.QueryEscape(page.Cursor.Next)
	}
	var sums struct {
		Data map[string]*big.Int `json:"data"`
	}
	if err := persist(ctx, func() error { return getJSON(ctx, base+"/aggregate/balances", &sums) }); err != nil {
		return b, fmt.Errorf("read the ledger's balances: %w", err)
	}
	b.total = sums.Data
	return b, nil
}

func (b *books) add(t transaction) {
	b.all = append(b.all, t)
	if t.Reference != "" {
		b.byReference[t.Reference] = t
	}
	for _, p := range t.Postings {
		b.move(p.Source, p.Asset, new(big.Int).Neg(p.Amount))
		b.move(p.Destination, p.Asset, p.Amount)
	}
}

func (b *books) move(account, asset string, amount *big.Int) {
	if b.balances[account] == nil {
		b.balances[account] = map[string]*big.Int{}
	}
	if b.balances[account][asset] == nil {
		b.balances[account][asset] = new(big.Int)
	}
	b.balances[account][asset].Add(b.balances[account][asset], amount)
}

func getJSON(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s: %s", res.Status, body)
	}
	return json.Unmarshal(body, into)
}
