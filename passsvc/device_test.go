package passsvc_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/sandbox/apns"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/passsvc"
)

// newAPNs starts a push service and returns it with the setting that leads there.
func newAPNs(tb testing.TB, edit ...func(*apns.Config)) (*apns.Server, func(*passsvc.Config)) {
	tb.Helper()
	c := apns.Config{Clock: clock.NewFake(testNow), Logger: newLogger(tb)}
	for _, e := range edit {
		e(&c)
	}
	server, err := apns.Start(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Errorf("close APNs: %v", err)
		}
	})
	roots := filepath.Join(tb.TempDir(), "apns.pem")
	if err := os.WriteFile(roots, server.CAPEM(), 0o600); err != nil {
		tb.Fatal(err)
	}
	return server, func(c *passsvc.Config) {
		c.APNs.URL, c.APNs.RootsFile = server.URL(), roots
		c.PushRetry = 20 * time.Millisecond
	}
}

// device is a device: an identifier, a push token, and the tag that it was given last.
type device struct {
	id, token string
	tag       string // passesUpdatedSince; empty at first
}

func newDevice(n int) *device {
	return &device{id: fmt.Sprintf("%032x", n+0xd000), token: fmt.Sprintf("%064x", n+0x10000)}
}

func (d *device) path(p *passv1.Pass) string {
	return "/v1/devices/" + d.id + "/registrations/" + p.GetPassTypeIdentifier() + "/" + p.GetSerial()
}

// register registers the device and returns the status.
func (r *replica) register(tb testing.TB, d *device, p *passv1.Pass) int {
	tb.Helper()
	return r.do(tb, http.MethodPost, d.path(p), `{"pushToken":"`+d.token+`"}`, applePass(p)...).status
}

// registrations is how many devices a pass has.
func (r *replica) registrations(tb testing.TB, p *passv1.Pass) int {
	tb.Helper()
	res, err := r.client.ListRegistrations(tb.Context(), &passv1.ListRegistrationsRequest{PassSerial: p.GetSerial()})
	if err != nil {
		tb.Fatal(err)
	}
	return len(res.GetRegistrations())
}

// pushes lists the pushes of a pass, the newest first.
func (r *replica) pushes(tb testing.TB, p *passv1.Pass) []*passv1.Push {
	tb.Helper()
	res, err := r.client.ListPushes(tb.Context(), &passv1.ListPushesRequest{PassSerial: p.GetSerial()})
	if err != nil {
		tb.Fatal(err)
	}
	return res.GetPushes()
}

// until polls a condition.
func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.After(3 * time.Minute * time.Duration(factor(tb)))
	for !ok() {
		select {
		case <-deadline:
			tb.Fatalf("%s: not in time", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// settled waits until no push is pending.
func (r *replica) settled(tb testing.TB) {
	tb.Helper()
	until(tb, "pushes settle", func() bool { return r.count(tb, "select count(*) from pushes where state = 'pending'") == 0 })
}

func (r *replica) count(tb testing.TB, query string, args ...any) int {
	tb.Helper()
	var n int
	if err := r.pool.QueryRow(tb.Context(), query, args...).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

// accepted counts what APNs took.
func accepted(s *apns.Server) int {
	n := 0
	for _, p := range s.Pushes() {
		if p.Status == http.StatusOK {
			n++
		}
	}
	return n
}
