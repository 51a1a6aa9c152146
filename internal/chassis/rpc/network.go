package rpc

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Network is where a caller is: an IPv4 address, or the /64 of an IPv6 address, of which one subscriber has all. The zero Network is that
// of a caller of whom no address is known or wanted.
type Network struct{ prefix netip.Prefix }

const (
	ipv4Bits = 32
	ipv6Bits = 64
)

// NetworkOf returns the network of an address. An IPv4 address that is written as IPv6 is the IPv4 address.
func NetworkOf(a netip.Addr) Network {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return Network{}
	}
	bits := ipv6Bits
	if a.Is4() {
		bits = ipv4Bits
	}
	if a.IsLoopback() {
		bits = a.BitLen()
	}
	return Network{prefix: netip.PrefixFrom(a, bits).Masked()}
}

// Known says whether it is the network of somebody.
func (n Network) Known() bool { return n.prefix.IsValid() }

// Private says whether the caller is on this machine or in a private network (RFC 1918, RFC 4193): nobody from the internet, but maybe a
// proxy that is not named, behind which everybody is.
func (n Network) Private() bool { return n.prefix.Addr().IsLoopback() || n.prefix.Addr().IsPrivate() }

// String returns the network as "192.0.2.1/32" or "2001:db8::/64"; empty for the zero Network. It is personal data: it belongs into no log.
func (n Network) String() string {
	if !n.Known() {
		return ""
	}
	return n.prefix.String()
}

// NetworkFrom returns the network of the caller of ctx. Staff and our own services have none: what they call is not on behalf of whoever
// is at the address that they call from.
func NetworkFrom(ctx context.Context) Network {
	c := callFrom(ctx)
	if c == nil || CallerFrom(ctx).Role >= RoleOperator {
		return Network{}
	}
	return c.network
}

// Proxies are the networks of the proxies that stand before a server and say for whom they call.
type Proxies []netip.Prefix

// ParseProxies reads networks like "10.0.0.0/8" and addresses, separated by commas. Empty text is no proxies.
func ParseProxies(text string) (Proxies, error) {
	var out Proxies
	for field := range strings.SplitSeq(text, ",") {
		field = strings.TrimSpace(field)
		if field == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(field)
		if a, addrErr := netip.ParseAddr(field); err != nil && addrErr == nil && a.Zone() == "" {
			prefix, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("%q is no network like 10.0.0.0/8 and no address", field)
		case prefix.Addr().Is4In6():
			return nil, fmt.Errorf("%q: write the IPv4 address itself", field)
		}
		out = append(out, prefix.Masked())
	}
	return out, nil
}

func (p Proxies) trust(a netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// forwardedHeader is what each proxy appends the address of its own peer to. The header Forwarded of RFC 7239 is not read: a proxy that
// keeps one of the two right passes the other on as the client wrote it.
const forwardedHeader = "X-Forwarded-For"

// forwardedMax is how many addresses of a header are read: nobody has more proxies in a row.
const forwardedMax = 16

// client returns the address of the client that a request is of. The header is read from the right, as long as whoever appended to it is a
// proxy that is trusted: what a client has written itself stands left of what the first proxy knows, and is never reached. Where the
// header ends or makes no sense, the client is the last address that is known.
func (p Proxies) client(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil { // as in a test that has no server, or an in-memory listener
		return netip.Addr{}
	}
	client := peer.Addr().Unmap().WithZone("")
	lines := r.Header.Values(forwardedHeader)
	for read := 0; len(lines) > 0 && read < forwardedMax && p.trust(client); read++ {
		last := len(lines) - 1
		rest, entry, more := cutLast(lines[last])
		if lines = lines[:last:last]; more {
			lines = append(lines, rest)
		}
		a, ok := parseForwarded(entry)
		if !ok {
			break
		}
		client = a
	}
	return client
}

// cutLast cuts the text before the last comma off; more says whether there is any.
func cutLast(line string) (rest, entry string, more bool) {
	i := strings.LastIndexByte(line, ',')
	if i < 0 {
		return "", line, false
	}
	return line[:i], line[i+1:], true
}

// entryMax is the longest text of an address with its port, in bytes.
const entryMax = 64

// parseForwarded reads an address, which some proxies write with a port.
func parseForwarded(entry string) (netip.Addr, bool) {
	entry = strings.Trim(entry, " \t")
	if len(entry) > entryMax {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(entry, "["), "]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(entry)
		if err != nil {
			return netip.Addr{}, false
		}
		a = withPort.Addr()
	}
	return a.Unmap().WithZone(""), true
}
