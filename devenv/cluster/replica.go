package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/dayof/dayof/internal/server"
)

const (
	// healthTimeout is how long the services may take until all of them serve, on a busy machine too; migrations are part of it.
	healthTimeout = 5 * time.Minute
	healthPoll    = 20 * time.Millisecond
	// healthAnswer is how long one answer may take: longer than the services' own checks do.
	healthAnswer = 10 * time.Second
)

// replica is one running instance of a service.
type replica struct {
	url  string
	stop context.CancelFunc
	done chan error
	once sync.Once
	err  error
}

// wait returns what the replica ended with.
func (r *replica) wait() error {
	r.once.Do(func() { r.err = <-r.done })
	return r.err
}

func (m *Cluster) startServices(ctx context.Context) {
	// Replicas live until Stop, whatever becomes of ctx.
	background := context.WithoutCancel(ctx)
	for n := range m.config.Replicas {
		getenv := m.settings(n)
		for _, service := range server.Services() {
			m.replicas[service] = append(m.replicas[service], m.run(background, service, getenv, m.listeners[service][n]))
		}
	}
}

// run starts one replica.
func (m *Cluster) run(ctx context.Context, service string, getenv func(string) string, listener net.Listener) *replica {
	ctx, stop := context.WithCancel(ctx)
	r := &replica{url: "http://" + listener.Addr().String(), stop: stop, done: make(chan error, 1)}
	go func() {
		err := server.Serve(ctx, service, server.Options{Getenv: getenv, Listener: listener, Logger: m.config.Logger, Clock: m.config.Clock})
		_ = listener.Close() // where Serve did not get that far
		switch {
		case ctx.Err() == nil:
			m.failed <- fmt.Errorf("%ssvc ended by itself: %w", service, err)
			err = nil // reported
		case err != nil:
			err = fmt.Errorf("%ssvc: %w", service, err)
		}
		r.done <- err
	}()
	return r
}

// awaitHealth waits until every replica says that it serves.
func (m *Cluster) awaitHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, healthTimeout, fmt.Errorf("not all services serve within %v", healthTimeout))
	defer cancel()
	for _, service := range server.Services() {
		for _, r := range m.replicas[service] {
			for !healthy(ctx, r.url) {
				select {
				case err := <-m.failed:
					return err
				case <-ctx.Done():
					return fmt.Errorf("%ssvc at %s: %w", service, r.url, context.Cause(ctx))
				case <-time.After(healthPoll):
				}
			}
		}
	}
	return nil
}

func healthy(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, healthAnswer)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/healthz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err == nil && res.StatusCode == http.StatusOK
}

// StopReplica ends one replica as SIGTERM would: it drains.
func (m *Cluster) StopReplica(service string, n int) error {
	if m.config.Program != "" {
		return m.processes[service][n].terminate()
	}
	r := m.replicas[service][n]
	r.stop()
	return r.wait()
}
