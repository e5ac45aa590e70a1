package egress

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"time"

	"code.dny.dev/ssrf"
)

// Defaults of Options.
const (
	DefaultMaxBody   = 10 << 20
	DefaultMaxHeader = 128 << 10
	DefaultTimeout   = 30 * time.Second
	DefaultRedirects = 5

	connectTimeout  = 10 * time.Second
	idleTimeout     = 90 * time.Second
	maxIdle         = 256
	maxIdlePerHost  = 16
	maxConnsPerHost = 64
)

// Options configures a Client. The zero value is the strictest: public addresses and https only.
type Options struct {
	// Allow lists address ranges that may be dialled in addition to public ones (WEFT_EGRESS_ALLOW).
	Allow []netip.Prefix
	// AllowHTTP permits plain http (WEFT_EGRESS_ALLOW_HTTP).
	AllowHTTP bool
	// MaxBody bounds a response body in bytes, after decompression; 0 means DefaultMaxBody.
	MaxBody int64
	// MaxHeader bounds a response header in bytes; 0 means DefaultMaxHeader.
	MaxHeader int64
	// Timeout bounds one call including its redirects and the reading of its body; 0 means DefaultTimeout.
	Timeout time.Duration
	// MaxRedirects bounds the redirects followed by one call; 0 means DefaultRedirects, a negative value none.
	MaxRedirects int
	// Resolver resolves host names; nil means the system's.
	Resolver *net.Resolver
	// TLS is the client's TLS configuration; nil means Go's defaults. It is cloned.
	TLS *tls.Config
	// MaxIdle bounds the idle connections to all hosts; 0 means 256.
	MaxIdle int
	// MaxPerHost bounds the connections to a host; 0 means 64. Calls beyond it wait for a connection, within their timeouts.
	MaxPerHost int
	// Reserve, if set, is called before more than 64 KiB of a response's body are read, with the number of bytes that are read next. It may
	// wait until ctx ends, which is when the call is over; its error ends the call. What it reserves is given back when the caller's
	// context ends.
	Reserve func(ctx, caller context.Context, bytes int64) error
	// UserAgent is sent when a request sets none; empty means "weft".
	UserAgent string
}

// Client makes guarded calls. It is safe for concurrent use; create one per process and share it.
type Client struct {
	options   Options
	guard     *ssrf.Guardian
	transport *http.Transport
}

// New creates a client. It fails if Options.Allow contains an invalid prefix.
func New(o Options) (*Client, error) {
	o.MaxBody = cmp.Or(o.MaxBody, DefaultMaxBody)
	o.MaxHeader = cmp.Or(o.MaxHeader, DefaultMaxHeader)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.MaxRedirects = cmp.Or(o.MaxRedirects, DefaultRedirects)
	o.UserAgent = cmp.Or(o.UserAgent, "weft")
	guard, err := newGuard(o.Allow)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second, Resolver: o.Resolver, Control: guard.Safe}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	transport := &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    connectTimeout,
		MaxIdleConns:           cmp.Or(o.MaxIdle, maxIdle),
		MaxIdleConnsPerHost:    maxIdlePerHost,
		MaxConnsPerHost:        cmp.Or(o.MaxPerHost, maxConnsPerHost),
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: o.MaxHeader,
		Protocols:              protocols,
	}
	if o.TLS != nil {
		transport.TLSClientConfig = o.TLS.Clone()
	}
	return &Client{options: o, guard: guard, transport: transport}, nil
}

// Close closes idle connections. Calls in flight continue.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// newGuard returns the check applied to every address before it is dialled. Any port is allowed, because
// user-defined APIs listen on any.
func newGuard(allow []netip.Prefix) (*ssrf.Guardian, error) {
	var v4, v6 []netip.Prefix
	for _, p := range allow {
		if !p.IsValid() {
			return nil, fmt.Errorf("egress: %q is not an address range", p)
		}
		switch addr := p.Addr(); {
		case addr.Is4():
			v4 = append(v4, p.Masked())
		case addr.Is4In6() && p.Bits() >= 96:
			v4 = append(v4, netip.PrefixFrom(addr.Unmap(), p.Bits()-96).Masked())
		default:
			v6 = append(v6, p.Masked())
		}
	}
	return ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...)), nil
}

// Do makes the call and reads the whole response. Every error is an *Error.
//
// Redirects: a 303, and a 301 or 302 of a GET, HEAD or OPTIONS, is followed with GET (HEAD stays HEAD). A 307 or 308
// repeats the request; it crosses to another origin only for GET, HEAD or OPTIONS. A 301 or 302 of any other method
// is returned as the response: turning a write into a read would report a success that did not happen.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	begin := time.Now()
	call, err := c.newCall(ctx, r)
	if err != nil {
		return nil, err
	}
	timed, cancel := context.WithTimeout(ctx, cmp.Or(r.Timeout, c.options.Timeout))
	defer cancel()
	for redirects := 0; ; redirects++ {
		response, err := c.send(timed, cancel, call)
		if err != nil {
			return nil, call.classify(ctx, err)
		}
		next := location(response)
		if next == nil || r.NoRedirect || !followable(call.method, response.StatusCode) {
			body, err := call.receive(response)
			if err != nil {
				failed := call.classify(ctx, err)
				failed.Status = response.StatusCode
				return nil, failed
			}
			return &Response{
				Status: response.StatusCode, Header: response.Header, Body: body, URL: withoutQuery(call.url),
				Redirects: redirects, Duration: time.Since(begin),
			}, nil
		}
		discard(response)
		if redirects >= c.options.MaxRedirects {
			return nil, call.errorOf(KindRedirect, errors.New("too many redirects"))
		}
		if err := call.redirect(response.StatusCode, next, c.options.AllowHTTP); err != nil {
			return nil, err
		}
	}
}

// send sends the call's current request and returns the response with its body unread. cancel cancels ctx.
func (c *Client) send(ctx context.Context, cancel context.CancelFunc, k *call) (*http.Response, error) {
	body, length := k.requestBody(ctx)
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, k.trace(ctx, cancel)), k.method, k.url.String(), body)
	if err != nil {
		return nil, &Error{Kind: KindInvalid, Err: errors.New("the request cannot be built")}
	}
	request.Header, request.ContentLength = k.header.Clone(), length
	return c.transport.RoundTrip(request)
}
