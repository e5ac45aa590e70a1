package egress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Request describes one call.
type Request struct {
	// Method is the HTTP method; empty means GET.
	Method string
	// URL is absolute and has no user information. Its fragment is not sent.
	URL string
	// Header must not contain headers of the connection (Host, Content-Length, Connection …).
	Header http.Header
	Body   []byte
	// Source replaces Body. It is opened again each time the request is sent.
	Source *Source
	// Sink, if set, is offered the response body.
	Sink Sink
	// Hosts restricts the call and its redirects; see HostAllowed. Empty means any host.
	Hosts []string
	// SecretHeaders and SecretQuery name headers and query parameters that carry credentials, in addition to
	// Authorization, Cookie and Proxy-Authorization. A redirect to another origin drops them.
	SecretHeaders []string
	SecretQuery   []string
	// Timeout overrides the client's timeout for this call; 0 keeps it.
	Timeout time.Duration
	// MaxBody overrides the client's response body limit for this call, in bytes; 0 keeps it.
	MaxBody int64
	// NoRedirect returns a redirect as the response instead of following it.
	NoRedirect bool
	// Permit, if set, is called right before the first request is written to the connection, from another goroutine than
	// the caller's and possibly repeatedly. If it returns an error, nothing is sent and Do returns an Error of
	// KindCanceled.
	Permit func() error
	// Started is called at most once, from another goroutine than the caller's: when the first request has been
	// written to the connection, or when its header has been written if the body is a Source.
	Started func()
	// Sending is called at most once, from another goroutine than the caller's, before the first byte of the first request is
	// written to a connection: until then no server can have acted on the call.
	Sending func()
}

// Response is a complete response of any status.
type Response struct {
	Status int
	Header http.Header
	// Body is nil if the Sink took it.
	Body []byte
	// URL is the URL that responded, after redirects, without its query.
	URL       string
	Redirects int
	Duration  time.Duration
}

// call is one Do in progress. A redirect changes it in place.
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
	// reserve is Options.Reserve, caller the context that the call was made with.
	reserve     func(ctx, caller context.Context, bytes int64) error
	caller      context.Context //nolint:containedctx // of the one call
	permit      func() error
	started     func()
	once        sync.Once
	sending     func()
	onceSending sync.Once
	// sent is set once a request header has been written to a connection.
	sent atomic.Bool
	// refused is set once permit has refused the call.
	refused atomic.Bool
	// sourceErr is the error of reading the source.
	sourceErr atomic.Pointer[error]
}

func (c *Client) newCall(ctx context.Context, r Request) (*call, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, &Error{Kind: KindInvalid, Err: errors.New("the URL cannot be parsed")}
	}
	k := &call{
		method: strings.ToUpper(cmp.Or(r.Method, http.MethodGet)), url: u, header: r.Header.Clone(), body: r.Body, hosts: r.Hosts,
		source: r.Source, sink: r.Sink, reserve: c.options.Reserve, caller: ctx,
		secretHeaders: append([]string{"Authorization", "Cookie", "Proxy-Authorization"}, r.SecretHeaders...),
		secretQuery:   r.SecretQuery, maxBody: cmp.Or(r.MaxBody, c.options.MaxBody), started: r.Started, permit: r.Permit, sending: r.Sending,
	}
	u.Fragment, u.RawFragment = "", ""
	if k.header == nil {
		k.header = http.Header{}
	}
	for name := range k.header {
		if reserved(name) {
			return nil, k.errorOf(KindInvalid, fmt.Errorf("header %s is reserved for the connection", name))
		}
	}
	if _, ok := k.header["User-Agent"]; !ok {
		k.header.Set("User-Agent", c.options.UserAgent)
	}
	return k, k.checkURL(c.options.AllowHTTP)
}

// reserved reports whether a header belongs to the connection and must not be set by a caller.
func reserved(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection",
		"Proxy-Authenticate", "Te", "Trailer", "Upgrade", "Accept-Encoding", "Expect":
		return true
	}
	return false
}

// checkURL checks the scheme and host of the current URL. The dialer checks the address that the host resolves to.
func (k *call) checkURL(allowHTTP bool) error {
	switch {
	case k.url.Hostname() == "" || k.url.Opaque != "":
		return k.errorOf(KindInvalid, errors.New("the URL has no host"))
	case k.url.User != nil:
		return k.errorOf(KindInvalid, errors.New("the URL contains user information"))
	case k.url.Scheme != "https" && (k.url.Scheme != "http" || !allowHTTP):
		return k.errorOf(KindScheme, fmt.Errorf("scheme %q", k.url.Scheme))
	case len(k.hosts) > 0 && !HostAllowed(k.hosts, k.url):
		return k.errorOf(KindHost, nil)
	}
	return nil
}

// redirect changes the call into the request that a redirect asks for, or returns why it is not followed.
func (k *call) redirect(status int, next *url.URL, allowHTTP bool) error {
	next = k.url.ResolveReference(next)
	next.Fragment, next.RawFragment = "", ""
	crossOrigin := origin(next) != origin(k.url)
	keepsMethod := status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect
	if crossOrigin && keepsMethod && !safeMethod(k.method) {
		return k.errorOf(KindRedirect, errors.New("an unsafe method is not repeated to another origin"))
	}
	if !keepsMethod && k.method != http.MethodHead {
		k.method, k.body, k.source = http.MethodGet, nil, nil
		k.header.Del("Content-Type")
		k.header.Del("Content-Encoding")
	}
	if crossOrigin {
		for _, name := range k.secretHeaders {
			k.header.Del(name)
		}
		next.RawQuery = withoutParameters(next.RawQuery, k.secretQuery)
	}
	k.url = next
	return k.checkURL(allowHTTP)
}

// followable reports whether a redirect of this status may be followed for this method.
func followable(method string, status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound:
		return safeMethod(method)
	case http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// safeMethod reports whether a method is safe (RFC 9110 §9.2.1).
func safeMethod(method string) bool {
	return slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, method)
}
