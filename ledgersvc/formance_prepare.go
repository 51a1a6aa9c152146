package ledgersvc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	formance "github.com/formancehq/formance-sdk-go/v3"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/operations"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/shared"

	"github.com/dayof/dayof/internal/chassis/breaker"
)

// wrongLedgerError says that the server is not what this service can post to; somebody must act.
type wrongLedgerError struct{ text string }

// Error says what is wrong and what to do.
func (e *wrongLedgerError) Error() string { return e.text }

// preparation is one attempt to prepare the ledger, for all callers who wait for it.
type preparation struct {
	done chan struct{} // closed at the end
	err  error         // set then
}

// prepare makes sure, once, that the server is a ledger of a version that we know and that our ledger exists there.
// It is tried again by the next call until it succeeds. Errors are *awayError; one that wraps a *wrongLedgerError
// stays until somebody acts.
//
// The work is done aside: it goes on when the caller's time is over, since the first ledger of a bucket takes longer than a call.
func (l *ledger) prepare(ctx context.Context) error {
	if l.prepared.Load() {
		return nil
	}
	l.mu.Lock()
	p := l.preparing
	if p == nil {
		p = &preparation{done: make(chan struct{})}
		l.preparing = p
		l.background.Go(func() { l.runPreparation(context.WithoutCancel(ctx), p) })
	}
	l.mu.Unlock()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return &awayError{call: "prepare ledger", notSent: true, err: ctx.Err()}
	}
}

// runPreparation makes one attempt and tells those who wait for it. Its outcomes have a breaker of their own: a call asks
// several addresses and 404 is an answer there, which says nothing about the ledger's calls.
func (l *ledger) runPreparation(ctx context.Context, p *preparation) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.background.Go(func() {
		select {
		case <-l.stopped:
			cancel()
		case <-ctx.Done():
		}
	})
	err := l.preparations.Do(ctx, l.findAndMake)
	l.mu.Lock()
	l.preparing = nil
	l.away = err != nil
	l.mu.Unlock()
	p.err = l.preparationError(ctx, err)
	close(p.done)
}

// findAndMake finds the server and makes the ledger.
func (l *ledger) findAndMake(ctx context.Context) error {
	if l.prepared.Load() {
		return nil
	}
	version, err := l.findServer(ctx)
	if err != nil {
		return err
	}
	if err := checkVersion(l.config.URL, version); err != nil {
		return err
	}
	if err := l.makeLedger(ctx); err != nil {
		return err
	}
	l.prepared.Store(true)
	l.logger.LogAttrs(ctx, slog.LevelInfo, "ledger is ready", slog.String("ledger", l.config.Ledger),
		slog.String("version", version), slog.String("path_prefix", *l.transport.prefix.Load()))
	return nil
}

func (l *ledger) preparationError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, breaker.ErrOpen) {
		return &awayError{call: "prepare ledger", notSent: true, hopeless: true, retryAfter: l.preparations.OpenFor(), err: err}
	}
	if wrong, ok := errors.AsType[*wrongLedgerError](err); ok {
		l.logger.LogAttrs(ctx, slog.LevelError, "ledger cannot be used", slog.String("error", wrong.text))
		return &awayError{call: "prepare ledger", notSent: true, hopeless: true, err: err}
	}
	if away, ok := errors.AsType[*awayError](err); ok {
		return &awayError{call: "prepare ledger", notSent: true, hopeless: away.hopeless, retryAfter: away.retryAfter, err: err}
	}
	return &awayError{call: "prepare ledger", notSent: true, err: err}
}

// isAway says whether the ledger does not answer now.
func (l *ledger) isAway() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.away || l.breaker.IsAway()
}

// stop ends a preparation under way and waits for its end.
func (l *ledger) stop() {
	l.stopOnce.Do(func() { close(l.stopped) })
	l.background.Wait()
}

// checkVersion accepts versions 2.x. Builds without a number ("develop") are taken to be what the operator means.
func checkVersion(url, version string) error {
	major, _, numbered := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	if numbered && major != "2" {
		return &wrongLedgerError{text: fmt.Sprintf("the ledger at %s has version %s; this service posts to 2.x", url, version)}
	}
	return nil
}

// makeLedger creates the ledger unless it exists, and checks that it is the one that our copies are of.
//
// Creating has a time of its own: the first ledger of a bucket runs some 50 migrations in one transaction, 0.9 to 3.5 s on a
// server nearby, and the server rolls them back when the call is cut.
func (l *ledger) makeLedger(ctx context.Context) error {
	existing, err := l.getLedger(ctx)
	if refused, ok := errors.AsType[*refusedError](err); ok && refused.code == shared.V2ErrorsEnumNotFound {
		l.logger.LogAttrs(ctx, slog.LevelInfo, "ledger is created", slog.String("ledger", l.config.Ledger), slog.Duration("timeout", l.config.CreateTimeout))
		slow := l.newSDK(l.config.CreateTimeout)
		err = l.ask(ctx, "create ledger", slow, func(ctx context.Context, sdk *formance.Formance) error {
			_, err := sdk.Ledger.V2.CreateLedger(ctx, operations.V2CreateLedgerRequest{Ledger: l.config.Ledger})
			return err
		})
		// Another replica may be first; whatever was wrong with creating it shows when it is read again.
		if err != nil && isAway(err) {
			return err
		}
		existing, err = l.getLedger(ctx)
		if err != nil {
			return fmt.Errorf("create ledger %s: %w", l.config.Ledger, err)
		}
	}
	if err != nil {
		return err
	}
	return l.keepBook(ctx, existing.Name, existing.AddedAt.UTC())
}

func (l *ledger) getLedger(ctx context.Context) (shared.V2Ledger, error) {
	var found shared.V2Ledger
	err := l.ask(ctx, "get ledger", l.sdk.Load(), func(ctx context.Context, sdk *formance.Formance) error {
		res, err := sdk.Ledger.V2.GetLedger(ctx, operations.V2GetLedgerRequest{Ledger: l.config.Ledger})
		if err != nil {
			return err
		}
		found = res.V2GetLedgerResponse.Data
		return nil
	})
	return found, err
}
