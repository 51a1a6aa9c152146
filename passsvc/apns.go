package passsvc

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/token"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/passsvc/pkpass"
)

const (
	// apnsIdle is after how much idle time a ping finds out whether a connection is alive.
	apnsIdle = 15 * time.Second
	// apnsAnswerMax is far more than any answer of APNs.
	apnsAnswerMax = 64 << 10
	// passPayload is all that a pass update says; the device then asks us what changed.
	passPayload = "{}"
)

// apnsClient sends the pushes of one pass type over one long-lived connection: Apple takes churn for an attack.
type apnsClient struct {
	config APNsConfig
	topic  string
	client *apns2.Client
	token  *token.Token // nil: the pass certificate authenticates us
}

// newAPNsClient returns a client for the certificate's pass type. Nothing is connected yet.
func newAPNsClient(c APNsConfig, certificate *pkpass.Certificate, clk clock.Clock) (*apnsClient, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, Time: clk.Now, RootCAs: roots}
	a := &apnsClient{config: c, topic: certificate.PassTypeIdentifier}
	if c.AuthKey.IsSet() && c.TeamID == certificate.TeamIdentifier {
		key, err := token.AuthKeyFromBytes([]byte(c.AuthKey.Reveal()))
		if err != nil {
			return nil, errors.New("DAYOF_PASS_APNS_AUTH_KEY is no .p8 key") // the parser's text might quote it
		}
		a.token = &token.Token{AuthKey: key, KeyID: c.KeyID, TeamID: c.TeamID}
	} else {
		tlsConfig.Certificates = []tls.Certificate{certificate.TLS()}
	}
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	transport := &observedTransport{&http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: tlsConfig, TLSHandshakeTimeout: c.Timeout, Protocols: &protocols,
		MaxConnsPerHost: 1,
		HTTP2:           &http.HTTP2Config{StrictMaxConcurrentRequests: true, SendPingTimeout: apnsIdle, PingTimeout: apnsIdle},
	}}
	a.client = &apns2.Client{Host: c.URL, Token: a.token, HTTPClient: &http.Client{Transport: transport}}
	return a, nil
}

// roots are what the push service is trusted by; nil for the system's.
func (c APNsConfig) roots() (*x509.CertPool, error) {
	if c.RootsFile == "" {
		return nil, nil //nolint:nilnil // the system's
	}
	file, err := os.ReadFile(c.RootsFile)
	if err != nil {
		return nil, fmt.Errorf("read roots of APNs: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(file) {
		return nil, fmt.Errorf("no certificate in %s", c.RootsFile)
	}
	return roots, nil
}

func (a *apnsClient) close() { a.client.CloseIdleConnections() }

// push notifies one device that passes of the topic have changed. A provider token that APNs calls expired is renewed and
// the push tried once more.
func (a *apnsClient) push(ctx context.Context, id, pushToken string, now time.Time) pushResult {
	bearer := a.bearer()
	result := a.pushOnce(ctx, id, pushToken, now)
	if a.token != nil && result.reason == apns2.ReasonExpiredProviderToken {
		a.renew(bearer)
		result = a.pushOnce(ctx, id, pushToken, now)
	}
	return result
}

func (a *apnsClient) pushOnce(ctx context.Context, id, pushToken string, now time.Time) pushResult {
	ctx, cancel := context.WithTimeout(ctx, a.config.Timeout)
	defer cancel()
	var got observed
	response, err := a.client.PushWithContext(context.WithValue(ctx, observedKey{}, &got), &apns2.Notification{
		ApnsID:      id,
		DeviceToken: pushToken,
		Topic:       a.topic,
		CollapseID:  a.topic[:min(len(a.topic), 64)], // a later push makes an undelivered one superfluous
		Expiration:  now.Add(a.config.Expiration),
		Priority:    a.config.Priority,
		PushType:    apns2.EPushType(a.config.PushType),
		Payload:     []byte(passPayload),
	})
	if err != nil {
		return pushResult{err: err}
	}
	return pushResult{
		status: response.StatusCode, reason: response.Reason, timestamp: response.Timestamp.Time, retryAfter: got.retryAfter,
	}
}

// bearer returns the present provider token, which apns2 makes when it is first needed.
func (a *apnsClient) bearer() string {
	if a.token == nil {
		return ""
	}
	return a.token.GenerateIfExpired()
}

// renew replaces the provider token unless somebody else did: Apple counts renewals.
func (a *apnsClient) renew(used string) {
	a.token.Lock()
	defer a.token.Unlock()
	if a.token.Bearer == used {
		_, _ = a.token.Generate() // without a new one the next push is refused, and that is reported
	}
}

// pushResult is what APNs answered, or why it did not.
type pushResult struct {
	status     int
	reason     string
	timestamp  time.Time // of 410: since when the token is dead, in whole seconds
	retryAfter time.Duration
	err        error // no answer
}

type observedKey struct{}

// observed is what apns2 keeps to itself.
type observed struct{ retryAfter time.Duration }

// observedTransport notes Retry-After, and gives an answer without JSON an empty one, because apns2 loses the status of
// answers that it cannot read.
type observedTransport struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t *observedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, apnsAnswerMax))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if got, ok := req.Context().Value(observedKey{}).(*observed); ok {
		if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
			got.retryAfter = time.Duration(seconds) * time.Second
		}
	}
	if !json.Valid(body) {
		body = []byte("{}")
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}
