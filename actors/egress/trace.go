package egress

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync/atomic"
)

// trace records what one request of a call writes, and makes net/http write it at most once.
//
// net/http transparently retries a request that it wrote to a kept-alive connection which turned out to be closed. The
// caller would not know, and the permission under which it started the call may have been revoked in between. The second
// write is therefore prevented and the call fails with KindTransport; the caller decides whether to retry.
func (k *call) trace(ctx context.Context, cancel context.CancelFunc) *httptrace.ClientTrace {
	var wrote atomic.Bool
	var got net.Conn
	return &httptrace.ClientTrace{
		GetConn: func(string) {
			if wrote.Load() {
				cancel()
			}
		},
		GotConn: func(info httptrace.GotConnInfo) {
			got = info.Conn
			if !k.permitted() {
				cancel()
			}
			if (wrote.Load() || ctx.Err() != nil) && !multiplexed(info.Conn) {
				_ = info.Conn.Close() // HTTP/2 checks ctx before it writes; HTTP/1 does not
				return
			}
			if k.sending != nil {
				k.onceSending.Do(k.sending)
			}
		},
		WroteHeaders: func() {
			// HTTP/1 has buffered the end of the header and not flushed it: a closed connection sends no complete request.
			if !multiplexed(got) && !k.permitted() {
				cancel()
				_ = got.Close()
				return
			}
			k.sent.Store(true)
			if k.source != nil {
				k.notifyStarted()
			}
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if k.refused.Load() {
				return // it was written to a closed connection
			}
			k.sent.Store(true)
			if info.Err != nil {
				return
			}
			wrote.Store(true)
			k.notifyStarted()
		},
	}
}

// permitted reports whether the call may be sent. What follows a request that was sent, such as a redirect, belongs to the same act.
func (k *call) permitted() bool {
	if k.permit == nil || k.sent.Load() || k.permit() == nil {
		return true
	}
	k.refused.Store(true)
	return false
}

// notifyStarted calls Request.Started, once per call.
func (k *call) notifyStarted() {
	if k.started != nil {
		k.once.Do(k.started)
	}
}

// multiplexed reports whether a connection carries several requests at once (HTTP/2).
func multiplexed(conn net.Conn) bool {
	secure, ok := conn.(*tls.Conn)
	return ok && secure.ConnectionState().NegotiatedProtocol == "h2"
}
