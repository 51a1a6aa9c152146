package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/alert"
	"github.com/dayof/dayof/internal/chassis/breaker"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
	"github.com/dayof/dayof/ledgersvc/ledgerdb"
)

// alertUnread is the kind of the alert that runs of a kind leave something unread; its subject is that kind, and the next run of
// it that is done and reads all resolves it.
const alertUnread = "reconcile_unread"

const (
	// unreadSubjectsMax is how many unread subjects a run and its alert name.
	unreadSubjectsMax = 20
	// accountSubject stands before the id of a connected account whose payouts could not be listed.
	accountSubject = "account:"
	// unreadReason is why an unread item is watched.
	unreadReason = "it could not be read or compared"
)

// ErrAnswered is wrapped by an error of Deps.ListEntries that is the ledger's answer to one list. No answer, and an answer that
// every list would get, are other errors.
var ErrAnswered = errors.New("the ledger answers with a failure")

// isOfItem says whether an error may be of the one item or account that was asked for, and of no other: the party that was asked
// has answered. All else ends the attempt, and the next one begins anew: an open circuit breaker, a party that does not
// answer, has no place for the call or refuses our credentials, our own database, and the end of ctx.
func isOfItem(err error) bool {
	if err == nil || errors.Is(err, breaker.ErrOpen) {
		return false
	}
	if errors.Is(err, ErrAnswered) || errors.Is(err, errDisconnected) || errors.Is(err, errAccountAway) {
		return true
	}
	if status := stripeapi.Status(err); status != 0 {
		return status != http.StatusUnauthorized && status != http.StatusTooManyRequests
	}
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch answer.Code[:2] {
		case "22", "23", "54": // data exception, integrity constraint violation, program limit exceeded
			return true
		}
		return false
	}
	answer, ok := errors.AsType[*connect.Error](err)
	return ok && slices.Contains(codesOfItem, answer.Code())
}

// codesOfItem are the answers of checkoutsvc that may be of what was asked for.
var codesOfItem = []connect.Code{
	connect.CodeInvalidArgument, connect.CodeNotFound, connect.CodeFailedPrecondition, connect.CodeOutOfRange,
	connect.CodeInternal, connect.CodeUnknown, connect.CodeDataLoss,
}

// leaveUnread counts an item that could not be read or compared; the next run fetches it again.
func (r *reconciliation) leaveUnread(ctx context.Context, subject, account string, err error) {
	r.unread = append(r.unread, ledgerdb.UnmatchedItemsAfterRow{Subject: subject, StripeAccount: account})
	r.countUnread(ctx, subject, account, err)
}

func (r *reconciliation) countUnread(ctx context.Context, subject, account string, err error) {
	r.result.UnreadItems++
	if len(r.result.UnreadSubjects) < unreadSubjectsMax {
		r.result.UnreadSubjects = append(r.result.UnreadSubjects, subject)
	}
	r.logger.LogAttrs(ctx, slog.LevelWarn, "not compared", slog.String("run_id", r.run.ID), slog.String("subject", subject),
		slog.String("stripe_account", account), slog.String("error", err.Error()))
}

// finishUnread lets the next run fetch what this one has left unread, and tells people of it once.
func (r *reconciliation) finishUnread(ctx context.Context, tx pgx.Tx) error {
	for _, x := range r.unread {
		if err := r.q.Watch(ctx, tx, x.Subject, x.StripeAccount, unreadReason, r.clock.Now()); err != nil {
			return err
		}
	}
	kind := enumWord(ledgerv1.RunKind(r.run.Kind).String(), "RUN_KIND_")
	if r.result.UnreadItems == 0 {
		return alert.Resolve(ctx, tx, alertUnread, kind)
	}
	return alert.Raise(ctx, tx, alertUnread, kind, map[string]any{
		"run_id": r.run.ID, "unread": r.result.UnreadItems, "subjects": r.result.UnreadSubjects,
		"from_time": r.run.FromTime, "until_time": r.run.UntilTime,
	}, alert.Link(r.config.ConsoleURL, "/reconciliations/"+r.run.ID))
}
