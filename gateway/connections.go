package gateway

import (
	"bytes"
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// maxHeaderLines bounds the lines of a request's header: a short line takes many times its bytes in memory. It applies to connections
// without TLS.
const maxHeaderLines = 256

// tooManyLines is the answer to a request with more (RFC 6585 §5).
const tooManyLines = "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// connections bounds the open connections of a listener. A connection without a request in progress, which is idle or sends a header, can be
// closed for a new one: that which is so for the longest time.
type connections struct {
	net.Listener
	config  ConnectionsConfig
	trusted trustedProxies
	metrics *metrics

	mu   sync.Mutex
	open int
	by   map[netip.Addr]int
	// idle has the connections without a request in progress, *connection, in the order in which they became so.
	idle list.List
	// requests counts the requests in progress on all connections.
	requests int
}

func newConnections(l net.Listener, c ConnectionsConfig, trusted trustedProxies, m *metrics) *connections {
	return &connections{Listener: l, config: c, trusted: trusted, metrics: m, by: map[netip.Addr]int{}}
}

// Accept returns the next connection for which there is room, or can be made.
func (c *connections) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // net/http distinguishes the errors
		}
		if accepted := c.admit(conn); accepted != nil {
			return accepted, nil
		}
		c.metrics.dropped.WithLabelValues("refused").Inc()
		_ = conn.Close()
	}
}

// admit takes a connection, for which it may close others. It returns nil if there is no room.
func (c *connections) admit(conn net.Conn) net.Conn {
	address, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	n := &connection{Conn: conn, of: c, address: networkOf(address.Addr())}
	var closing []*connection
	c.mu.Lock()
	if c.by[n.address] >= c.config.PerAddress && !c.trusted.contains(address.Addr().Unmap()) {
		closing = c.evict(closing, func(other *connection) bool { return other.address == n.address })
	} else if c.open >= c.config.Max {
		closing = c.evict(closing, func(*connection) bool { return true })
	}
	full := c.open >= c.config.Max || c.by[n.address] >= c.config.PerAddress && !c.trusted.contains(address.Addr().Unmap())
	if !full {
		c.open++
		c.by[n.address]++
		n.waiting = c.idle.PushBack(n)
	}
	c.metrics.connections.Set(float64(c.open))
	c.mu.Unlock()
	for _, other := range closing {
		c.metrics.dropped.WithLabelValues("idle").Inc()
		_ = other.Conn.Close()
	}
	if full {
		return nil
	}
	return n
}

// evict takes the first idle connection that matches off the lists.
func (c *connections) evict(closing []*connection, matches func(*connection) bool) []*connection {
	for e := c.idle.Front(); e != nil; e = e.Next() {
		if other := e.Value.(*connection); matches(other) {
			c.forget(other)
			return append(closing, other)
		}
	}
	return closing
}

// forget no longer counts a connection.
func (c *connections) forget(n *connection) {
	if n.gone {
		return
	}
	n.gone = true
	if n.waiting != nil {
		c.idle.Remove(n.waiting)
		n.waiting = nil
	}
	c.open--
	if c.by[n.address]--; c.by[n.address] == 0 {
		delete(c.by, n.address)
	}
	c.metrics.connections.Set(float64(c.open))
}

// networkOf is the address as connections are counted: that of an IPv6 client by its /64.
func networkOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if network, err := a.Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return a
}

// connection is one accepted connection.
type connection struct {
	net.Conn
	of      *connections
	address netip.Addr

	// The following are guarded by of.mu. waiting is its place in of.idle while it has no request in progress.
	waiting  *list.Element
	requests int
	gone     bool

	// secure is set for TLS, whose bytes have no lines.
	secure bool
	// lines counts the lines of the header that is being read; ended is set at its end, and blank while the line has no character.
	headerMu     sync.Mutex
	lines        int
	ended, blank bool
}

// Close no longer counts the connection.
func (n *connection) Close() error {
	n.of.mu.Lock()
	n.of.forget(n)
	n.of.mu.Unlock()
	return n.Conn.Close() //nolint:wrapcheck // net/http distinguishes the errors
}

// CloseWrite ends the sending, so that net/http can wait for the client to have read the response.
func (n *connection) CloseWrite() error {
	if half, ok := n.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite() //nolint:wrapcheck // net/http distinguishes the errors
	}
	return nil
}

// Read reads and counts the lines of a request's header.
func (n *connection) Read(p []byte) (int, error) {
	read, err := n.Conn.Read(p)
	if read > 0 && !n.secure && !n.countLines(p[:read]) {
		n.of.metrics.dropped.WithLabelValues("header_lines").Inc()
		_ = n.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = n.Conn.Write([]byte(tooManyLines))
		_ = n.Conn.Close()
		return 0, net.ErrClosed
	}
	return read, err //nolint:wrapcheck // net/http distinguishes the errors
}

// countLines returns false if the header has too many lines.
func (n *connection) countLines(data []byte) bool {
	n.headerMu.Lock()
	defer n.headerMu.Unlock()
	for !n.ended {
		at := bytes.IndexByte(data, '\n')
		line := data
		if at >= 0 {
			line = data[:at]
		}
		empty := len(line) == 0 || len(line) == 1 && line[0] == '\r'
		if at < 0 {
			n.blank = n.blank && empty
			return true
		}
		n.ended = n.blank && empty && n.lines > 0
		if n.lines++; n.lines > maxHeaderLines {
			return false
		}
		n.blank = true
		data = data[at+1:]
	}
	return true
}

// begin counts one more request in progress on the connection. It returns false if there are too many on all.
func (n *connection) begin() bool {
	c := n.of
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests >= c.config.Max {
		return false
	}
	c.requests++
	n.requests++
	if n.waiting != nil {
		c.idle.Remove(n.waiting)
		n.waiting = nil
	}
	return true
}

// end counts one less.
func (n *connection) end() {
	c := n.of
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests--
	if n.requests--; n.requests == 0 && !n.gone {
		n.waiting = c.idle.PushBack(n)
	}
}

// connectionKey is the key of a request's connection in its context.
type connectionKey struct{}

// withConnection is the ConnContext of an http.Server.
func withConnection(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
		if n, ok := conn.(*connection); ok {
			n.secure = true
		}
	}
	return context.WithValue(ctx, connectionKey{}, conn)
}

// betweenRequests is the ConnState of an http.Server: when a connection becomes idle, what was left of a body has been read too, and a header
// is next.
func betweenRequests(conn net.Conn, state http.ConnState) {
	if n, ok := conn.(*connection); ok && state == http.StateIdle {
		n.headerMu.Lock()
		n.lines, n.ended, n.blank = 0, false, false
		n.headerMu.Unlock()
	}
}

// counted wraps the handler of a server: it counts the requests in progress, and refuses one more than there may be.
func counted(g *Gateway) http.Handler {
	refuse := g.serve(&operation{name: "gateway.overloaded", route: "-", handle: func(*requestContext) error {
		return &subjects.Error{
			Code: subjects.CodeUnavailable, Reason: subjects.ReasonOverloaded, RetryAfter: subjects.RetrySoon,
			Detail: "too many requests in progress (gateway.connections.max)",
		}
	}})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, ok := r.Context().Value(connectionKey{}).(*connection)
		if !ok {
			g.handler.ServeHTTP(w, r)
			return
		}
		if !n.begin() {
			refuse(w, r)
			return
		}
		defer n.end()
		g.handler.ServeHTTP(w, r)
	})
}
