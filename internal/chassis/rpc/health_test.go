package rpc_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// TestHealthWhileClockStands has a service that cannot work at first, on a clock that stands: once it can, health says so.
func TestHealthWhileClockStands(t *testing.T) {
	t.Parallel()
	var works atomic.Bool
	h := rpc.NewHandler(rpc.Config{
		Logger: slog.New(slog.DiscardHandler), Clock: clock.NewFake(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)),
		Services: []rpc.Service{{Name: "dayof.test.v1.TestService", Path: "/dayof.test.v1.TestService/", Handler: http.NotFoundHandler(), Health: func(context.Context) error {
			if works.Load() {
				return nil
			}
			return errors.New("the database is starting")
		}}},
	})
	status := func() int {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		return answer.Code
	}
	if got := status(); got != http.StatusServiceUnavailable {
		t.Fatalf("health of a service that cannot work: %d", got)
	}
	works.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for status() != http.StatusOK {
		select {
		case <-ctx.Done():
			t.Fatal("a service that works again never serves")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
