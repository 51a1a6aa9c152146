package ledgersvc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	formance "github.com/formancehq/formance-sdk-go/v3"
	"github.com/formancehq/formance-sdk-go/v3/pkg/models/shared"
)

// sdkPrefix is the path under which the SDK expects the ledger: that of the stack's gateway.
const sdkPrefix = "/api/ledger"

// prefixAuto asks to find out at start whether the server is a gateway or a bare ledger.
const prefixAuto = "auto"

// responseStatus is what the transport observed of an answer, since the SDK's errors do not carry it.
type responseStatus struct {
	status     int // 0: no answer
	retryAfter time.Duration
}

func (s *responseStatus) unauthorized() bool { return s.status == http.StatusUnauthorized }

type statusKey struct{}

func withStatus(ctx context.Context, status *responseStatus) context.Context {
	return context.WithValue(ctx, statusKey{}, status)
}

type bodyKey struct{}

// withBody asks the transport for the body of a page that the ledger answers with. The SDK gets an empty page instead.
func withBody(ctx context.Context, body *[]byte) context.Context {
	return context.WithValue(ctx, bodyKey{}, body)
}

// emptyPage is a page of a list with nothing in it.
const emptyPage = `{"cursor":{"pageSize":0,"hasMore":false,"data":[]}}`

// takeBody moves the body of a page to whoever asked for it by withBody.
func takeBody(ctx context.Context, response *http.Response) error {
	to, ok := ctx.Value(bodyKey{}).(*[]byte)
	if !ok || response.StatusCode != http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	*to = body
	response.Body, response.ContentLength = io.NopCloser(strings.NewReader(emptyPage)), int64(len(emptyPage))
	return nil
}

// transport sends the SDK's requests to where the ledger really is and remembers the status of the answer.
type transport struct {
	base   http.RoundTripper
	prefix atomic.Pointer[string] // what stands in place of sdkPrefix
}

func newTransport(c FormanceConfig) *transport {
	dialer := &net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}
	t := &transport{base: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 2 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		// The default keeps two connections to a host; each further one in a burst would be dialled anew.
		MaxIdleConns:        2 * c.WritesInFlightMax,
		MaxIdleConnsPerHost: 2 * c.WritesInFlightMax,
	}}
	t.setPrefix(sdkPrefix)
	if c.PathPrefix != prefixAuto {
		t.setPrefix(c.PathPrefix)
	}
	return t
}

func (t *transport) setPrefix(prefix string) {
	prefix = strings.TrimSuffix(prefix, "/")
	t.prefix.Store(&prefix)
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if rest, ok := strings.CutPrefix(request.URL.Path, sdkPrefix+"/"); ok {
		request = request.Clone(request.Context())
		request.URL.Path = *t.prefix.Load() + "/" + rest
		request.URL.RawPath = ""
	}
	response, err := t.base.RoundTrip(request)
	if err == nil {
		if err = takeBody(request.Context(), response); err != nil {
			response = nil
		}
	}
	if answer, ok := request.Context().Value(statusKey{}).(*responseStatus); ok {
		*answer = responseStatus{}
		if err == nil {
			answer.status = response.StatusCode
			if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
				answer.retryAfter = time.Duration(seconds) * time.Second
			}
		}
	}
	return response, err
}

// newSDK returns a client whose calls end after the timeout, without retries of its own: what is repeated, and when, is decided
// in post.go.
func (l *ledger) newSDK(timeout time.Duration) *formance.Formance {
	options := []formance.SDKOption{
		formance.WithServerURL(strings.TrimSuffix(l.config.URL, "/")),
		formance.WithClient(&http.Client{Transport: l.transport, Timeout: timeout}),
	}
	if l.config.ClientID != "" {
		id, secret := l.config.ClientID, l.config.ClientSecret.Reveal()
		security := shared.Security{ClientID: &id, ClientSecret: &secret}
		if l.config.TokenURL != "" {
			security.TokenURL = &l.config.TokenURL
		}
		options = append(options, formance.WithSecurity(security))
	}
	return formance.New(options...)
}
