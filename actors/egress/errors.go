package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"code.dny.dev/ssrf"
)

// Kind classifies why a call got no response. The set is closed.
type Kind string

// The kinds of Error.
const (
	// KindInvalid: the request is malformed. Nothing was sent.
	KindInvalid Kind = "invalid_request"
	// KindScheme: the scheme is neither https nor an allowed http.
	KindScheme Kind = "scheme_not_allowed"
	// KindHost: the host is not in Request.Hosts.
	KindHost Kind = "host_not_allowed"
	// KindBlocked: the host resolved to an address that must not be dialled, or did not resolve. Both have the same kind and text:
	// else callers could find out which names exist in the operator's network.
	KindBlocked Kind = "blocked_address"
	// KindConnect: TCP or TLS failed. Nothing was sent to this host.
	KindConnect Kind = "connect"
	// KindTimeout: the call's own timeout elapsed; Sent says whether the request had been written.
	KindTimeout Kind = "timeout"
	// KindDeadline: the deadline of the caller's context passed first.
	KindDeadline Kind = "deadline"
	// KindCanceled: the caller's context was canceled, or Request.Permit refused.
	KindCanceled Kind = "canceled"
	// KindTooLarge: the response body or header exceeds its limit. The server has processed the request.
	KindTooLarge Kind = "too_large"
	// KindRedirect: a redirect is not allowed, or exceeds the limit. The server has responded.
	KindRedirect Kind = "redirect"
	// KindTransport: the connection broke, or the response was not HTTP.
	KindTransport Kind = "transport"
	// KindCoding: the response has a content coding (RFC 9110 §8.4.1) that is not supported or cannot be decoded; Coding names it. The
	// server has responded.
	KindCoding Kind = "content_coding"
	// KindLocal: the Source could not be read, or the Sink failed. It says nothing about the server.
	KindLocal Kind = "local"
)

// Error is a call that got no response.
type Error struct {
	Kind Kind
	// Host is the host of the failed request, for display.
	Host string
	// Sent is false only if no request header of the call was ever written, so that no server can have acted on it. A
	// call that must not run twice may be retried only then.
	Sent bool
	// Status is the status of a response whose body could not be read; 0 if no header of one was received.
	Status int
	// Unresolved: the host's name could not be resolved for now, which a retry may mend. It is not for callers.
	Unresolved bool
	// Coding is the content coding of KindCoding.
	Coding string
	// Err is the cause, for logs only: it may contain the address that a host resolved to. Never show it to a user.
	Err error
}

// Error returns the kind, the content coding and the host. It contains neither address, path, query nor cause.
func (e *Error) Error() string {
	text := "egress: " + kindTexts[e.Kind]
	if e.Coding != "" {
		text += " " + e.Coding
	}
	if e.Host != "" {
		text += " (" + e.Host + ")"
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

var kindTexts = map[Kind]string{
	KindInvalid:   "invalid request",
	KindScheme:    "only https URLs are allowed",
	KindHost:      "host not allowed",
	KindBlocked:   "the host does not resolve to an allowed address",
	KindConnect:   "connection failed",
	KindTimeout:   "timed out",
	KindDeadline:  "the caller's deadline passed",
	KindCanceled:  "canceled by the caller",
	KindTooLarge:  "response too large",
	KindRedirect:  "redirect not allowed",
	KindTransport: "connection broken",
	KindCoding:    "the response cannot be read in its content coding",
	KindLocal:     "the request body could not be read or the response body could not be stored",
}

// KindOf returns the kind of the *Error in err's chain, or "" if there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func (k *call) errorOf(kind Kind, cause error) *Error {
	var dns *net.DNSError
	unresolved := kind == KindBlocked && errors.As(cause, &dns) && !dns.IsNotFound
	return &Error{Kind: kind, Host: k.url.Host, Sent: k.sent.Load(), Unresolved: unresolved, Err: cause}
}

// classify returns cause as an *Error. outer is the caller's context: if it ended, the server was not the cause.
func (k *call) classify(outer context.Context, cause error) *Error {
	var classified *Error
	if errors.As(cause, &classified) {
		return classified
	}
	if err := k.sourceErr.Load(); err != nil {
		return k.errorOf(KindLocal, *err)
	}
	var coding *codingError
	if errors.As(cause, &coding) {
		failed := k.errorOf(KindCoding, cause)
		failed.Coding = coding.name
		return failed
	}
	return k.errorOf(k.kindOf(outer, cause), cause)
}

func (k *call) kindOf(outer context.Context, cause error) Kind {
	var network net.Error
	var dns *net.DNSError
	switch {
	case errors.Is(cause, ssrf.ErrProhibitedIP), errors.Is(cause, ssrf.ErrProhibitedNetwork), errors.Is(cause, ssrf.ErrInvalidHostPort):
		return KindBlocked
	case errors.Is(cause, errTooLarge), strings.Contains(cause.Error(), "server response headers exceeded"):
		return KindTooLarge
	case k.refused.Load(), errors.Is(outer.Err(), context.Canceled):
		return KindCanceled
	case errors.Is(outer.Err(), context.DeadlineExceeded):
		return KindDeadline
	case errors.As(cause, &dns):
		return KindBlocked
	case errors.Is(cause, context.DeadlineExceeded), errors.As(cause, &network) && network.Timeout():
		return KindTimeout
	case isConnectError(cause):
		return KindConnect
	case strings.Contains(cause.Error(), "invalid header"), strings.Contains(cause.Error(), "invalid method"):
		return KindInvalid
	}
	return KindTransport
}

// isConnectError reports whether cause is a failure of dialling or the TLS handshake.
func isConnectError(cause error) bool {
	var dial *net.OpError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(cause, &verify) || errors.As(cause, &record) || errors.As(cause, &alert) ||
		errors.As(cause, &dial) && dial.Op == "dial"
}

// ErrOpen is in the chain of every *OpenError.
var ErrOpen = errors.New("egress: circuit breaker open")

// OpenError rejects a call because the circuit breaker of its provider and host is open. Nothing was sent.
type OpenError struct {
	Provider, Host string
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("egress: circuit breaker open for %s at %s", e.Provider, e.Host)
}

func (e *OpenError) Unwrap() error { return ErrOpen }
