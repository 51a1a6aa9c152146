package rpc_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/rpc/testpb"
)

// networkOf serves one request and returns the network that its handler was told.
func networkOf(t testing.TB, proxies, peer, token string, forwarded ...string) string {
	t.Helper()
	trusted, err := rpc.ParseProxies(proxies)
	if err != nil {
		t.Fatal(err)
	}
	var got rpc.Network
	h := handlerOf(&notebook{read: func(ctx context.Context, req *testpb.ReadRequest) (*testpb.ReadResponse, error) {
		got = rpc.NetworkFrom(ctx)
		return &testpb.ReadResponse{Text: req.GetText()}, nil
	}}, func(_ *rpc.HandlerConfig, c *rpc.Config) { c.TrustedProxies = trusted })
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, testpb.NotebookServiceReadProcedure, bytes.NewBufferString(`{"text":"a"}`))
	r.RemoteAddr = peer
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header["X-Forwarded-For"] = forwarded
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return got.String()
}

func TestNetwork(t *testing.T) {
	const proxies = "10.0.0.0/8, 2001:db8:ff::/48,127.0.0.1"
	for name, c := range map[string]struct {
		proxies, peer, token string
		forwarded            []string
		want                 string
	}{
		"no proxies":                            {"", "192.0.2.7:1234", "", nil, "192.0.2.7/32"},
		"a forged header":                       {"", "192.0.2.7:1234", "", []string{"198.51.100.1"}, "192.0.2.7/32"},
		"a forged header of a peer not trusted": {proxies, "192.0.2.7:1234", "", []string{"198.51.100.1"}, "192.0.2.7/32"},
		"an IPv6 address":                       {"", "[2001:db8:1:2:3:4:5:6]:1234", "", nil, "2001:db8:1:2::/64"},
		"another one of the same network":       {"", "[2001:db8:1:2:ffff::1]:1234", "", nil, "2001:db8:1:2::/64"},
		"with a zone":                           {"", "[fe80::1%eth0]:1234", "", nil, "fe80::/64"},
		"IPv4 as IPv6":                          {"", "[::ffff:192.0.2.7]:1234", "", nil, "192.0.2.7/32"},
		"IPv4 loopback":                         {"", "127.0.0.1:1234", "", nil, "127.0.0.1/32"},
		"IPv6 loopback":                         {"", "[::1]:1234", "", nil, "::1/128"},
		"behind a proxy":                        {proxies, "10.1.2.3:1234", "", []string{"192.0.2.7"}, "192.0.2.7/32"},
		"behind a proxy written as IPv6":        {proxies, "[::ffff:10.1.2.3]:1", "", []string{"::ffff:192.0.2.7"}, "192.0.2.7/32"},
		"behind two":                            {proxies, "10.1.2.3:1234", "", []string{"192.0.2.7, 10.9.9.9"}, "192.0.2.7/32"},
		"behind two, in two lines":              {proxies, "10.1.2.3:1234", "", []string{"192.0.2.7", "2001:db8:ff::1"}, "192.0.2.7/32"},
		"forged behind a proxy":                 {proxies, "10.1.2.3:1234", "", []string{"198.51.100.1, 192.0.2.7"}, "192.0.2.7/32"},
		"forged as if by a proxy":               {proxies, "10.1.2.3:1234", "", []string{"198.51.100.1, 10.0.0.1, 192.0.2.7"}, "192.0.2.7/32"},
		"forged in a line of its own":           {proxies, "10.1.2.3:1234", "", []string{"198.51.100.1", "192.0.2.7"}, "192.0.2.7/32"},
		"with a port":                           {proxies, "10.1.2.3:1234", "", []string{"192.0.2.7:55"}, "192.0.2.7/32"},
		"IPv6 with a port":                      {proxies, "10.1.2.3:1234", "", []string{"[2001:db8:1:2::9]:55"}, "2001:db8:1:2::/64"},
		"IPv6 in brackets":                      {proxies, "10.1.2.3:1234", "", []string{"[2001:db8:1:2::9]"}, "2001:db8:1:2::/64"},
		"only proxies":                          {proxies, "10.1.2.3:1234", "", []string{"10.0.0.1,10.0.0.2"}, "10.0.0.1/32"},
		"a proxy that says nothing":             {proxies, "10.1.2.3:1234", "", nil, "10.1.2.3/32"},
		"a proxy that does not know":            {proxies, "10.1.2.3:1234", "", []string{"192.0.2.7, unknown"}, "10.1.2.3/32"},
		"garbage left of the client":            {proxies, "10.1.2.3:1234", "", []string{"<script>,,, 192.0.2.7"}, "192.0.2.7/32"},
		"garbage left of a proxy":               {proxies, "10.1.2.3:1234", "", []string{"192.0.2.7,,10.0.0.1"}, "10.0.0.1/32"},
		"an endless header":                     {proxies, "10.1.2.3:1234", "", []string{"192.0.2.7" + strings.Repeat(",10.0.0.1", 5000)}, "10.0.0.1/32"},
		"an entry without end":                  {proxies, "10.1.2.3:1234", "", []string{strings.Repeat("1", 60000)}, "10.1.2.3/32"},
		"no address":                            {proxies, "pipe", "", []string{"192.0.2.7"}, ""},
		"staff and our services":                {proxies, "10.1.2.3:1234", operatorToken, []string{"192.0.2.7"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := networkOf(t, c.proxies, c.peer, c.token, c.forwarded...); got != c.want {
				t.Errorf("network %q, want %q", got, c.want)
			}
		})
	}
}

func TestParseProxies(t *testing.T) {
	for _, text := range []string{"10.0.0.0/33", "proxy.example", "10.0.0.0/8;::1", "::ffff:10.0.0.0/104", "fe80::1%eth0"} {
		if got, err := rpc.ParseProxies(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
	if got, err := rpc.ParseProxies(" , "); err != nil || len(got) != 0 {
		t.Errorf("no proxies: %v, %v", got, err)
	}
}

// Whatever a client writes itself, the network is that of its own connection to the proxy.
func FuzzForgedNetwork(f *testing.F) {
	f.Add("198.51.100.1")
	f.Add("10.0.0.1, 10.0.0.2")
	f.Add("\"[::1]\", unknown,,")
	f.Fuzz(func(t *testing.T, forged string) {
		if got := networkOf(t, "10.0.0.0/8", "10.1.2.3:1", "", forged, "192.0.2.7"); got != "192.0.2.7/32" {
			t.Errorf("in two lines: %q", got)
		}
		if got := networkOf(t, "10.0.0.0/8", "10.1.2.3:1", "", forged+",192.0.2.7"); got != "192.0.2.7/32" {
			t.Errorf("in one line: %q", got)
		}
		if got := networkOf(t, "10.0.0.0/8", "192.0.2.7:1", "", forged); got != "192.0.2.7/32" {
			t.Errorf("from a peer that is not trusted: %q", got)
		}
	})
}

func TestNetworkOutsideOfACall(t *testing.T) {
	if n := rpc.NetworkFrom(t.Context()); n.Known() || n.Private() || n.String() != "" {
		t.Errorf("a network of nobody: %q", n)
	}
	if !rpc.NetworkOf(netip.MustParseAddr("::ffff:127.0.0.2")).Private() || rpc.NetworkOf(netip.MustParseAddr("::2")).Private() {
		t.Error("private is not what is on this machine")
	}
	for address, want := range map[string]bool{"10.1.2.3": true, "192.168.0.9": true, "fd00::1": true, "100.64.0.1": false, "192.0.2.1": false, "2001:db8::1": false} {
		if got := rpc.NetworkOf(netip.MustParseAddr(address)).Private(); got != want {
			t.Errorf("%s is private: %v", address, got)
		}
	}
}

// handlerOf is all that a server of n serves, without a listener.
func handlerOf(n *notebook, change func(*rpc.HandlerConfig, *rpc.Config)) http.Handler {
	h := rpc.HandlerConfig{
		Logger: slog.New(slog.DiscardHandler), Clock: clock.System{}, Policy: publicPolicy(),
		OperatorTokens: []config.Secret{config.NewSecret(operatorToken)},
	}
	c := rpc.Config{Services: []rpc.Service{{Name: testpb.NotebookServiceName}}}
	change(&h, &c)
	c.Services[0].Path, c.Services[0].Handler = testpb.NewNotebookServiceHandler(n, rpc.NewHandlerOptions(h)...)
	return rpc.NewHandler(c)
}
