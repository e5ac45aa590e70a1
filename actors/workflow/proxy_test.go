package workflow_test

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/actors/workflow"
)

// startThrough starts the actor with its NATS connection through a proxy.
func (b *bundle) startThrough(t *testing.T, p *freezableProxy) *actortest.Hosted {
	t.Helper()
	return b.mesh.Host(t, "workflow", b.db, workflow.Migrations, func(d actors.Deps) (actors.Service, error) {
		a, err := workflow.New(d, b.config)
		if err != nil {
			return actors.Service{}, err
		}
		return a.Service(), nil
	}, func(c *runtime.HostConfig) { c.NATS.URL = "nats://" + p.listener.Addr().String() })
}

// freezableProxy is a TCP proxy that forwards nothing in either direction while it is frozen.
type freezableProxy struct {
	listener net.Listener
	mu       sync.RWMutex
	frozen   atomic.Bool
}

func newProxy(t *testing.T, to string) *freezableProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &freezableProxy{listener: listener}
	t.Cleanup(func() {
		_ = listener.Close()
		p.thaw()
	})
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			go p.forward(near, far)
			go p.forward(far, near)
		}
	}()
	return p
}

func (p *freezableProxy) freeze() { p.mu.Lock(); p.frozen.Store(true) }

func (p *freezableProxy) thaw() {
	if p.frozen.CompareAndSwap(true, false) {
		p.mu.Unlock()
	}
}

func (p *freezableProxy) forward(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.RLock()
		if n > 0 {
			if _, e := to.Write(buffer[:n]); e != nil {
				err = e
			}
		}
		p.mu.RUnlock()
		if err != nil {
			return
		}
	}
}
