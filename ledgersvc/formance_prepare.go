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
)

// wrongLedgerError says that the server is not what this service can post to; somebody must act.
type wrongLedgerError struct{ text string }

// Error says what is wrong and what to do.
func (e *wrongLedgerError) Error() string { return e.text }

// prepare makes sure, once, that the server is a ledger of a version that we know and that our ledger exists there.
// It is tried again by the next call until it succeeds. Errors are *awayError; one that wraps a *wrongLedgerError
// stays until somebody acts.
func (l *ledger) prepare(ctx context.Context) error {
	if l.prepared.Load() {
		return nil
	}
	select {
	case l.preparing <- struct{}{}:
		defer func() { <-l.preparing }()
	case <-ctx.Done():
		return &awayError{call: "prepare ledger", notSent: true, err: ctx.Err()}
	}
	if l.prepared.Load() {
		return nil
	}
	version, err := l.findServer(ctx)
	if err == nil {
		err = checkVersion(l.config.URL, version)
	}
	if err == nil {
		err = l.makeLedger(ctx)
	}
	if err == nil {
		l.prepared.Store(true)
		l.logger.LogAttrs(ctx, slog.LevelInfo, "ledger is ready", slog.String("ledger", l.config.Ledger),
			slog.String("version", version), slog.String("path_prefix", *l.transport.prefix.Load()))
		return nil
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

// findServer returns the version of the server. Where the path prefix is not given, it tries that of the stack's
// gateway first, then that of a bare ledger, which has none.
func (l *ledger) findServer(ctx context.Context) (string, error) {
	if l.config.PathPrefix != prefixAuto {
		return l.version(ctx)
	}
	l.transport.setPrefix(sdkPrefix)
	version, err := l.version(ctx)
	if away, ok := errors.AsType[*awayError](err); ok && away.hopeless {
		l.transport.setPrefix("")
		if bare, bareErr := l.version(ctx); bareErr == nil {
			return bare, nil
		}
		return "", &wrongLedgerError{text: fmt.Sprintf("%s serves no Formance ledger, neither under /v2 nor under %s/v2 (%v); "+
			"check DAYOF_FORMANCE_URL and DAYOF_FORMANCE_PATH_PREFIX", l.config.URL, sdkPrefix, err)}
	}
	return version, err
}

func (l *ledger) version(ctx context.Context) (string, error) {
	var version string
	err := l.exchange(ctx, "get server info", func(ctx context.Context, sdk *formance.Formance) error {
		res, err := sdk.Ledger.GetInfo(ctx)
		if err != nil {
			return err
		}
		if res.V2ConfigInfoResponse == nil {
			return errors.New("no information in the answer")
		}
		version = res.V2ConfigInfoResponse.Version
		return nil
	})
	return version, err
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
func (l *ledger) makeLedger(ctx context.Context) error {
	existing, err := l.getLedger(ctx)
	if refused, ok := errors.AsType[*refusedError](err); ok && refused.code == shared.V2ErrorsEnumNotFound {
		err = l.exchange(ctx, "create ledger", func(ctx context.Context, sdk *formance.Formance) error {
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
	err := l.exchange(ctx, "get ledger", func(ctx context.Context, sdk *formance.Formance) error {
		res, err := sdk.Ledger.V2.GetLedger(ctx, operations.V2GetLedgerRequest{Ledger: l.config.Ledger})
		if err != nil {
			return err
		}
		found = res.V2GetLedgerResponse.Data
		return nil
	})
	return found, err
}
