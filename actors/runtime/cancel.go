package runtime

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// earlyCancels is how many cancellations are remembered whose request is not in progress: it may follow, because the two come on
	// different subscriptions, or another process handles it.
	earlyCancels = 4096
	// maxCallID bounds the id of a request, in bytes.
	maxCallID = 64
)

// cancellations end the handling of requests that their callers have given up.
type cancellations struct {
	mu sync.Mutex
	// running are the requests in progress, early the cancellations without one, by callKey.
	running map[callKey]context.CancelFunc
	early   *simplelru.LRU[callKey, struct{}]
}

// callKey identifies a request. The service is authenticated by the subject, so that a service can cancel its own requests only.
type callKey struct{ service, id string }

func newCancellations() *cancellations {
	early, err := simplelru.NewLRU[callKey, struct{}](earlyCancels, nil)
	if err != nil {
		panic("runtime: the size of the cancellations must be positive")
	}
	return &cancellations{running: map[callKey]context.CancelFunc{}, early: early}
}

// subscribe takes the cancellations of an actor's requests until stop is called.
func (c *cancellations) subscribe(conn *mesh.Conn, s actors.Service) (stop func(), err error) {
	if !slices.ContainsFunc(s.Bindings, func(b actors.Binding) bool { return b.Desc.Cancellable }) {
		return func() {}, nil
	}
	sub, err := conn.Subscribe(subjects.CancelPattern(s.Name), func(m *nats.Msg) {
		c.cancel(callKey{subjects.CancelledBy(s.Name, m.Subject), string(m.Data)})
	})
	if err != nil {
		return nil, fmt.Errorf("listening for cancelled requests: %w", err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}

func (c *cancellations) cancel(key callKey) {
	if key.id == "" || len(key.id) > maxCallID {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel := c.running[key]; cancel != nil {
		cancel()
		return
	}
	c.early.Add(key, struct{}{})
}

// track has cancel called when the request is given up, or at once where it already is, until done is called.
func (c *cancellations) track(d *subjects.Descriptor, subject string, h nats.Header, cancel context.CancelFunc) (done func()) {
	kind, service := d.CallerOf(subject)
	key := callKey{service, h.Get(mesh.HeaderCallID)}
	if !d.Cancellable || kind != "" || key.service == "" || key.id == "" || len(key.id) > maxCallID {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.early.Remove(key) {
		cancel()
		return func() {}
	}
	c.running[key] = cancel
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.running, key)
	}
}
