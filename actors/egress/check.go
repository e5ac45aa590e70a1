package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// checkTimeout bounds the resolution of a host by Check.
const checkTimeout = 5 * time.Second

// Check reports whether a URL may be called, without calling it: its form, its scheme, and that its host resolves to addresses all of which
// may be dialled. It is for URLs that are stored; each call is checked again when it dials, since a host may resolve to another address by
// then. Every error is an *Error.
func (c *Client) Check(ctx context.Context, url string) error {
	k, err := c.newCall(ctx, Request{URL: url})
	if err != nil {
		return err
	}
	timed, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	addresses, err := c.resolve(timed, k.url.Hostname())
	if err != nil {
		return k.classify(ctx, err)
	}
	for _, a := range addresses {
		network := "tcp6"
		if a = a.Unmap(); a.Is4() {
			network = "tcp4"
		}
		if err := c.guard.Safe(network, net.JoinHostPort(a.String(), portOf(k.url)), nil); err != nil {
			return k.classify(ctx, err)
		}
	}
	return nil
}

func (c *Client) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	resolver := c.options.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	addresses, err := resolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(addresses) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	var dns *net.DNSError
	if err != nil && !errors.As(err, &dns) {
		err = &net.DNSError{Err: err.Error(), Name: host}
	}
	return addresses, err
}
