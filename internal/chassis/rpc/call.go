package rpc

import (
	"context"
	"log/slog"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// call is what is known of one call while it runs; it ends in one log line and one metric. Only the goroutine that
// serves the call touches it.
type call struct {
	procedure string
	start     time.Time
	caller    string
	key       string
	replayed  bool
	answered  bool // the gate or the interceptor has decided the answer
}

type callKey struct{}

func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

func callFrom(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// observer writes down how calls end.
type observer struct {
	logger  *slog.Logger
	clock   clock.Clock
	metrics *metrics
}

// ended logs and counts a call. p is nil for success. extra says more about a failure of ours.
func (o observer) ended(ctx context.Context, c *call, p *problem.Problem, level slog.Level, extra ...slog.Attr) {
	took := o.clock.Now().Sub(c.start)
	code := "ok"
	if p != nil {
		code = p.Code.String()
	}
	o.metrics.ended(c.procedure, code, took)
	if !o.logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 10)
	attrs = append(attrs,
		slog.String("procedure", c.procedure),
		slog.String("code", code),
		slog.Duration("took", took),
		slog.String("caller", c.caller),
	)
	if c.key != "" {
		attrs = append(attrs, slog.String("idempotency_key", c.key), slog.Bool("replayed", c.replayed))
	}
	if p != nil {
		attrs = append(attrs, slog.String("reason", p.Reason))
		if p.Err != nil {
			attrs = append(attrs, slog.String("error", p.Err.Error()))
		}
	}
	o.logger.LogAttrs(ctx, level, "rpc", append(attrs, extra...)...)
}
