package apns_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sideshow/apns2"
	apnstoken "github.com/sideshow/apns2/token"

	"github.com/dayof/dayof/devenv/sandbox/apns"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/internal/chassis/clock"
)

const passType = "pass.test.dayof"

var device = strings.Repeat("0a", 32)

type pushService struct {
	*apns.Server
	t      *testing.T
	clock  *clock.Fake
	faults *fault.Faults
	roots  *x509.CertPool
}

func newPushService(t *testing.T, options ...func(*apns.Config)) *pushService {
	t.Helper()
	ps := &pushService{t: t, clock: clock.NewFake(time.Now()), faults: fault.New(1)} //nolint:forbidigo // TLS and JWT go by the machine's clock
	cfg := apns.Config{Clock: ps.clock, Logger: slog.New(slog.DiscardHandler), Faults: ps.faults}
	for _, o := range options {
		o(&cfg)
	}
	srv, err := apns.Start(cfg)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	ps.Server, ps.roots = srv, x509.NewCertPool()
	if !ps.roots.AppendCertsFromPEM(srv.CAPEM()) {
		t.Fatal("the authority's PEM cannot be read")
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return ps
}

// client pushes with a certificate (nil for none) and trusts the stand-in.
func (ps *pushService) client(cert *tls.Certificate) *apns2.Client {
	c := apns2.NewClient(tls.Certificate{})
	cfg := &tls.Config{RootCAs: ps.roots, MinVersion: tls.VersionTLS12}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	transport := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	c.HTTPClient = &http.Client{Transport: transport, Timeout: 2 * time.Minute}
	ps.t.Cleanup(transport.CloseIdleConnections)
	c.Host = ps.URL()
	return c
}

func note(change ...func(*apns2.Notification)) *apns2.Notification {
	n := &apns2.Notification{
		DeviceToken: device, Topic: passType, Payload: []byte("{}"), PushType: apns2.PushTypeBackground, Priority: apns2.PriorityLow,
		ApnsID: "6f1c0f4e-4a0e-4bb0-a6a3-1f2d6f8b5a11", CollapseID: "rev", Expiration: time.Unix(1_900_000_000, 0),
	}
	for _, f := range change {
		f(n)
	}
	return n
}

// passCertificate is a certificate whose subject names the pass type, issued by parent or by itself.
func passCertificate(t *testing.T, topic string, notAfter time.Time) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make key: %v", err)
	}
	subject := pkix.Name{CommonName: "Pass Type ID: " + topic}
	if topic != "" {
		subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: topic}}
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: subject, NotBefore: notAfter.Add(-400 * 24 * time.Hour), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatalf("make certificate: %v", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (ps *pushService) goodCertificate() *tls.Certificate {
	return passCertificate(ps.t, passType, ps.clock.Now().Add(300*24*time.Hour))
}

func TestPushIsLogged(t *testing.T) {
	t.Parallel()
	ps := newPushService(t)
	res, err := ps.client(ps.goodCertificate()).Push(note())
	if err != nil || res.StatusCode != 200 || res.ApnsID != note().ApnsID {
		t.Fatalf("push: %v %+v", err, res)
	}
	log := httptest.NewServer(ps.Control())
	t.Cleanup(log.Close)
	got := readAll[[]apns.Push](t, log.URL+"/log")
	if len(got) != 1 {
		t.Fatalf("%d pushes in the log", len(got))
	}
	p := got[0]
	want := fmt.Sprint(device, passType, "{}", "background", "5", "1900000000", "rev", note().ApnsID, "certificate", 200)
	if have := fmt.Sprint(p.DeviceToken, p.Topic, string(p.Payload), p.PushType, p.Priority, p.Expiration, p.CollapseID, p.APNsID, p.Auth, p.Status); have != want {
		t.Fatalf("log %s\nwant %s", have, want)
	}
	if !p.Time.Equal(ps.clock.Now()) {
		t.Fatalf("time %s", p.Time)
	}
}

func readAll[T any](t *testing.T, url string) T {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatalf("make request: %v", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("get %s: %v", url, err)
	}
	defer res.Body.Close()
	var v T
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
		t.Fatalf("decode %s: %v", url, err)
	}
	return v
}

func TestPushIsChecked(t *testing.T) {
	t.Parallel()
	ps := newPushService(t)
	client := ps.client(ps.goodCertificate())
	for name, c := range map[string]struct {
		change func(*apns2.Notification)
		status int
		reason string
	}{
		"no token":                      {func(n *apns2.Notification) { n.DeviceToken = "" }, 400, "MissingDeviceToken"},
		"garbage token":                 {func(n *apns2.Notification) { n.DeviceToken = "xyz" }, 400, "BadDeviceToken"},
		"a path behind the token":       {func(n *apns2.Notification) { n.DeviceToken = device + "/more" }, 404, "BadPath"},
		"another topic":                 {func(n *apns2.Notification) { n.Topic = "pass.test.other" }, 400, "TopicDisallowed"},
		"no topic":                      {func(n *apns2.Notification) { n.Topic = "" }, 200, ""},
		"unknown push type":             {func(n *apns2.Notification) { n.PushType = "shout" }, 400, "InvalidPushType"},
		"background at once":            {func(n *apns2.Notification) { n.Priority = apns2.PriorityHigh }, 400, "BadPriority"},
		"odd priority":                  {func(n *apns2.Notification) { n.Priority = 7 }, 400, "BadPriority"},
		"long collapse id":              {func(n *apns2.Notification) { n.CollapseID = strings.Repeat("c", 65) }, 400, "BadCollapseId"},
		"bad id":                        {func(n *apns2.Notification) { n.ApnsID = "1" }, 400, "BadMessageId"},
		"large payload":                 {func(n *apns2.Notification) { n.Payload = []byte(`{"x":"` + strings.Repeat("x", 4096) + `"}`) }, 413, "PayloadTooLarge"},
		"a payload of exactly the size": {func(n *apns2.Notification) { n.Payload = []byte(`{"x":"` + strings.Repeat("x", 4088) + `"}`) }, 200, ""},
	} {
		res, err := client.Push(note(c.change))
		if err != nil || res.StatusCode != c.status || res.Reason != c.reason {
			t.Errorf("%s: got %v %+v, want %d %s", name, err, res, c.status, c.reason)
		}
	}
	if got := ps.Connections(); got.Total != 1 || got.Open != 1 {
		t.Errorf("connections %+v, want one for all pushes", got)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	issued := func(cfg *apns.Config) { cfg.ClientCAs = x509.NewCertPool() }
	for name, c := range map[string]struct {
		cert   func(*pushService) *tls.Certificate
		option func(*apns.Config)
		reason string
	}{
		"none": {func(*pushService) *tls.Certificate { return nil }, nil, "MissingProviderToken"},
		"names no pass type": {func(ps *pushService) *tls.Certificate {
			return passCertificate(ps.t, "", ps.clock.Now().Add(time.Hour))
		}, nil, "BadCertificate"},
		"expired": {func(ps *pushService) *tls.Certificate {
			return passCertificate(ps.t, passType, ps.clock.Now().Add(-time.Hour))
		}, nil, "BadCertificate"},
		"of another issuer": {(*pushService).goodCertificate, issued, "BadCertificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var options []func(*apns.Config)
			if c.option != nil {
				options = append(options, c.option)
			}
			ps := newPushService(t, options...)
			res, err := ps.client(c.cert(ps)).Push(note())
			if err != nil || res.StatusCode != 403 || res.Reason != c.reason {
				t.Fatalf("got %v %+v, want 403 %s", err, res, c.reason)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make key: %v", err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make key: %v", err)
	}
	ps := newPushService(t, func(cfg *apns.Config) {
		cfg.SigningKeys = map[string]apns.SigningKey{"KEY1": {TeamID: "TEAM1", Public: &key.PublicKey}}
		cfg.Topics = []string{passType}
	})
	for name, c := range map[string]struct {
		token  *apnstoken.Token
		topic  string
		status int
		reason string
	}{
		"good":             {&apnstoken.Token{AuthKey: key, KeyID: "KEY1", TeamID: "TEAM1"}, passType, 200, ""},
		"another key":      {&apnstoken.Token{AuthKey: other, KeyID: "KEY1", TeamID: "TEAM1"}, passType, 403, "InvalidProviderToken"},
		"unknown key id":   {&apnstoken.Token{AuthKey: key, KeyID: "KEY2", TeamID: "TEAM1"}, passType, 403, "InvalidProviderToken"},
		"another team":     {&apnstoken.Token{AuthKey: key, KeyID: "KEY1", TeamID: "TEAM2"}, passType, 403, "InvalidProviderToken"},
		"no topic":         {&apnstoken.Token{AuthKey: key, KeyID: "KEY1", TeamID: "TEAM1"}, "", 400, "MissingTopic"},
		"an unknown topic": {&apnstoken.Token{AuthKey: key, KeyID: "KEY1", TeamID: "TEAM1"}, "pass.else", 400, "TopicDisallowed"},
	} {
		client := ps.client(nil)
		client.Token = c.token
		res, err := client.Push(note(func(n *apns2.Notification) { n.Topic = c.topic }))
		if err != nil || res.StatusCode != c.status || res.Reason != c.reason {
			t.Errorf("%s: got %v %+v, want %d %s", name, err, res, c.status, c.reason)
		}
	}
	client := ps.client(nil)
	client.Token = &apnstoken.Token{AuthKey: key, KeyID: "KEY1", TeamID: "TEAM1"}
	client.Token.GenerateIfExpired()
	ps.clock.Advance(time.Hour + 2*time.Second)
	if res, err := client.Push(note()); err != nil || res.Reason != "ExpiredProviderToken" {
		t.Errorf("after an hour: %v %+v", err, res)
	}
}

func TestScripts(t *testing.T) {
	t.Parallel()
	ps := newPushService(t)
	client := ps.client(ps.goodCertificate())
	control := httptest.NewServer(ps.Control())
	t.Cleanup(control.Close)
	put := func(token, body string, status int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, control.URL+"/devices/"+token, strings.NewReader(body))
		if err != nil {
			t.Fatalf("make request: %v", err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("put: %v", err)
		}
		defer res.Body.Close()
		if res.StatusCode != status {
			t.Fatalf("put %s: status %d, want %d", body, res.StatusCode, status)
		}
	}
	put(device, `{"reason":"Nonsense"}`, 400)
	put(device, `{"reason":"Unregistered","timestamp_ms":1800000000123,"count":1}`, 200)
	res, err := client.Push(note())
	if err != nil || res.StatusCode != 410 || res.Reason != "Unregistered" || res.Timestamp.Unix() != 1_800_000_000 {
		t.Fatalf("410: %v %+v", err, res)
	}
	if res, err := client.Push(note()); err != nil || !res.Sent() {
		t.Fatalf("a script for one push was applied twice: %v %+v", err, res)
	}
	put("*", `{"reason":"TooManyRequests","retry_after_s":9}`, 200)
	if res, err := client.Push(note()); err != nil || res.StatusCode != 429 {
		t.Fatalf("429 for everyone: %v %+v", err, res)
	}
	put(device, `{}`, 200)
	if res, err := client.Push(note()); err != nil || !res.Sent() {
		t.Fatalf("a device of its own is not everyone: %v %+v", err, res)
	}
}

// The device fetches while the push is still unanswered: a sender that writes after it pushes is found out.
func TestOnPushFetchesBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	ps := newPushService(t)
	var content, fetches atomic.Int64
	fetcher := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetches.Add(1)
		_, _ = fmt.Fprintf(w, "revision %d for %s", content.Load(), r.Header.Get("Authorization"))
	}))
	t.Cleanup(fetcher.Close)
	script := apns.Script{OnPushURL: fetcher.URL, OnPushHeaders: map[string]string{"Authorization": "ApplePass secret"}}
	if err := ps.SetScript(device, script); err != nil {
		t.Fatalf("set script: %v", err)
	}
	content.Store(2)
	if res, err := ps.client(ps.goodCertificate()).Push(note()); err != nil || !res.Sent() {
		t.Fatalf("push: %v %+v", err, res)
	}
	content.Store(3)
	got := ps.Pushes()[0].OnPush
	if fetches.Load() != 1 || got == nil || got.Status != 200 || string(got.Body) != "revision 2 for ApplePass secret" {
		t.Fatalf("%d fetches, got %+v", fetches.Load(), got)
	}
}

func TestManyStreamsOnOneConnection(t *testing.T) {
	t.Parallel()
	ps := newPushService(t)
	client := ps.client(ps.goodCertificate())
	if _, err := client.Push(note()); err != nil {
		t.Fatalf("first push: %v", err)
	}
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			n := note(func(n *apns2.Notification) { n.DeviceToken, n.ApnsID = fmt.Sprintf("%064x", i), "" })
			if res, err := client.Push(n); err != nil || !res.Sent() {
				t.Errorf("push %d: %v %+v", i, err, res)
			}
		})
	}
	wg.Wait()
	if got := ps.Connections(); got.Total != 1 {
		t.Fatalf("%d connections for 501 pushes", got.Total)
	}
	if n := len(ps.Pushes()); n != 501 {
		t.Fatalf("%d pushes in the log", n)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	ps := newPushService(t)
	client := ps.client(ps.goodCertificate())
	set := func(f fault.Fault) {
		t.Helper()
		f.Rate = 1
		if err := ps.faults.Set(fault.APNs, f); err != nil {
			t.Fatalf("set fault: %v", err)
		}
	}
	set(fault.Fault{Mode: fault.ServerError})
	if res, err := client.Push(note()); err != nil || res.StatusCode != 503 || res.Reason != "ServiceUnavailable" {
		t.Errorf("503: %v %+v", err, res)
	}
	set(fault.Fault{Mode: fault.TooMany})
	if res, err := client.Push(note()); err != nil || res.StatusCode != 429 || res.Reason != "TooManyRequests" {
		t.Errorf("429: %v %+v", err, res)
	}
	set(fault.Fault{Mode: fault.Refuse})
	if _, err := client.Push(note()); err == nil {
		t.Error("a refused push was answered")
	}
	if n := len(ps.Pushes()); n != 0 {
		t.Errorf("%d pushes arrived", n)
	}
	set(fault.Fault{Mode: fault.LostReply})
	if _, err := client.Push(note()); err == nil || len(ps.Pushes()) != 1 {
		t.Errorf("lost reply: %v, %d pushes", err, len(ps.Pushes()))
	}
	set(fault.Fault{Mode: fault.Hang})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.PushWithContext(ctx, note()); err == nil || len(ps.Pushes()) != 1 {
		t.Errorf("hang: %v, %d pushes", err, len(ps.Pushes()))
	}
}
