package egress

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync/atomic"
)

// trace follows one hop of a call on the wire, and holds net/http to one write of it.
//
// net/http repeats by itself a request that it has written to a kept connection which turned out to be closed. The caller
// would learn nothing of it, and who gave the call leave to start may have taken it back since: so the second write is
// prevented, and the call fails as one whose connection broke. The caller repeats it, as a call of its own.
func (k *call) trace(ctx context.Context, cancel context.CancelFunc) *httptrace.ClientTrace {
	var wrote atomic.Bool
	return &httptrace.ClientTrace{
		GetConn: func(string) {
			if wrote.Load() {
				cancel()
			}
		},
		GotConn: func(info httptrace.GotConnInfo) {
			if (wrote.Load() || ctx.Err() != nil) && !multiplexed(info.Conn) {
				_ = info.Conn.Close() // HTTP/2 looks at ctx itself before it writes; HTTP/1 does not
			}
		},
		WroteHeaders: func() {
			k.sent.Store(true)
			if k.source != nil {
				k.start()
			}
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			k.sent.Store(true)
			if info.Err != nil {
				return
			}
			wrote.Store(true)
			k.start()
		},
	}
}

// start tells who gave the call leave that it cannot be held back any more.
func (k *call) start() {
	if k.started != nil {
		k.once.Do(k.started)
	}
}

// multiplexed tells a connection that other calls share.
func multiplexed(conn net.Conn) bool {
	secure, ok := conn.(*tls.Conn)
	return ok && secure.ConnectionState().NegotiatedProtocol == "h2"
}
