package ledgersvc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/shared"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/backoff"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/ledgersvc/journal"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

const (
	// postAttemptsMax is how often one call sends an entry; the deadline usually ends it earlier.
	postAttemptsMax = 8
	// postReserve is what posting leaves of the caller's deadline to keep the copy and to answer.
	postReserve = 100 * time.Millisecond
	// keepTimeout bounds keeping a copy. It does not count against the caller's deadline: what is known is kept.
	keepTimeout = 2 * time.Second
	// unavailableRetryAfter is what a caller is asked to wait when the ledger did not say itself.
	unavailableRetryAfter = time.Second
	// notPostedRetryAfter is when an entry that another one needs may have been posted.
	notPostedRetryAfter = time.Second
)

// postBackoff is the wait before a repeat; nobody queues callers, so it has full jitter.
var postBackoff = backoff.Full(20*time.Millisecond, 500*time.Millisecond)

// call is the incoming call that an entry is posted for.
type call struct {
	scope       idem.Scope
	fingerprint []byte // of its request
}

func newCall(ctx context.Context, fingerprint []byte) (call, error) {
	scope, err := idem.ScopeFrom(ctx)
	return call{scope: scope, fingerprint: fingerprint}, err
}

// postFor is post for a call that posts this one entry only.
func (s *Service) postFor(ctx context.Context, p plan) (journal.Entry, error) {
	entries, err := s.postTogether(ctx, p)
	if err != nil {
		return journal.Entry{}, err
	}
	return entries[0], nil
}

// postTogether is post for a call that posts p, and others beside it in the same request where that goes well: the entry of p is
// returned, or those of all.
func (s *Service) postTogether(ctx context.Context, p plan, beside ...plan) ([]journal.Entry, error) {
	c, err := newCall(ctx, p.fingerprint())
	if err != nil {
		return nil, err
	}
	return s.postWith(ctx, c, p, beside)
}

// post makes sure that the ledger holds p under its reference, once, and returns the entry that it holds. Any number
// of callers may do it at once, in any process; all get the same entry.
//
// It goes on when the caller hangs up, within the caller's deadline. If it fails or dies between the ledger's answer
// and our copy, a repeat finds the entry at the ledger and keeps the copy then.
//
// Problems: LEDGER_UNAVAILABLE, LEDGER_CONFLICT, INSUFFICIENT_FUNDS, IDEMPOTENCY_KEY_REUSED.
func (s *Service) post(ctx context.Context, c call, p plan) (journal.Entry, error) {
	entries, err := s.postWith(ctx, c, p, nil)
	if err != nil {
		return journal.Entry{}, err
	}
	return entries[0], nil
}

// postWith is post of p, and of others in the same request. What it returns is the entry of p, or those of all: the others are posted
// with the first request or not at all.
func (s *Service) postWith(ctx context.Context, c call, p plan, beside []plan) ([]journal.Entry, error) {
	start := s.clock.Now()
	entries, outcome, err := s.postOnce(ctx, c, p, beside)
	s.metrics.posted(p.kind, outcome, s.clock.Now().Sub(start))
	if outcome == outcomeConflict {
		s.logger.LogAttrs(ctx, slog.LevelError, "reference holds another entry",
			slog.String("reference", p.reference), slog.String("error", err.Error()))
	}
	if len(entries) > 1 {
		for _, other := range beside {
			s.metrics.posted(other.kind, outcome, s.clock.Now().Sub(start))
		}
	}
	return entries, err
}

func (s *Service) postOnce(ctx context.Context, c call, p plan, beside []plan) (entries []journal.Entry, outcome string, err error) {
	ctx, cancel := detached(ctx, s.config.CallTimeout)
	defer cancel()
	copied, err := s.isCopied(ctx, c, p.reference)
	if err != nil {
		return nil, outcomeFailed, err
	}
	if copied {
		e, _, copyErr := entryCopy(ctx, s.pool, p.reference)
		entries, outcome, err = []journal.Entry{e}, outcomeReplayed, copyErr
	} else {
		entries, outcome, err = s.send(ctx, p, beside)
	}
	if err != nil {
		return nil, outcome, err
	}
	plans := append([]plan{p}, beside...)
	for i, e := range entries {
		if err := plans[i].acceptable(e); err != nil {
			return nil, outcomeConflict, problem.New(connect.CodeAlreadyExists, problem.ReasonOf(ledgerv1.Reason_REASON_LEDGER_CONFLICT),
				"the ledger holds another entry under this reference; an operator must look at it").Because(err)
		}
	}
	if !copied {
		crash.At(crash.LedgerPosted)
		if err := s.keep(ctx, c, entries...); err != nil {
			return nil, outcomeFailed, err
		}
		crash.At(crash.LedgerCopied)
	}
	return entries, outcome, nil
}

// isCopied reports whether there is a copy under the reference, and refuses a key that was used for another request.
func (s *Service) isCopied(ctx context.Context, c call, reference string) (copied bool, err error) {
	state, err := s.q.CallState(ctx, s.pool, c.scope.Caller, c.scope.Method, c.scope.Key, reference)
	if err != nil {
		return false, fmt.Errorf("read state of call: %w", err)
	}
	if len(state.KeyFingerprint) > 0 {
		if !bytes.Equal(state.KeyFingerprint, c.fingerprint) {
			return false, problem.New(connect.CodeAlreadyExists, problem.ReasonIdempotencyKeyReused,
				"this Idempotency-Key was used for a different request, use a new key")
		}
		rpc.SetReplayed(ctx)
	}
	return state.Copied, nil
}

// send posts p at the ledger until the outcome is known or the deadline is near, always with the same bytes and key.
//
// Whatever the ledger says but yes, the reference is read back first. A reference or key in use may be our own earlier
// attempt. So may a lack of funds: of two equal calls at once, the second is checked against what the first one left.
//
// What goes beside p goes with the first request only. Where the ledger decides against that, p is posted by itself.
func (s *Service) send(ctx context.Context, p plan, beside []plan) ([]journal.Entry, string, error) {
	for attempt := 1; ; attempt++ {
		entries, err := s.batches.post(ctx, append([]plan{p}, beside...))
		if err == nil {
			return entries, outcomePosted, nil
		}
		away, isUnknown := errors.AsType[*awayError](err)
		together := len(beside) > 0
		if beside = nil; together && !isUnknown {
			continue
		}
		if !isUnknown || !away.notSent && !away.hopeless {
			e, found, readErr := s.ledger.find(ctx, p.reference)
			switch refused, isRefused := errors.AsType[*refusedError](err); {
			case readErr == nil && found:
				return []journal.Entry{e}, outcomeReadBack, nil
			case readErr == nil && isRefused && (!refused.mayBeKey() || attempt > 1):
				return nil, outcomeRefused, refusal(p, refused)
			case readErr != nil && !isAway(readErr):
				return nil, outcomeFailed, fmt.Errorf("read back %s: %w", p.reference, readErr)
			}
			err = errors.Join(err, readErr)
		}
		if !isUnknown {
			away = &awayError{call: "read back", err: err}
		}
		s.logger.LogAttrs(ctx, slog.LevelWarn, "outcome at the ledger is unknown", slog.String("reference", p.reference),
			slog.Int("attempt", attempt), slog.String("error", err.Error()))
		if attempt == postAttemptsMax || away.hopeless || !sleep(ctx, max(postBackoff.Delay(attempt), away.retryAfter)) {
			return nil, outcomeUnavailable, unavailable(away)
		}
	}
}

// refusal translates a decision of the ledger against p.
func refusal(p plan, refused *refusedError) error {
	if refused.code == shared.V2ErrorsEnumInsufficientFund {
		return problem.New(connect.CodeFailedPrecondition, problem.ReasonOf(ledgerv1.Reason_REASON_INSUFFICIENT_FUNDS),
			"an account does not hold what this entry takes from it").Because(refused)
	}
	return fmt.Errorf("post %s: %w", p.reference, refused)
}

// unavailable is what a caller gets for an outcome that is not known.
func unavailable(away *awayError) error {
	p := problem.New(connect.CodeUnavailable, problem.ReasonOf(ledgerv1.Reason_REASON_LEDGER_UNAVAILABLE),
		"the ledger does not answer; the outcome is unknown, repeat the same request")
	p.RetryAfter = max(unavailableRetryAfter, away.retryAfter)
	return p.Because(away)
}

// readProblem translates an error of reading at the ledger.
func readProblem(err error) error {
	if away, ok := errors.AsType[*awayError](err); ok {
		p := problem.New(connect.CodeUnavailable, problem.ReasonOf(ledgerv1.Reason_REASON_LEDGER_UNAVAILABLE), "the ledger does not answer; try again later")
		p.RetryAfter = max(unavailableRetryAfter, away.retryAfter)
		return p.Because(err)
	}
	return err
}

// acceptable says whether e may stand under the reference of p: it is p, or p is a capture and e is the other of the
// two entries that a capture may be, over the same money.
func (p plan) acceptable(e journal.Entry) error {
	err := p.holds(e)
	if err == nil || !isCapture(p.kind) || !isCapture(e.Kind) || e.Kind == p.kind {
		return err
	}
	gross := p.moves[0]
	if e.Facts.OrderID != p.facts.OrderID || e.Facts.OrganizerID != p.facts.OrganizerID || len(e.Postings) == 0 ||
		e.Postings[0] != (journal.Posting{Source: gross.from[0].address, Destination: gross.to.address, Asset: p.asset, Amount: gross.amount}) {
		return fmt.Errorf("it is a %q over other money", journal.KindName(e.Kind))
	}
	return nil
}

func isCapture(kind ledgerv1.EntryKind) bool {
	return kind == ledgerv1.EntryKind_ENTRY_KIND_SALE || kind == ledgerv1.EntryKind_ENTRY_KIND_RECEIPT
}

// keep writes our copies of entries, the key of the call with the first, in one commit. What is there stays.
func (s *Service) keep(ctx context.Context, c call, entries ...journal.Entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
	defer cancel()
	var copies pgdb.Pipeline
	for _, e := range entries {
		if err := s.q.CopyEntry(ctx, &copies, copyOf(c, e, s.clock.Now())); err != nil {
			return err
		}
		c = call{}
	}
	// Statements of one batch are one transaction.
	if err := s.pool.SendBatch(ctx, copies.Batch()).Close(); err != nil {
		return fmt.Errorf("keep copy of %s: %w", entries[0].Reference, err)
	}
	return nil
}

// copyOf is the row of an entry's copy, with the key of a call.
func copyOf(c call, e journal.Entry, now time.Time) ledgerdb.CopyEntryParams {
	params := ledgerdb.CopyEntryParams{
		Caller: c.scope.Caller, Method: c.scope.Method, Key: c.scope.Key, KeyFingerprint: c.fingerprint, CreatedTime: now,
		LedgerTransactionID: e.TransactionID, Reference: e.Reference, Kind: journal.KindName(e.Kind),
		OrderID: e.Facts.OrderID, OrganizerID: e.Facts.OrganizerID, PaymentIntentID: e.Facts.PaymentIntentID,
		StripeAccount: e.Facts.StripeAccount, DisputeID: e.Facts.DisputeID,
		Fingerprint: e.Fingerprint, EffectiveTime: e.EffectiveTime, PostTime: e.PostTime,
	}
	for _, p := range e.Postings {
		params.Sources = append(params.Sources, p.Source)
		params.Destinations = append(params.Destinations, p.Destination)
		params.Assets = append(params.Assets, p.Asset)
		params.Amounts = append(params.Amounts, p.Amount)
	}
	return params
}

// posted returns the entry under a reference that another entry builds on: our copy, or else what the ledger holds, of
// which a copy is then kept.
func (s *Service) posted(ctx context.Context, reference string) (journal.Entry, bool, error) {
	e, found, err := entryCopy(ctx, s.pool, reference)
	if err != nil || found {
		return e, found, err
	}
	ctx, cancel := detached(ctx, s.config.CallTimeout)
	defer cancel()
	e, found, err = s.ledger.find(ctx, reference)
	if err != nil {
		return journal.Entry{}, false, readProblem(err)
	}
	if !found || e.Kind == ledgerv1.EntryKind_ENTRY_KIND_UNSPECIFIED { // or a stranger's
		return journal.Entry{}, false, nil
	}
	return e, true, s.keep(ctx, call{}, e)
}

// notPosted is the problem that an entry needs another one that is not in the ledger yet.
func notPosted(reason ledgerv1.Reason, detail string) error {
	p := problem.New(connect.CodeFailedPrecondition, problem.ReasonOf(reason), detail)
	p.RetryAfter = notPostedRetryAfter
	return p
}

// detached returns a context that does not end when the caller hangs up, but in time for the caller's deadline.
func detached(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	if !ok {
		return ctx, cancel
	}
	ctx, cancelEarlier := context.WithDeadline(ctx, deadline.Add(-postReserve))
	return ctx, func() { cancelEarlier(); cancel() }
}

// sleep waits, unless ctx ends before; it reports whether it waited.
func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
