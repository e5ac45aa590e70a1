package gateway

import (
	"net/http"
	"net/netip"
	"strings"
)

// trustedProxies are the address ranges of reverse proxies whose forwarding headers are trusted.
type trustedProxies struct{ prefixes []netip.Prefix }

// clientAddress returns the client's address: the peer's, unless the peer is a trusted proxy. Then it is the rightmost
// forwarded address that is not a trusted proxy; addresses to its left could be forged by the client. It returns the zero
// Addr if the peer address cannot be parsed.
func (t trustedProxies) clientAddress(r *http.Request) netip.Addr {
	client, ok := peerAddress(r)
	if !ok || !t.contains(client) {
		return client
	}
	hops := forwardedFor(r.Header)
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := parseHop(hops[i])
		if !ok {
			return client
		}
		client = hop
		if !t.contains(client) {
			return client
		}
	}
	return client
}

// usedTLS reports whether the client used TLS: to the gateway, or to a trusted proxy that says so in X-Forwarded-Proto.
func (t trustedProxies) usedTLS(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	peer, ok := peerAddress(r)
	return ok && t.contains(peer) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

func (t trustedProxies) contains(a netip.Addr) bool {
	for _, p := range t.prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// peerAddress returns the address of the connection's other end.
func peerAddress(r *http.Request) (netip.Addr, bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	return peer.Addr().Unmap().WithZone(""), true
}

// forwardedFor lists the forwarded addresses, the client's first, from X-Forwarded-For or else Forwarded (RFC 7239 §5.2).
func forwardedFor(h http.Header) []string {
	if list := h.Values("X-Forwarded-For"); len(list) > 0 {
		return strings.Split(strings.Join(list, ","), ",")
	}
	var hops []string
	for element := range strings.SplitSeq(strings.Join(h.Values("Forwarded"), ","), ",") {
		for pair := range strings.SplitSeq(element, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if strings.EqualFold(name, "for") {
				hops = append(hops, strings.Trim(value, `"`))
			}
		}
	}
	return hops
}

// parseHop parses an address with optional brackets and port.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		var ap netip.AddrPort
		if ap, err = netip.ParseAddrPort(s); err != nil {
			return netip.Addr{}, false
		}
		a = ap.Addr()
	}
	return a.Unmap().WithZone(""), true
}

// limitAddress returns the address as rate limits count it: an IPv6 address by its /64, the smallest block that one client
// is assigned.
func limitAddress(a netip.Addr) string {
	if !a.IsValid() {
		return "unknown"
	}
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr().String()
		}
	}
	return a.String()
}
