package rpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/internal/chassis/backoff"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
)

const (
	// callTimeout is the deadline of an outgoing call whose context and configuration have none.
	callTimeout = 5 * time.Second
	// callAttemptsMax counts the first try too: two repeats bridge a restart of the peer, not an outage.
	callAttemptsMax = 3
	// retryFirst is the longest wait before the first repeat, retryMax before the last one.
	retryFirst = 50 * time.Millisecond
	retryMax   = retryFirst << (callAttemptsMax - 2)
	// answerMax is the largest answer we read, in bytes.
	answerMax = 16 << 20
)

// retryBackoff has full jitter, so that callers that failed together do not come back together.
var retryBackoff = backoff.Full(retryFirst, retryMax)

// DialConfig says how to reach a service. BaseURL is required.
type DialConfig struct {
	BaseURL string        // http:// speaks HTTP/2 without TLS, https:// with it
	Name    string        // the calling service, for the callee's log and key scope: "checkoutsvc"
	Token   config.Secret // operator token; empty: none is sent
	Timeout time.Duration // of a call, its retries included, unless the context ends earlier; default 5s
	Logger  *slog.Logger
	TLS     *tls.Config // roots and client certificate for https://; nil: the system's
}

// Dial returns what a generated client needs to call the service. Nothing is connected yet.
//
// Every error of such a client is a *problem.Downstream. A call that ended in unavailable is repeated at most twice,
// with the same key, if it has an Idempotency-Key or is NO_SIDE_EFFECTS, and if the deadline leaves time; any other
// outcome is the caller's to handle. A call ends 20 ms before its context, so that the caller can act on it.
// A BaseURL that is not absolute is a programmer's error and panics; config.URL has checked it.
func Dial(c DialConfig) (*http.Client, []connect.ClientOption) {
	base, err := url.Parse(c.BaseURL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		panic(fmt.Sprintf("rpc: Dial needs an absolute http or https URL, got %q", c.BaseURL))
	}
	if c.Timeout <= 0 {
		c.Timeout = callTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	client := &http.Client{
		Transport: newTransport(c.TLS),
		// A redirect would carry the token to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return client, []connect.ClientOption{
		connect.WithInterceptors(&outgoing{config: c}),
		connect.WithReadMaxBytes(answerMax),
		// Between our own services compression costs more than it saves.
		connect.WithAcceptCompression("gzip", nil, nil),
	}
}

// newTransport speaks HTTP/2 only. One connection carries as many calls as the server allows, then another is opened.
// Pings find a peer that died without closing its connection.
func newTransport(tlsConfig *tls.Config) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	dialer := &net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		TLSClientConfig:     tlsConfig.Clone(), // net/http writes into it
		TLSHandshakeTimeout: 2 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		Protocols:           &protocols,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:  5 * time.Second,
			PingTimeout:      3 * time.Second,
			WriteByteTimeout: 5 * time.Second,
		},
	}
}

type outgoingToken struct{}

// WithBearerToken returns a context whose outgoing calls carry this token instead of the one they were dialled with:
// a buyer's order token, for instance.
func WithBearerToken(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, outgoingToken{}, token)
}

// outgoing is the client's interceptor.
type outgoing struct{ config DialConfig }

// WrapUnary implements connect.Interceptor.
func (c *outgoing) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		key := c.setHeaders(ctx, req.Header())
		procedure := req.Spec().Procedure
		repeatable := key != "" || req.Spec().IdempotencyLevel == connect.IdempotencyNoSideEffects
		ctx, cancel := withDeadline(ctx, c.config.Timeout)
		defer cancel()
		for attempt := 1; ; attempt++ {
			res, err := next(ctx, req)
			if err == nil {
				return res, nil
			}
			err = problem.FromCall(procedure, err)
			if !repeatable || attempt == callAttemptsMax || problem.Code(err) != connect.CodeUnavailable {
				return nil, err
			}
			wait := max(retryBackoff.Delay(attempt), problem.RetryAfter(err))
			c.config.Logger.LogAttrs(ctx, slog.LevelDebug, "repeat call", slog.String("procedure", procedure),
				slog.Int("attempt", attempt), slog.Duration("wait", wait), slog.String("error", err.Error()))
			if !sleep(ctx, wait) {
				return nil, err
			}
		}
	}
}

// setHeaders writes identity and key into the headers; the key of one call never changes between its repeats.
func (c *outgoing) setHeaders(ctx context.Context, header http.Header) string {
	token, ok := ctx.Value(outgoingToken{}).(string)
	if !ok {
		token = c.config.Token.Reveal()
	}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	if c.config.Name != "" {
		header.Set(serviceHeader, c.config.Name)
	}
	key, _ := ctx.Value(outgoingKey{}).(string)
	if key != "" {
		header.Set(idempotencyKeyHeader, key)
	}
	return header.Get(idempotencyKeyHeader)
}

// sleep waits unless ctx ends before the wait would; it reports whether it waited.
func sleep(ctx context.Context, wait time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && deadline.Sub(clock.System{}.Now()) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// WrapStreamingClient implements connect.Interceptor. A stream says who asks for it; it is not repeated, since it ends by itself and is
// asked again anyway.
func (c *outgoing) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		c.setHeaders(ctx, conn.RequestHeader())
		return conn
	}
}

// WrapStreamingHandler implements connect.Interceptor; a client has none.
func (c *outgoing) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
