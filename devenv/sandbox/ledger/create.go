package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"time"

	"github.com/dayof/dayof/devenv/sandbox/ledger/numscript"
)

// newTransaction is a checked request for a transaction: postings or a script.
type newTransaction struct {
	postings        []Posting
	script          string
	program         *numscript.Program // of the script; nil if it does not compile
	compileErr      error
	variables       map[string]string
	force           bool
	timestamp       time.Time // zero for now
	reference       string
	metadata        Metadata
	accountMetadata map[string]Metadata
}

// create makes a transaction. It fails with INSUFFICIENT_FUND, CONFLICT,
// COMPILATION_FAILED, METADATA_OVERRIDE, NO_POSTINGS, or VALIDATION for a key
// that was used for something else.
func (w *work) create(ctx context.Context, in newTransaction, o order) (outcome, error) {
	c := creation{work: w, in: in, order: o, made: make(map[numscript.Holding]bool)}
	c.prior, c.fetched = w.findPrior(o.key)
	out, err := c.do(ctx)
	if c.prior.found && (err == nil || errors.Is(err, errReplay)) {
		out, _, err = c.prior.replay(o)
	}
	return out, err
}

// errReplay ends a creation when an earlier one with the same key is found.
var errReplay = errors.New("replay")

// creation is the making of one transaction.
type creation struct {
	*work
	in      newTransaction
	order   order
	prior   *prior
	fetched bool // prior is filled

	postings        []Posting
	metadata        Metadata
	accountMetadata map[string]Metadata
	// made are the holdings whose rows were made by a lock, forget those among
	// them that stayed unused.
	made   map[numscript.Holding]bool
	forget []numscript.Holding
}

// send flushes, and stops the creation when the key turns out to be taken.
func (c *creation) send(ctx context.Context) error {
	if err := c.flush(ctx); err != nil {
		return err
	}
	c.fetched = true
	if c.prior.found {
		return errReplay
	}
	return nil
}

func (c *creation) do(ctx context.Context) (outcome, error) {
	if c.fetched && c.prior.found {
		return outcome{}, errReplay
	}
	c.postings, c.metadata, c.accountMetadata = c.in.postings, maps.Clone(c.in.metadata.orEmpty()), map[string]Metadata{}
	if c.in.script != "" || len(c.in.postings) == 0 {
		if err := c.runScript(ctx); err != nil {
			if !c.fetched { // the key is checked before the script
				if sendErr := c.send(ctx); sendErr != nil {
					return outcome{}, sendErr
				}
			}
			return outcome{}, err
		}
	}
	for account, metadata := range c.in.accountMetadata {
		merged := c.accountMetadata[account].orEmpty()
		maps.Copy(merged, metadata)
		c.accountMetadata[account] = merged
	}
	effective := c.in.timestamp
	if effective.IsZero() {
		effective = c.now
	}
	moves := movements(c.postings)
	if !c.fetched && c.holds(movedHoldings(moves)) { // nothing may be written before the key is known to be new
		if err := c.send(ctx); err != nil {
			return outcome{}, err
		}
	}
	if !c.queueMoves(moves, effective) {
		if err := c.send(ctx); err != nil {
			return outcome{}, err
		}
	}
	if c.in.script == "" && !c.in.force {
		if err := checkFunds(c.postings, c.rows.before(moves)); err != nil {
			return outcome{}, err
		}
	}
	return c.record(ctx, moves, effective)
}

// record writes the transaction; the volumes are updated by now.
func (c *creation) record(ctx context.Context, moves []movement, effective time.Time) (outcome, error) {
	effectiveVolumes, err := c.effectiveVolumes(ctx, moves, effective)
	if err != nil {
		return outcome{}, err
	}
	made := transaction{
		Postings: c.postings, Metadata: c.metadata, Timestamp: effective, Reference: c.in.reference,
		InsertedAt: c.now, UpdatedAt: c.now,
		PostCommitVolumes: c.rows.table(moves), PostCommitEffectiveVolumes: effectiveVolumes,
	}
	accounts := c.accounts(moves, c.accountMetadata, effective)
	c.leftBehind = append(c.leftBehind, accounts...)
	if err := c.queueAccounts(accounts); err != nil {
		return outcome{}, err
	}
	c.queueForget(c.forget)
	return c.insert(ctx, &entry{
		kind: kindCreated, made: made, moves: moves,
		data: struct {
			Transaction     storedTransaction   `json:"transaction"`
			AccountMetadata map[string]Metadata `json:"accountMetadata"`
		}{storedTransaction(made), c.accountMetadata},
	}, c.order)
}

// accounts lists the accounts that may be new or used earlier than known, and
// those that get metadata; sorted.
func (w *work) accounts(moves []movement, metadata map[string]Metadata, effective time.Time) []accountUpsert {
	addresses := make(map[string]bool)
	for _, m := range moves {
		if w.rows[m.Holding].first {
			addresses[m.Account] = true
		}
	}
	for address := range metadata {
		addresses[address] = true
	}
	var accounts []accountUpsert
	for _, address := range slices.Sorted(maps.Keys(addresses)) {
		accounts = append(accounts, accountUpsert{address: address, metadata: metadata[address], firstUsage: effective, at: w.now})
	}
	return accounts
}

// checkFunds applies the postings in order: a source other than world must have
// what it gives at that moment.
func checkFunds(postings []Posting, balances map[numscript.Holding]*big.Int) error {
	for _, p := range postings {
		from, to := numscript.Holding{Account: p.Source, Asset: p.Asset}, numscript.Holding{Account: p.Destination, Asset: p.Asset}
		if p.Source != world && p.Amount.Sign() > 0 && balances[from].Cmp(p.Amount) < 0 {
			return insufficientFunds(&numscript.InsufficientFundsError{Accounts: []string{p.Source}})
		}
		balances[from].Sub(balances[from], p.Amount)
		balances[to].Add(balances[to], p.Amount)
	}
	return nil
}

// runScript turns the script into postings and metadata. When they depend on
// balances, all holdings that the script may touch are locked first.
func (c *creation) runScript(ctx context.Context) error {
	if c.in.program == nil {
		return scriptError(c.in.compileErr)
	}
	run, err := c.in.program.Bind(c.in.variables)
	if err != nil {
		return scriptError(err)
	}
	needs, err := run.Needs()
	if err != nil {
		return scriptError(err)
	}
	var balances map[numscript.Holding]*big.Int
	if needs.Balances {
		if balances, err = c.lock(ctx, needs); err != nil {
			return err
		}
	}
	result, err := run.Execute(balances)
	if err != nil {
		return scriptError(err)
	}
	if len(result.Postings) == 0 {
		return &apiError{http.StatusBadRequest, codeNoPostings, forging + "numscript execution returned no postings"}
	}
	for key, text := range result.TransactionMetadata {
		if _, twice := c.metadata[key]; twice && text != "" {
			return &apiError{http.StatusBadRequest, codeMetadataOverride, fmt.Sprintf("%scannot override metadata '%s'", forging, key)}
		}
		c.metadata[key] = text
	}
	for account, metadata := range result.AccountMetadata {
		c.accountMetadata[account] = metadata
	}
	used := make(map[numscript.Holding]bool)
	c.postings = make([]Posting, len(result.Postings))
	for i, p := range result.Postings {
		c.postings[i] = Posting(p)
		used[numscript.Holding{Account: p.Source, Asset: p.Asset}] = true
		used[numscript.Holding{Account: p.Destination, Asset: p.Asset}] = true
	}
	for _, h := range needs.Others {
		if !used[h] && c.made[h] {
			c.forget = append(c.forget, h)
		}
	}
	return nil
}

// lock locks every holding the script may touch, in order, and returns their
// balances.
func (c *creation) lock(ctx context.Context, needs numscript.Needs) (map[numscript.Holding]*big.Int, error) {
	all := slices.Concat(needs.Sources, needs.Others)
	if !c.holds(all) {
		slices.SortFunc(all, numscript.CompareHoldings)
		c.queueLocks(all, c.made)
		if err := c.send(ctx); err != nil {
			return nil, err
		}
	}
	balances := make(map[numscript.Holding]*big.Int, len(all))
	for _, h := range all {
		balances[h] = c.rows[h].balance()
	}
	return balances, nil
}
