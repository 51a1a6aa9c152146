package rpc

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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

	readMax  int       // size limit of the message, in bytes
	body     *heldBody // nil outside of an edge
	places   limit
	inFlight prometheus.Gauge
	entered  bool
	network  Network // zero outside of an edge

	// Of a stream; nil outside of an edge.
	peer     string
	streams  *budget
	control  *http.ResponseController
	draining <-chan struct{}
}

// limitMessage sets the size limit of the message, before anything of it is read.
func (c *call) limitMessage(size int) {
	c.readMax = size
	if c.body != nil {
		c.body.limit = bodyFactor * int64(size)
	}
}

// enter takes a place for the call, whose message has arrived; false: there is none.
func (c *call) enter() bool {
	if !c.places.take() {
		return false
	}
	c.entered = true
	if c.inFlight != nil {
		c.inFlight.Inc()
	}
	return true
}

// leave gives the place back.
func (c *call) leave() {
	if !c.entered {
		return
	}
	c.places.giveBack()
	if c.inFlight != nil {
		c.inFlight.Dec()
	}
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
		attrs = append(attrs, slog.String("idempotency_key", keyHash(c.key)), slog.Bool("replayed", c.replayed))
	}
	if p != nil {
		attrs = append(attrs, slog.String("reason", p.Reason))
		if p.Err != nil {
			attrs = append(attrs, slog.String("error", p.Err.Error()))
		}
	}
	o.logger.LogAttrs(ctx, level, "rpc", append(attrs, extra...)...)
}
