package actortest

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Relay passes TCP connections on to an address until it is cut. A server behind it must not advertise its own address.
type Relay struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	conns map[net.Conn]bool
	cut   bool
	// muted drops what the server answers, as a connection that is open in one direction only.
	muted atomic.Bool
}

// NewRelay starts a relay to an address, which ends with the test.
func NewRelay(t testing.TB, to string) *Relay {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{listener: listener, to: to, conns: map[net.Conn]bool{}}
	go r.accept()
	t.Cleanup(func() { _ = listener.Close(); r.Cut(true) })
	return r
}

// Address is the address to connect to.
func (r *Relay) Address() string { return r.listener.Addr().String() }

// Cut closes all connections and refuses new ones, or accepts them again.
func (r *Relay) Cut(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	if cut {
		for conn := range r.conns {
			_ = conn.Close()
		}
	}
}

// Mute drops what the server answers from now on, or no longer.
func (r *Relay) Mute(muted bool) { r.muted.Store(muted) }

func (r *Relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", r.to)
		if err != nil || !r.add(client, server) {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
			continue
		}
		go r.copy(server, client, nil)
		go r.copy(client, server, &r.muted)
	}
}

func (r *Relay) add(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		return false
	}
	for _, conn := range conns {
		r.conns[conn] = true
	}
	return true
}

func (r *Relay) copy(to, from net.Conn, muted *atomic.Bool) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, from)
		delete(r.conns, to)
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if muted != nil && muted.Load() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
