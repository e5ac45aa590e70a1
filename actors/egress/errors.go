package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"code.dny.dev/ssrf"
)

// Kind says why a call had no answer. The set is closed.
type Kind string

// The kinds of Error.
const (
	// KindInvalid: the request itself cannot be sent. Nothing was sent.
	KindInvalid Kind = "invalid_request"
	// KindScheme: neither https nor an allowed http.
	KindScheme Kind = "scheme_not_allowed"
	// KindHost: the host is not among those the call is confined to.
	KindHost Kind = "host_not_allowed"
	// KindBlocked: the name resolved to an address that must not be dialled.
	KindBlocked Kind = "blocked_address"
	// KindConnect: DNS, TCP or TLS failed. Nothing was sent on this hop.
	KindConnect Kind = "connect"
	// KindTimeout: the call's own time ran out; Sent tells whether before or after it was written.
	KindTimeout Kind = "timeout"
	// KindDeadline: the caller's context ran out of time first.
	KindDeadline Kind = "deadline"
	// KindCanceled: the caller gave up.
	KindCanceled Kind = "canceled"
	// KindTooLarge: the answer's body or header is larger than allowed. The other side has acted.
	KindTooLarge Kind = "too_large"
	// KindRedirect: a redirect that is not followed, or one too many. The other side has answered.
	KindRedirect Kind = "redirect"
	// KindTransport: the connection broke or what came was not HTTP.
	KindTransport Kind = "transport"
	// KindLocal: what was to be sent could not be read, or what came could not be kept. It says nothing of the other side.
	KindLocal Kind = "local"
)

// Error is a call without an answer.
type Error struct {
	Kind Kind
	// Host is whom the failing hop was addressed to, for people.
	Host string
	// Sent is false only where no request of the call can have been acted upon: its header was never
	// written. A call that must not run twice may be repeated only then.
	Sent bool
	// Err is the cause, for the log: it may name the address a host resolved to. Never show it to a user.
	Err error
}

// Error says the kind and the host, and neither an address, a path, a query nor the cause.
func (e *Error) Error() string {
	text := "egress: " + explain[e.Kind]
	if e.Host != "" {
		text += " (" + e.Host + ")"
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

var explain = map[Kind]string{
	KindInvalid:   "the request cannot be sent",
	KindScheme:    "only https addresses may be called",
	KindHost:      "the host is not one this call may go to",
	KindBlocked:   "the host does not resolve to an address that may be called",
	KindConnect:   "no connection could be made",
	KindTimeout:   "no answer in time",
	KindDeadline:  "the caller's time ran out",
	KindCanceled:  "the call was given up",
	KindTooLarge:  "the answer is larger than allowed",
	KindRedirect:  "the redirect is not followed",
	KindTransport: "the connection broke",
	KindLocal:     "the content cannot be read or kept here",
}

// KindOf is the kind of an *Error in err's chain, or "".
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func (k *call) errorOf(kind Kind, cause error) *Error {
	return &Error{Kind: kind, Host: hostOf(k.url), Sent: k.sent.Load(), Err: cause}
}

func hostOf(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.Host
}

// fail names what went wrong. outer is the caller's context: when that one ended, it was not the other side
// that was slow.
func (k *call) fail(outer context.Context, cause error) *Error {
	var already *Error
	if errors.As(cause, &already) {
		return already
	}
	if unread := k.unread.Load(); unread != nil {
		return k.errorOf(KindLocal, *unread)
	}
	return k.errorOf(k.kindOf(outer, cause), cause)
}

func (k *call) kindOf(outer context.Context, cause error) Kind {
	var network net.Error
	switch {
	case errors.Is(cause, ssrf.ErrProhibitedIP), errors.Is(cause, ssrf.ErrProhibitedNetwork), errors.Is(cause, ssrf.ErrInvalidHostPort):
		return KindBlocked
	case errors.Is(cause, errTooLarge), strings.Contains(cause.Error(), "server response headers exceeded"):
		return KindTooLarge
	case errors.Is(outer.Err(), context.Canceled):
		return KindCanceled
	case errors.Is(outer.Err(), context.DeadlineExceeded):
		return KindDeadline
	case errors.Is(cause, context.DeadlineExceeded), errors.As(cause, &network) && network.Timeout():
		return KindTimeout
	case connecting(cause):
		return KindConnect
	case strings.Contains(cause.Error(), "invalid header"), strings.Contains(cause.Error(), "invalid method"):
		return KindInvalid
	}
	return KindTransport
}

// connecting reports whether cause is DNS, the dial or the TLS handshake.
func connecting(cause error) bool {
	var dial *net.OpError
	var dns *net.DNSError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(cause, &dns) || errors.As(cause, &verify) || errors.As(cause, &record) || errors.As(cause, &alert) ||
		errors.As(cause, &dial) && dial.Op == "dial"
}

// ErrOpen is in the chain of an *OpenError.
var ErrOpen = errors.New("egress: breaker open")

// OpenError refuses a call because its provider's host failed too often lately. Nothing was sent.
type OpenError struct {
	Provider, Host string
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("egress: %s at %s is failing and is left alone for a while", e.Provider, e.Host)
}

func (e *OpenError) Unwrap() error { return ErrOpen }
