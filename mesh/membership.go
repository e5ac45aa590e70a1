package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// LeaseLength is the length of a member's lease: the longest that a revocation barrier waits for a process that does not respond.
const LeaseLength = 5 * time.Second

// Presence makes a process a member that revocation barriers wait for. It holds a short lease in the bucket of guards and
// acknowledges each Sync when its handler has returned. While the lease is not valid (Live), no barrier waits for the process, so it
// must answer "unavailable" instead of permitting anything.
type Presence struct {
	conn     *Conn
	log      *zap.Logger
	lease    *kv.Lease
	sub      *nats.Subscription
	mu       sync.Mutex
	handlers map[string]func(context.Context, Sync) error
	rejoin   []func(context.Context) error
}

// Join acquires the lease. State must be loaded only after Join has returned: then a revocation either finds the lease and waits,
// or was written before the state is loaded.
func Join(ctx context.Context, conn *Conn, log *zap.Logger) (*Presence, error) {
	p := &Presence{conn: conn, log: log, handlers: map[string]func(context.Context, Sync) error{}}
	id := conn.User + "." + uuid.NewString()
	var err error
	p.sub, err = conn.Subscribe(subjects.GuardSync, func(m *nats.Msg) { go p.answer(m, id) })
	if err != nil {
		return nil, fmt.Errorf("subscribing to revocation barriers: %w", err)
	}
	if err := conn.FlushWithContext(ctx); err != nil {
		return nil, fmt.Errorf("subscribing to revocation barriers: %w", err)
	}
	p.lease, err = kv.HoldLease(ctx, conn.JS, kv.Guards, id, LeaseLength, kv.OnRejoin(p.catchUp))
	if err != nil {
		return nil, fmt.Errorf("acquiring the membership lease: %w", err)
	}
	return p, nil
}

// Live reports whether the lease is valid.
func (p *Presence) Live() bool { return p.lease.Valid() }

// Handle sets the handler for a kind of barrier. A kind without a handler is acknowledged immediately.
func (p *Presence) Handle(kind string, f func(context.Context, Sync) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handlers[kind] = f
}

// OnRejoin adds a function that must succeed before the process is live again after its lease had lapsed. It has to catch up with
// the revocations that did not wait for the process.
func (p *Presence) OnRejoin(f func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rejoin = append(p.rejoin, f)
}

func (p *Presence) catchUp(ctx context.Context) error {
	p.mu.Lock()
	rejoin := slices.Clone(p.rejoin)
	p.mu.Unlock()
	for _, f := range rejoin {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return nil
}

// answer handles a barrier and acknowledges it with the lease's key. A failure is not acknowledged: the barrier then waits for this
// process's lease to expire.
func (p *Presence) answer(m *nats.Msg, id string) {
	var s Sync
	if err := json.Unmarshal(m.Data, &s); err != nil || !IsInbox(m.Reply) || m.Header.Get(HeaderStream) != "" {
		return
	}
	p.mu.Lock()
	handle := p.handlers[s.Kind]
	p.mu.Unlock()
	if handle != nil {
		ctx, cancel := context.WithTimeout(context.Background(), LeaseLength)
		defer cancel()
		if err := handle(ctx, s); err != nil {
			p.log.Warn("revocation barrier failed", zap.String("kind", s.Kind), zap.Error(err))
			return
		}
	}
	if err := m.Respond([]byte(id)); err != nil {
		p.log.Warn("acknowledging a revocation barrier", zap.Error(err))
	}
}

// Close releases the lease; if NATS cannot be reached, the lease expires by itself. Everything that the process guards must have
// ended before.
func (p *Presence) Close(ctx context.Context) error {
	err := p.lease.Close(ctx)
	if errors.Is(err, kv.ErrUnavailable) {
		p.log.Warn("the membership lease could not be released and will expire", zap.Error(err))
		err = nil
	}
	if e := p.sub.Unsubscribe(); err == nil {
		err = e
	}
	return err
}
