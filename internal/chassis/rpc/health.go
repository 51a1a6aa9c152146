package rpc

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	"github.com/dayof/dayof/internal/chassis/clock"
)

const (
	// healthTTL is how old an answer about health may be: load balancers ask often, the database should not.
	healthTTL = time.Second
	// healthTimeout is how long a check may take before it counts as failed.
	healthTimeout = time.Second
)

// health answers for the services of one server.
type health struct {
	services map[string]*serviceHealth
	draining atomic.Bool
}

// newHealth reads the machine's clock, whatever clock the services have: an answer must grow old while theirs stands.
func newHealth(services []Service, logger *slog.Logger) *health {
	h := &health{services: make(map[string]*serviceHealth)}
	for _, s := range services {
		h.services[s.Name] = &serviceHealth{name: s.Name, check: s.Health, clock: clock.System{}, logger: logger}
	}
	return h
}

// Check implements grpchealth.Checker. The empty name asks for all services together.
func (h *health) Check(ctx context.Context, req *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	status := grpchealth.StatusServing
	if req.Service == "" {
		if len(h.failing(ctx)) > 0 {
			status = grpchealth.StatusNotServing
		}
		return &grpchealth.CheckResponse{Status: status}, nil
	}
	s, ok := h.services[req.Service]
	if !ok {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such service here"))
	}
	if h.draining.Load() || !s.serving(ctx) {
		status = grpchealth.StatusNotServing
	}
	return &grpchealth.CheckResponse{Status: status}, nil
}

// failing lists the services that do not serve.
func (h *health) failing(ctx context.Context) []string {
	var names []string
	for name, s := range h.services {
		if h.draining.Load() || !s.serving(ctx) {
			names = append(names, name)
		}
	}
	return names
}

// serviceHealth remembers the last answer of a check for a short time.
type serviceHealth struct {
	name   string
	check  func(context.Context) error
	clock  clock.System
	logger *slog.Logger

	mu    sync.Mutex // held while checking, so that many askers make one check
	asked time.Time
	ok    bool
}

func (s *serviceHealth) serving(ctx context.Context) bool {
	if s.check == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	age := s.clock.Now().Sub(s.asked)
	if !s.asked.IsZero() && age >= 0 && age < healthTTL {
		return s.ok
	}
	// One asker that hangs up must not fail the check for all others.
	checkCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healthTimeout)
	defer cancel()
	err := s.check(checkCtx)
	if (err == nil) != s.ok || s.asked.IsZero() {
		s.changed(ctx, err)
	}
	s.asked, s.ok = s.clock.Now(), err == nil
	return s.ok
}

func (s *serviceHealth) changed(ctx context.Context, err error) {
	if err != nil {
		s.logger.LogAttrs(ctx, slog.LevelWarn, "service is not serving", slog.String("service", s.name), slog.String("error", err.Error()))
		return
	}
	s.logger.LogAttrs(ctx, slog.LevelInfo, "service is serving", slog.String("service", s.name))
}
