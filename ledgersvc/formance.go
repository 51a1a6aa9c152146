package ledgersvc

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	formance "github.com/formancehq/formance-sdk-go/v3"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/operations"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/shared"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// ledger is the Formance ledger that we post to. All calls go through a breaker; writes take a place in flight, since
// the server hangs when writes outnumber the connections of its database pool (v2.4.12).
type ledger struct {
	config    FormanceConfig
	logger    *slog.Logger
	transport *transport
	breaker   *breaker.Breaker
	places    chan struct{} // one for each write in flight
	scripter  scripter
	sdk       atomic.Pointer[formance.Formance]

	preparations *breaker.Breaker // of finding the server and making the ledger
	prepared     atomic.Bool
	mu           sync.Mutex
	preparing    *preparation // under way; nil if none is
	away         bool         // the last preparation failed
	background   sync.WaitGroup
	stopped      chan struct{} // closed by stop
	stopOnce     sync.Once
	keepBook     func(ctx context.Context, name string, added time.Time) error // refuses a ledger that is another one than before
}

func newLedger(c FormanceConfig, logger *slog.Logger, keepBook func(ctx context.Context, name string, added time.Time) error) *ledger {
	l := &ledger{
		keepBook:  keepBook,
		config:    c,
		logger:    logger,
		transport: newTransport(c),
		places:    make(chan struct{}, c.WritesInFlightMax),
		stopped:   make(chan struct{}),
		scripter:  newScripter(),
		breaker: breaker.New(breaker.Config{
			Party: "formance", Logger: logger, OpenFor: c.BreakerOpenFor,
			IsFailure: isAway,
		}),
		preparations: breaker.New(breaker.Config{
			Party: "formance preparation", Logger: logger, OpenFor: c.BreakerOpenFor,
			IsFailure: isAway,
		}),
	}
	l.sdk.Store(l.newSDK(c.AttemptTimeout))
	return l
}

// post creates the transaction of p. Errors are *takenError, *refusedError and *awayError. Only no error says how
// the reference ended: after any other answer it is read back. The same plan is the same request, byte for byte.
func (l *ledger) post(ctx context.Context, p plan) (journal.Entry, error) {
	request, err := l.request(p)
	if err != nil {
		return journal.Entry{}, err
	}
	leave, err := l.enter(ctx)
	if err != nil {
		return journal.Entry{}, err
	}
	defer leave()
	var posted shared.V2Transaction
	err = l.call(ctx, "create transaction", func(ctx context.Context, sdk *formance.Formance) error {
		key := idempotencyKey(p.reference)
		res, err := sdk.Ledger.V2.CreateTransaction(ctx, operations.V2CreateTransactionRequest{
			Ledger: l.config.Ledger, IdempotencyKey: &key, V2PostTransaction: request,
		})
		if err != nil {
			return err
		}
		posted = res.V2CreateTransactionResponse.Data
		return nil
	})
	if err != nil {
		return journal.Entry{}, err
	}
	return journal.EntryFromTransaction(posted)
}

// postAll creates the transactions of plans of different references, all or none, and returns their entries in the same order. Only no
// error says how they ended.
func (l *ledger) postAll(ctx context.Context, plans []plan) ([]journal.Entry, error) {
	if len(plans) == 1 {
		e, err := l.post(ctx, plans[0])
		return []journal.Entry{e}, err
	}
	request := operations.V2CreateBulkRequest{Ledger: l.config.Ledger, Atomic: new(bool)}
	*request.Atomic = true
	for _, p := range slices.SortedFunc(slices.Values(plans), inBulk) {
		body, err := l.request(p)
		if err != nil {
			return nil, err
		}
		key := idempotencyKey(p.reference)
		request.RequestBody = append(request.RequestBody, shared.CreateV2BulkElementCreateTransaction(
			shared.V2BulkElementCreateTransaction{Data: &body, Ik: &key}))
	}
	leave, err := l.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	posted := make(map[string]journal.Entry, len(plans))
	err = l.call(ctx, "create bulk", func(ctx context.Context, sdk *formance.Formance) error {
		res, err := sdk.Ledger.V2.CreateBulk(ctx, request)
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK { // the SDK takes a failed bulk for an answer
			return fmt.Errorf("status %d", res.StatusCode)
		}
		for _, element := range res.V2BulkResponse.Data {
			created := element.V2BulkElementResultCreateTransactionSchemas
			if created == nil {
				return fmt.Errorf("an element of type %q", element.Type)
			}
			e, err := journal.EntryFromTransaction(created.Data)
			if err != nil {
				return err
			}
			posted[e.Reference] = e
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	entries := make([]journal.Entry, len(plans))
	for i, p := range plans {
		e, ok := posted[p.reference]
		if !ok {
			return nil, fmt.Errorf("a bulk of %d is answered without %s", len(plans), p.reference)
		}
		entries[i] = e
	}
	return entries, nil
}

// inBulk orders the entries of a bulk. The ledger locks the accounts of one after the other: fees come last, since all of them share the
// account of what we paid in fees, and it is held for the shortest time then. In the order of clearing accounts, two bulks that
// share some wait for each other but never in a circle.
func inBulk(a, b plan) int {
	return cmp.Or(cmp.Compare(lateInBulk(a), lateInBulk(b)), strings.Compare(a.clearingAccount(), b.clearingAccount()), strings.Compare(a.reference, b.reference))
}

func lateInBulk(p plan) int {
	if p.kind == ledgerv1.EntryKind_ENTRY_KIND_STRIPE_FEE {
		return 1
	}
	return 0
}

// clearingAccount is the account at Stripe that p moves money to or from; "" if it moves none there.
func (p plan) clearingAccount() string {
	for _, m := range p.moves {
		for _, a := range append([]account{m.to}, m.sources()...) {
			if a.role == "clearing" {
				return a.address
			}
		}
	}
	return ""
}

// request is the body that posts p.
func (l *ledger) request(p plan) (shared.V2PostTransaction, error) {
	s, err := l.scripter.write(p.asset, p.moves)
	if err != nil {
		return shared.V2PostTransaction{}, err
	}
	return shared.V2PostTransaction{
		Reference: &p.reference,
		Timestamp: &p.effectiveTime,
		Metadata:  p.metadata(),
		Script:    &shared.V2PostTransactionScript{Plain: &s.plain, Vars: s.vars},
	}, nil
}

// find returns what the ledger holds under a reference. Found proves that it was posted; not found proves nothing, as
// the transaction may be on its way.
func (l *ledger) find(ctx context.Context, reference string) (e journal.Entry, found bool, err error) {
	var listed []shared.V2Transaction
	err = l.call(ctx, "list transactions", func(ctx context.Context, sdk *formance.Formance) error {
		res, err := sdk.Ledger.V2.ListTransactions(ctx, operations.V2ListTransactionsRequest{
			Ledger: l.config.Ledger, Query: map[string]any{"$match": map[string]any{"reference": reference}},
		})
		if err != nil {
			return err
		}
		listed = res.V2TransactionsCursorResponse.Cursor.Data
		return nil
	})
	if err != nil {
		return journal.Entry{}, false, err
	}
	for _, t := range listed {
		if t.Reference != nil && *t.Reference == reference {
			e, err = journal.EntryFromTransaction(t)
			return e, err == nil, err
		}
	}
	return journal.Entry{}, false, nil
}

// balances returns the balance of an account per asset; none for an account that was never used.
func (l *ledger) balances(ctx context.Context, address string) (map[string]*big.Int, error) {
	sums := make(map[string]*big.Int)
	expand := "volumes"
	err := l.call(ctx, "get account", func(ctx context.Context, sdk *formance.Formance) error {
		res, err := sdk.Ledger.V2.GetAccount(ctx, operations.V2GetAccountRequest{
			Ledger: l.config.Ledger, Address: address, Expand: &expand,
		})
		if err != nil {
			return err
		}
		for asset, volume := range res.V2AccountResponse.Data.Volumes {
			sums[asset] = new(big.Int).Sub(volume.Input, volume.Output)
		}
		return nil
	})
	if refused, ok := errors.AsType[*refusedError](err); ok && refused.code == shared.V2ErrorsEnumNotFound {
		return sums, nil
	}
	return sums, err
}

// sums returns the sum of all balances per asset.
func (l *ledger) sums(ctx context.Context) (map[string]*big.Int, error) {
	sums := make(map[string]*big.Int)
	err := l.call(ctx, "aggregate balances", func(ctx context.Context, sdk *formance.Formance) error {
		res, err := sdk.Ledger.V2.GetBalancesAggregated(ctx, operations.V2GetBalancesAggregatedRequest{Ledger: l.config.Ledger})
		if err != nil {
			return err
		}
		maps.Copy(sums, res.V2AggregateBalancesResponse.Data)
		return nil
	})
	return sums, err
}

// enter waits for a place among the writes in flight. A caller whose time ran out in the queue has sent nothing.
func (l *ledger) enter(ctx context.Context) (leave func(), err error) {
	select {
	case l.places <- struct{}{}:
		return func() { <-l.places }, nil
	case <-ctx.Done():
		return nil, &awayError{call: "wait for a place in flight", err: ctx.Err()}
	}
}

// call runs one call at the ledger, which must be prepared, through the breaker.
func (l *ledger) call(ctx context.Context, name string, f func(ctx context.Context, sdk *formance.Formance) error) error {
	if err := l.prepare(ctx); err != nil {
		return err
	}
	return l.exchange(ctx, name, f)
}

// exchange runs one call through the breaker and says what its outcome means.
func (l *ledger) exchange(ctx context.Context, name string, f func(ctx context.Context, sdk *formance.Formance) error) error {
	err := l.breaker.Do(ctx, func(ctx context.Context) error { return l.ask(ctx, name, l.sdk.Load(), f) })
	if errors.Is(err, breaker.ErrOpen) {
		return &awayError{call: name, notSent: true, hopeless: true, err: err, retryAfter: l.breaker.OpenFor()}
	}
	return err
}

// ask runs one call past the breaker and says what its outcome means.
func (l *ledger) ask(ctx context.Context, name string, sdk *formance.Formance, f func(ctx context.Context, sdk *formance.Formance) error) error {
	status := new(responseStatus)
	err := classify(name, status, f(withStatus(ctx, status), sdk))
	if status.unauthorized() {
		l.sdk.CompareAndSwap(sdk, l.newSDK(l.config.AttemptTimeout)) // the SDK keeps a token that was revoked until it expires
	}
	return err
}

// idempotencyKey is the key of a reference: the reference itself, or a hash of one that the ledger finds too long.
func idempotencyKey(reference string) string {
	const longest = 255
	if len(reference) <= longest {
		return reference
	}
	hash := sha256.Sum256([]byte(reference))
	return "sha256:" + hex.EncodeToString(hash[:])
}

// sortedKeys returns the keys of m in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
