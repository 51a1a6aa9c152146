package problem

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgconn"
)

// conflictRetryAfter is how long a caller waits that lost a race: long enough for the winner to commit.
const conflictRetryAfter = 100 * time.Millisecond

// unavailableRetryAfter is how long a caller waits for something that is away.
const unavailableRetryAfter = time.Second

// AtBoundary decides what the caller of an RPC receives of err and how loudly we log it. It never fails to hide a text
// that was not written for callers. Source of the rows: docs/style.md, "Errors".
//
//	*Problem                                its code, reason and detail       debug
//	*connect.Error made here                as is; violations become fields   debug
//	*Downstream, retryable                  unavailable                       warn
//	*Downstream, otherwise                  internal                          error
//	SQLSTATE 40001, 40P01, 55P03            aborted                           info
//	SQLSTATE 22021, 22P05                   invalid_argument                  debug
//	the database is away                    unavailable                       warn
//	context errors                          canceled, deadline_exceeded       info
//	everything else                         internal                          error
func AtBoundary(err error) (*Problem, slog.Level) {
	if p, ok := errors.AsType[*Problem](err); ok {
		if p.Code == connect.CodeInternal || p.Code == connect.CodeUnknown || p.Code == connect.CodeDataLoss {
			return p, slog.LevelError
		}
		return p, slog.LevelDebug
	}
	if d, ok := errors.AsType[*Downstream](err); ok {
		return fromDownstream(d, err)
	}
	if c, ok := errors.AsType[*connect.Error](err); ok {
		return fromConnect(c, err)
	}
	if code, ok := contextCode(err); ok {
		return &Problem{Code: code, Detail: "the call ended before its answer was known, retry with the same key", Err: err}, slog.LevelInfo
	}
	if p, level, ok := fromDatabase(err); ok {
		return p, level
	}
	return Internal(err), slog.LevelError
}

// Internal hides err behind "internal error".
func Internal(err error) *Problem {
	return &Problem{Code: connect.CodeInternal, Reason: ReasonInternal, Detail: "internal error", Err: err}
}

func fromDownstream(d *Downstream, err error) (*Problem, slog.Level) {
	if !d.Retryable() {
		return Internal(err), slog.LevelError
	}
	after := d.RetryAfter()
	if after <= 0 {
		after = unavailableRetryAfter
	}
	return &Problem{
		Code: connect.CodeUnavailable, Reason: ReasonUnavailable,
		Detail: "a dependency is unavailable, retry", RetryAfter: after, Err: err,
	}, slog.LevelWarn
}

// fromConnect keeps a Connect error that was made here. One that came over the wire was not: somebody called out
// without rpc.Dial, and the text is not ours to send.
func fromConnect(c *connect.Error, err error) (*Problem, slog.Level) {
	if connect.IsWireError(c) {
		return Internal(err), slog.LevelError
	}
	if v, ok := errors.AsType[*protovalidate.ValidationError](c); ok {
		return fromViolations(v), slog.LevelDebug
	}
	_, badRule := errors.AsType[*protovalidate.CompilationError](c)
	_, badRun := errors.AsType[*protovalidate.RuntimeError](c)
	if badRule || badRun {
		return Internal(err), slog.LevelError // a broken rule in our own schema
	}
	d := readDetails(c)
	return &Problem{
		Code: c.Code(), Reason: d.reason, Detail: c.Message(), Fields: d.fields, RetryAfter: d.retryAfter,
	}, slog.LevelDebug
}

func fromViolations(v *protovalidate.ValidationError) *Problem {
	named := v.Violations[:min(len(v.Violations), fieldsMax)]
	fields := make([]Field, 0, len(named))
	for _, violation := range named {
		f := Field{Path: protovalidate.FieldPathString(violation.Proto.GetField()), Description: violation.Proto.GetMessage()}
		if violation.Proto.GetRuleId() == "string.pattern" {
			f.Description = patternInWords(violation.RuleValue.String())
		}
		if f.Description == "" {
			f.Description = "breaks the rule " + violation.Proto.GetRuleId()
		}
		fields = append(fields, f)
	}
	return &Problem{
		Code: connect.CodeInvalidArgument, Reason: ReasonInvalidField, Detail: sentenceOf(fields, len(v.Violations)-len(named)),
		Fields: fields,
	}
}

// fromDatabase knows the errors of Postgres that a caller can do something about.
func fromDatabase(err error) (*Problem, slog.Level, bool) {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case pgErr.Code == "40001", pgErr.Code == "40P01", pgErr.Code == "55P03":
			return &Problem{
				Code: connect.CodeAborted, Reason: ReasonConcurrentChange,
				Detail: "conflicting concurrent change, retry", RetryAfter: conflictRetryAfter, Err: err,
			}, slog.LevelInfo, true
		case pgErr.Code == "22021", pgErr.Code == "22P05":
			// The only text of a valid message that Postgres cannot hold.
			return &Problem{
				Code: connect.CodeInvalidArgument, Reason: ReasonInvalidText, Detail: "a text contains the character NUL", Err: err,
			}, slog.LevelDebug, true
		case strings.HasPrefix(pgErr.Code, "08"), strings.HasPrefix(pgErr.Code, "53"), strings.HasPrefix(pgErr.Code, "57P"),
			pgErr.Code == "25006":
			// Connection lost, out of connections or disk, shutting down or starting, a standby or a demoted primary.
			return databaseAway(err), slog.LevelWarn, true
		}
		return nil, 0, false
	}
	_, dial := errors.AsType[*pgconn.ConnectError](err)
	_, broken := errors.AsType[*net.OpError](err)
	if dial || broken || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) {
		return databaseAway(err), slog.LevelWarn, true
	}
	return nil, 0, false
}

func databaseAway(err error) *Problem {
	return &Problem{
		Code: connect.CodeUnavailable, Reason: ReasonUnavailable,
		Detail: "the database is unavailable, retry with the same key", RetryAfter: unavailableRetryAfter, Err: err,
	}
}
