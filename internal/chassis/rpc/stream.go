package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
)

const (
	// streamTimeout is how long a stream lasts at most. It ends without an error then, and the caller asks again: so a new release, a
	// proxy that forgets connections and a balancer that spreads callers all get their way.
	streamTimeout = 5 * time.Minute
	// streamsMax is how many streams a server serves at once by default; a remote address gets a quarter.
	streamsMax = 1024
)

// StreamHeartbeat is how often a stream sends something, so that proxies keep it and a caller that is gone is noticed.
const StreamHeartbeat = 15 * time.Second

// Draining returns what is closed when the server that serves a call drains: whatever only waits ends then.
func Draining(ctx context.Context) <-chan struct{} {
	if c := callFrom(ctx); c != nil {
		return c.draining
	}
	return nil
}

// WrapStreamingHandler implements connect.Interceptor. A procedure may answer one request with a stream of messages; no other streams
// are served. The guards are those of a call, but for its place: a stream mostly waits, so that streams are counted by themselves. It
// ends without an error after five minutes, and when the server drains.
func (b *boundary) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if conn.Spec().StreamType != connect.StreamTypeServer {
			return connect.NewError(connect.CodeUnimplemented, errors.New("streams of requests are not served here"))
		}
		c := callFrom(ctx)
		if c == nil {
			panic("rpc: the interceptor runs without its gate")
		}
		s := &stream{StreamingHandlerConn: conn, call: c}
		defer s.giveBack()
		err := b.runStream(ctx, s, next)
		if err == nil {
			b.ended(ctx, c, nil, slog.LevelInfo)
			return nil
		}
		var p *problem.Problem
		var level slog.Level
		if s.malformed {
			p, level = refusal(connect.CodeOf(err), err.Error(), c.readMax), slog.LevelDebug
		} else {
			if ended := ctx.Err(); ended != nil && problem.Code(err) == connect.CodeCanceled {
				err = fmt.Errorf("%w: %s", ended, err.Error())
			}
			p, level = problem.AtBoundary(err)
		}
		c.answered = true
		var extra []slog.Attr
		if panicked, ok := errors.AsType[*panicError](err); ok {
			extra = append(extra, slog.String("stack", string(panicked.stack)))
		}
		b.ended(ctx, c, p, level, extra...)
		return p.ConnectError()
	}
}

// runStream calls the handler until it ends, its caller is gone or the server ends it, and turns a panic into an error.
func (b *boundary) runStream(ctx context.Context, s *stream, next connect.StreamingHandlerFunc) (err error) {
	streamCtx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	if s.call.draining != nil {
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			select {
			case <-s.call.draining:
				cancel()
			case <-stop:
			}
		}()
	}
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if r == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
			panic(r)
		}
		err = &panicError{value: r, stack: debug.Stack()}
	}()
	err = next(streamCtx, s)
	if err != nil && streamCtx.Err() != nil && ctx.Err() == nil && errors.Is(err, streamCtx.Err()) {
		return nil // we ended it, not the caller
	}
	return err
}

// stream is the connection of one stream.
type stream struct {
	connect.StreamingHandlerConn
	call      *call
	malformed bool // the request could not be read
	counted   bool // among the streams of the server
}

// Receive reads the request. Only then the stream is counted, so that nobody occupies one by sending nothing.
func (s *stream) Receive(message any) error {
	if err := s.StreamingHandlerConn.Receive(message); err != nil {
		s.malformed = !s.call.answered
		return err
	}
	if s.call.answered {
		return nil
	}
	s.call.answered = true
	if s.call.body != nil {
		s.call.body.giveBack()
	}
	if s.call.streams != nil && !s.call.streams.take(s.call.peer, 1) {
		return overloaded()
	}
	s.counted = s.call.streams != nil
	return nil
}

// Send sends a message. It must be written soon, and others may follow for as long as the stream lasts.
func (s *stream) Send(message any) error {
	if s.call.control != nil {
		// An error means a ResponseWriter without deadlines, as in a test.
		_ = s.call.control.SetWriteDeadline(clock.System{}.Now().Add(requestTimeout))
	}
	return s.StreamingHandlerConn.Send(message)
}

func (s *stream) giveBack() {
	if s.counted {
		s.call.streams.giveBack(s.call.peer, 1)
	}
}
