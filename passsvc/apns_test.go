package passsvc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/devenv/sandbox/apns"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/passsvc"
	"github.com/dayof/dayof/passsvc/pkpass"
)

// TestProviderToken pushes with a team's key instead of the certificate. The library that makes the token goes by the
// machine's clock, so this test does too.
func TestProviderToken(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	server, useAPNs := newAPNs(t, func(c *apns.Config) {
		c.Clock = clock.System{}
		c.SigningKeys = map[string]apns.SigningKey{"KEY0000001": {TeamID: "DAYOFDEV01", Public: &key.PublicKey}}
	})
	now := clock.System{}.Now()
	bundle := newBundle(t, now, pkpass.ThrowawayOptions{})
	r := newReplica(t, pgtest.New(t, passsvc.Migrate), clock.NewFake(now), useAPNs, func(c *passsvc.Config) {
		c.Certificates = []config.Secret{config.NewSecret(string(bundle))}
		c.APNs.AuthKey = config.NewSecret(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
		c.APNs.KeyID, c.APNs.TeamID = "KEY0000001", "DAYOFDEV01"
	}).start(t)
	p, d := r.issue(t, 1)[0], newDevice(1)
	r.register(t, d, p)
	r.set(t, p.GetSerial(), "gate", "B")
	r.settled(t)
	if pushes := server.Pushes(); len(pushes) != 1 || pushes[0].Auth != "token" || pushes[0].Status != http.StatusOK {
		t.Fatalf("%+v", pushes)
	}
	// A token that APNs calls expired is renewed at once, and nobody is called.
	if err := server.SetScript(d.token, apns.Script{Reason: "ExpiredProviderToken", Count: 1}); err != nil {
		t.Fatal(err)
	}
	r.set(t, p.GetSerial(), "gate", "C")
	r.settled(t)
	if pushes := server.Pushes(); len(pushes) != 3 || pushes[2].Status != http.StatusOK {
		t.Errorf("%+v", pushes)
	}
	if list := r.pushes(t, p); list[0].GetAttemptCount() != 1 {
		t.Errorf("%v", list)
	}
	if n := r.count(t, "select count(*) from alerts"); n != 0 {
		t.Errorf("%d alerts", n)
	}
}

// TestUnreadableAnswers gets answers that are no JSON, half a body, and none.
func TestUnreadableAnswers(t *testing.T) {
	t.Parallel()
	for _, mode := range []fault.Mode{fault.ServerError, fault.HalfBody, fault.LostReply} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			faults := fault.New(1)
			server, useAPNs := newAPNs(t, func(c *apns.Config) { c.Faults = faults })
			r := newService(t, useAPNs).start(t)
			p, d := r.issue(t, 1)[0], newDevice(1)
			r.register(t, d, p)
			if err := faults.Set(fault.APNs, fault.Fault{Mode: mode, Rate: 1}); err != nil {
				t.Fatal(err)
			}
			r.set(t, p.GetSerial(), "gate", "B")
			until(t, "an attempt fails", func() bool { return r.count(t, "select count(*) from pushes where attempt_count > 1") == 1 })
			faults.ClearAll()
			r.settled(t)
			if list := r.pushes(t, p); list[0].GetState() != "sent" || r.registrations(t, p) != 1 {
				t.Errorf("%v", list)
			}
			if accepted(server) < 1 {
				t.Error("no push was accepted")
			}
		})
	}
}

// TestStopFinishesPushes stops a replica while pushes are under way: what was sent is written down.
func TestStopFinishesPushes(t *testing.T) {
	t.Parallel()
	faults := fault.New(1)
	server, useAPNs := newAPNs(t, func(c *apns.Config) { c.Faults = faults })
	if err := faults.Set(fault.APNs, fault.Fault{Mode: fault.Slow, Rate: 1, LatencyMS: 200}); err != nil {
		t.Fatal(err)
	}
	r := newService(t, useAPNs, func(c *passsvc.Config) { c.PushStreams = 8 })
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := r.issue(t, 1)[0]
	for i := range 40 {
		r.register(t, newDevice(i), p)
	}
	r.set(t, p.GetSerial(), "gate", "B")
	until(t, "pushes are under way", func() bool { return len(server.Pushes()) > 4 })
	var wait sync.WaitGroup
	for range 2 { // stopping twice is harmless
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
			defer cancel()
			if err := r.Stop(ctx); err != nil {
				t.Error(err)
			}
		})
		wait.Wait()
	}
	if sent := r.count(t, "select count(*) from pushes where state = 'sent'"); sent != len(server.Pushes()) {
		t.Errorf("%d pushes written down, %d sent", sent, len(server.Pushes()))
	}
}
