// Package egress is the only way weft calls an address that a stranger chose: a provider's API, a
// user's own base URL, a webhook of a user's.
//
// It owns the HTTP client and what keeps such calls harmless:
//   - every dial, after DNS and on every redirect hop, is refused unless the address is public or lies in
//     Options.Allow; a proxy from the environment is never used;
//   - https only, unless Options.AllowHTTP;
//   - a call may be confined to hosts; redirects are few, confined alike, and lose credentials for good
//     once they leave the origin;
//   - time, response body, response header and connection pools are bounded;
//   - every failure is an *Error that tells whether the request may have reached the other side, which is
//     what a retry of a call that must not run twice depends on.
//
// Beside the client stand the retry policy (Policy) and the breakers (Breakers). Neither knows what a
// provider is; the caller combines them. The package imports nothing of weft's.
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
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

// Options configures a Client. The zero value is the strictest: public addresses, https only.
type Options struct {
	// Allow names address ranges that may be dialled besides public ones (WEFT_EGRESS_ALLOW).
	Allow []netip.Prefix
	// AllowHTTP lets plain http through (WEFT_EGRESS_ALLOW_HTTP).
	AllowHTTP bool
	// MaxBody bounds a response body in bytes, after decompression; 0 means DefaultMaxBody.
	MaxBody int64
	// MaxHeader bounds a response's header in bytes; 0 means DefaultMaxHeader.
	MaxHeader int64
	// Timeout bounds one call with all its redirects and its body; 0 means DefaultTimeout.
	Timeout time.Duration
	// MaxRedirects bounds the hops after the first request; 0 means DefaultRedirects, negative none.
	MaxRedirects int
	// Resolver looks names up; nil means the system's.
	Resolver *net.Resolver
	// TLS is the client's TLS configuration; nil means Go's defaults. It is cloned.
	TLS *tls.Config
	// UserAgent is sent where a request names none; empty means "weft".
	UserAgent string
}

// Client makes guarded calls. It is safe for concurrent use; make one per process and share it.
type Client struct {
	options   Options
	transport *http.Transport
}

// New makes a client. It fails when a range of Options.Allow is not a valid prefix.
func New(o Options) (*Client, error) {
	o.MaxBody = cmp.Or(o.MaxBody, DefaultMaxBody)
	o.MaxHeader = cmp.Or(o.MaxHeader, DefaultMaxHeader)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.MaxRedirects = cmp.Or(o.MaxRedirects, DefaultRedirects)
	o.UserAgent = cmp.Or(o.UserAgent, "weft")
	guard, err := guardian(o.Allow)
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
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		MaxConnsPerHost:        maxConnsPerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: o.MaxHeader,
		Protocols:              protocols,
	}
	if o.TLS != nil {
		transport.TLSClientConfig = o.TLS.Clone()
	}
	return &Client{options: o, transport: transport}, nil
}

// Close drops the idle connections; calls under way go on.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// guardian judges every address a dial would go to. Ports are free: APIs of users' own live on any.
func guardian(allow []netip.Prefix) (*ssrf.Guardian, error) {
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

// Request describes one call.
type Request struct {
	Method string
	// URL is absolute, without user information; a fragment is not sent.
	URL string
	// Header must not hold what the connection owns (Host, Content-Length, Connection …).
	Header http.Header
	Body   []byte
	// Source is a body in the place of Body, read anew each time that it is sent.
	Source *Source
	// Sink is offered the answer's body, where it is not nil.
	Sink Sink
	// Hosts confines the call and its redirects; see HostAllowed. Empty means any host.
	Hosts []string
	// SecretHeaders and SecretQuery name what carries credentials besides Authorization, Cookie and
	// Proxy-Authorization: a redirect to another origin loses them.
	SecretHeaders []string
	SecretQuery   []string
	// Timeout shortens or lengthens the client's for this call; 0 keeps it.
	Timeout time.Duration
	// MaxBody shortens or lengthens the client's cap for this call; 0 keeps it.
	MaxBody int64
	// NoRedirect hands a redirect to the caller as the response it is.
	NoRedirect bool
	// Started is called once, when the first request has been written to the wire as a whole, or its header where its body
	// is a Source, from another goroutine than the caller's. It is not called for a request that never was.
	Started func()
}

// Response is a complete answer, whatever its status.
type Response struct {
	Status int
	Header http.Header
	// Body is nil where the Sink took it.
	Body []byte
	// URL is the address that answered, after redirects, without its query.
	URL       string
	Redirects int
	Duration  time.Duration
}

// Do makes the call and reads the whole answer. Every error is an *Error.
//
// Redirects: 303, and 301 and 302 of a GET or HEAD, become a GET or HEAD; 307 and 308 repeat the request
// within its origin only. A 301 or 302 of any other method is returned as the response it is: turning a
// write into a read would report a success that did not happen.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	begin := time.Now()
	call, err := c.newCall(r)
	if err != nil {
		return nil, err
	}
	timed, cancel := context.WithTimeout(ctx, cmp.Or(r.Timeout, c.options.Timeout))
	defer cancel()
	for hop := 0; ; hop++ {
		answer, err := c.once(timed, cancel, call)
		if err != nil {
			return nil, call.fail(ctx, err)
		}
		next := location(answer)
		if next == nil || r.NoRedirect || !follows(call.method, answer.StatusCode) {
			body, err := call.receive(answer)
			if err != nil {
				return nil, call.fail(ctx, err)
			}
			return &Response{
				Status: answer.StatusCode, Header: answer.Header, Body: body, URL: bare(call.url),
				Redirects: hop, Duration: time.Since(begin),
			}, nil
		}
		discard(answer)
		if hop >= c.options.MaxRedirects {
			return nil, call.errorOf(KindRedirect, errors.New("too many redirects"))
		}
		if err := call.redirect(answer.StatusCode, next, c.options.AllowHTTP); err != nil {
			return nil, err
		}
	}
}

// call is one Do under way; a redirect changes it in place.
type call struct {
	method        string
	url           *url.URL
	header        http.Header
	body          []byte
	source        *Source
	sink          Sink
	hosts         []string
	secretHeaders []string
	secretQuery   []string
	maxBody       int64
	started       func()
	once          sync.Once
	sent          atomic.Bool
	// unread is why the source could not be read.
	unread atomic.Pointer[error]
}

func (c *Client) newCall(r Request) (*call, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, &Error{Kind: KindInvalid, Err: errors.New("the URL cannot be parsed")}
	}
	k := &call{
		method: strings.ToUpper(cmp.Or(r.Method, http.MethodGet)), url: u, header: r.Header.Clone(), body: r.Body, hosts: r.Hosts,
		source: r.Source, sink: r.Sink,
		secretHeaders: append([]string{"Authorization", "Cookie", "Proxy-Authorization"}, r.SecretHeaders...),
		secretQuery:   r.SecretQuery, maxBody: cmp.Or(r.MaxBody, c.options.MaxBody), started: r.Started,
	}
	u.Fragment, u.RawFragment = "", ""
	if k.header == nil {
		k.header = http.Header{}
	}
	for name := range k.header {
		if reserved(name) {
			return nil, k.errorOf(KindInvalid, fmt.Errorf("header %s belongs to the connection", name))
		}
	}
	if _, ok := k.header["User-Agent"]; !ok {
		k.header.Set("User-Agent", c.options.UserAgent)
	}
	return k, k.admit(c.options.AllowHTTP)
}

// reserved reports whether a header is the connection's own and never a caller's.
func reserved(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection",
		"Proxy-Authenticate", "Te", "Trailer", "Upgrade", "Accept-Encoding", "Expect":
		return true
	}
	return false
}

// admit judges the call's current address by its name; its number is judged by the dialer.
func (k *call) admit(allowHTTP bool) error {
	switch {
	case k.url.Hostname() == "" || k.url.Opaque != "":
		return k.errorOf(KindInvalid, errors.New("the URL names no host"))
	case k.url.User != nil:
		return k.errorOf(KindInvalid, errors.New("the URL carries user information"))
	case k.url.Scheme != "https" && (k.url.Scheme != "http" || !allowHTTP):
		return k.errorOf(KindScheme, fmt.Errorf("scheme %q", k.url.Scheme))
	case len(k.hosts) > 0 && !HostAllowed(k.hosts, k.url):
		return k.errorOf(KindHost, nil)
	}
	return nil
}

// redirect turns the call into the one that a Location asks for, or refuses.
func (k *call) redirect(status int, next *url.URL, allowHTTP bool) error {
	next = k.url.ResolveReference(next)
	next.Fragment, next.RawFragment = "", ""
	crossing := origin(next) != origin(k.url)
	keeps := status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect
	if crossing && keeps && !reads(k.method) {
		return k.errorOf(KindRedirect, errors.New("a request with an effect is not repeated to another origin"))
	}
	if !keeps && k.method != http.MethodHead {
		k.method, k.body, k.source = http.MethodGet, nil, nil
		k.header.Del("Content-Type")
		k.header.Del("Content-Encoding")
	}
	if crossing {
		for _, name := range k.secretHeaders {
			k.header.Del(name)
		}
		next.RawQuery = withoutKeys(next.RawQuery, k.secretQuery)
	}
	k.url = next
	return k.admit(allowHTTP)
}

// once sends the call's current request and returns its answer with the body unread. cancel ends ctx.
func (c *Client) once(ctx context.Context, cancel context.CancelFunc, k *call) (*http.Response, error) {
	body, length := k.content(ctx)
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, k.trace(ctx, cancel)), k.method, k.url.String(), body)
	if err != nil {
		return nil, &Error{Kind: KindInvalid, Err: errors.New("the request cannot be built")}
	}
	request.Header, request.ContentLength = k.header.Clone(), length
	return c.transport.RoundTrip(request)
}

// follows reports whether a redirect of this status may be followed for this method.
func follows(method string, status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound:
		return reads(method)
	case http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

func reads(method string) bool { return slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, method) }
