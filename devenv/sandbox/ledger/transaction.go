package ledger

import (
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/dayof/dayof/devenv/sandbox/ledger/numscript"
)

const world = "world"

// revertsKey is the metadata key that marks a reverting transaction.
const revertsKey = "com.formance.spec/state/reverts"

// Metadata maps keys to strings; never null on the wire.
type Metadata map[string]string

// orEmpty returns m, or an empty map for nil.
func (m Metadata) orEmpty() Metadata {
	if m == nil {
		return Metadata{}
	}
	return m
}

// Posting is one line of a transaction as it travels.
type Posting struct {
	Source      string   `json:"source"`
	Destination string   `json:"destination"`
	Amount      *big.Int `json:"amount"`
	Asset       string   `json:"asset"`
}

// reversed mirrors the postings, last one first.
func reversed(postings []Posting) []Posting {
	mirrored := make([]Posting, len(postings))
	for i, p := range postings {
		mirrored[len(postings)-1-i] = Posting{Source: p.Destination, Destination: p.Source, Amount: p.Amount, Asset: p.Asset}
	}
	return mirrored
}

// volumes are what ever went into and out of an account in one asset.
type volumes struct{ input, output *big.Int }

func (v volumes) balance() *big.Int { return new(big.Int).Sub(v.input, v.output) }

type volumesJSON struct {
	Input   *big.Int `json:"input"`
	Output  *big.Int `json:"output"`
	Balance *big.Int `json:"balance"`
}

// MarshalJSON adds the balance.
func (v volumes) MarshalJSON() ([]byte, error) {
	return json.Marshal(volumesJSON{v.input, v.output, v.balance()})
}

// UnmarshalJSON ignores the balance.
func (v *volumes) UnmarshalJSON(data []byte) error {
	var parsed volumesJSON
	if err := json.Unmarshal(data, &parsed); err != nil {
		return err
	}
	v.input, v.output = parsed.Input, parsed.Output
	return nil
}

// volumeTable maps account and asset to volumes.
type volumeTable map[string]map[string]volumes

func (t volumeTable) set(account, asset string, v volumes) {
	if t[account] == nil {
		t[account] = make(map[string]volumes)
	}
	t[account][asset] = v
}

// before returns the table as it was before the postings.
func (t volumeTable) before(postings []Posting) volumeTable {
	if len(t) == 0 {
		return nil
	}
	past := make(volumeTable, len(t))
	for account, byAsset := range t {
		past[account] = maps.Clone(byAsset)
	}
	for _, p := range postings {
		if v, ok := past[p.Source][p.Asset]; ok {
			past[p.Source][p.Asset] = volumes{v.input, new(big.Int).Sub(v.output, p.Amount)}
		}
		if v, ok := past[p.Destination][p.Asset]; ok {
			past[p.Destination][p.Asset] = volumes{new(big.Int).Sub(v.input, p.Amount), v.output}
		}
	}
	return past
}

// transaction is a transaction as it travels and as the log keeps it. The
// volumes before it are derived when it is rendered.
type transaction struct {
	Postings                   []Posting   `json:"postings"`
	Metadata                   Metadata    `json:"metadata"`
	Timestamp                  time.Time   `json:"timestamp"`
	Reference                  string      `json:"reference,omitempty"`
	ID                         int64       `json:"id"`
	InsertedAt                 time.Time   `json:"insertedAt"`
	UpdatedAt                  time.Time   `json:"updatedAt"`
	RevertedAt                 *time.Time  `json:"revertedAt,omitempty"`
	PostCommitVolumes          volumeTable `json:"postCommitVolumes,omitempty"`
	PostCommitEffectiveVolumes volumeTable `json:"postCommitEffectiveVolumes,omitempty"`
}

// storedTransaction is a transaction without its derived fields.
type storedTransaction transaction

// MarshalJSON adds reverted and the volumes before the transaction.
func (t transaction) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		storedTransaction
		Reverted                  bool        `json:"reverted"`
		PreCommitVolumes          volumeTable `json:"preCommitVolumes,omitempty"`
		PreCommitEffectiveVolumes volumeTable `json:"preCommitEffectiveVolumes,omitempty"`
	}{
		storedTransaction:         storedTransaction(t),
		Reverted:                  t.RevertedAt != nil,
		PreCommitVolumes:          t.PostCommitVolumes.before(t.Postings),
		PreCommitEffectiveVolumes: t.PostCommitEffectiveVolumes.before(t.Postings),
	})
}

// movement is what one transaction does to one holding.
type movement struct {
	numscript.Holding
	input, output         *big.Int
	isSource, isRecipient bool
}

// movements sums the postings up per holding, sorted in lock order.
func movements(postings []Posting) []movement {
	byHolding := make(map[numscript.Holding]*movement, 2*len(postings))
	at := func(account, asset string) *movement {
		h := numscript.Holding{Account: account, Asset: asset}
		m, ok := byHolding[h]
		if !ok {
			m = &movement{Holding: h, input: new(big.Int), output: new(big.Int)}
			byHolding[h] = m
		}
		return m
	}
	for _, p := range postings {
		from := at(p.Source, p.Asset)
		from.output.Add(from.output, p.Amount)
		from.isSource = true
		to := at(p.Destination, p.Asset)
		to.input.Add(to.input, p.Amount)
		to.isRecipient = true
	}
	all := make([]movement, 0, len(byHolding))
	for _, m := range byHolding {
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b movement) int { return numscript.CompareHoldings(a.Holding, b.Holding) })
	return all
}

// validatePostings says what is wrong with postings in the ledger's words.
func validatePostings(postings []Posting) error {
	for _, p := range postings {
		switch {
		case p.Amount == nil:
			return invalid("no amount defined")
		case p.Amount.Sign() < 0:
			return invalid("negative amount")
		case !numscript.IsAccount(p.Source):
			return invalid("invalid source address")
		case !numscript.IsAccount(p.Destination):
			return invalid("invalid destination address")
		case !numscript.IsAsset(p.Asset):
			return invalid("invalid asset")
		}
	}
	return nil
}
