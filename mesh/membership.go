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

// Membership makes a process a member that revocation barriers wait for. It holds a short lease in the bucket of guards and
// acknowledges each Barrier when its handler has returned. While the lease is not valid (Live), no barrier waits for the process, so it
// must answer "unavailable" instead of permitting anything.
type Membership struct {
	conn     *Conn
	log      *zap.Logger
	lease    *kv.Lease
	subs     []*nats.Subscription
	mu       sync.Mutex
	handlers map[string][]func(context.Context, Barrier) error
	rejoin   []func(context.Context) error
}

// Join acquires the lease. State must be loaded only after Join has returned: then a revocation either finds the lease and waits,
// or was written before the state is loaded.
func Join(ctx context.Context, conn *Conn, log *zap.Logger) (*Membership, error) {
	m := &Membership{conn: conn, log: log, handlers: map[string][]func(context.Context, Barrier) error{}}
	id := conn.User + "." + uuid.NewString()
	err := m.subscribe(subjects.GuardBarrier, id, kv.Guards.Readers...)
	if err == nil && slices.Contains(subjects.Actors(), conn.User) {
		err = m.subscribe(subjects.CacheBarrier(conn.User), id, conn.User)
	}
	if err == nil {
		err = conn.FlushWithContext(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("subscribing to barriers: %w", err)
	}
	m.lease, err = kv.HoldLease(ctx, conn.JS, kv.Guards, id, LeaseLength, kv.OnRejoin(m.catchUp))
	if err != nil {
		return nil, fmt.Errorf("acquiring the membership lease: %w", err)
	}
	return m, nil
}

// subscribe has barriers on a subject answered to some users.
func (m *Membership) subscribe(subject, id string, to ...string) error {
	sub, err := m.conn.Subscribe(subject, func(msg *nats.Msg) {
		go func() {
			if err := Recovered(func() error { m.answer(msg, id, to); return nil }); err != nil { // the barrier waits until the lease expires
				m.log.Error("a barrier was not acknowledged", zap.Error(err))
			}
		}()
	})
	m.subs = append(m.subs, sub)
	return err
}

// Peers are the processes of an actor, this one included. They tell each other whose cached rows are about to change (database.Peers).
type Peers struct{ *Membership }

// Peers returns the processes of the member's actor. invalidate empties the caches of some tables, or all without names.
func (m *Membership) Peers(invalidate func(tables ...string)) Peers {
	m.Handle(BarrierCaches, func(_ context.Context, b Barrier) error {
		if len(b.Tables) > 0 {
			invalidate(b.Tables...)
		}
		return nil
	})
	m.OnRejoin(func(context.Context) error {
		invalidate()
		return nil
	})
	return Peers{m}
}

// Invalidate returns once every live process of the actor has emptied its caches of some tables.
func (p Peers) Invalidate(ctx context.Context, tables []string) error {
	return raise(ctx, p.conn, subjects.CacheBarrier(p.conn.User), p.conn.User+".>", Barrier{Kind: BarrierCaches, Tables: tables})
}

// Live reports whether the lease is valid.
func (m *Membership) Live() bool { return m.lease.Valid() }

// Handle adds a handler for a kind of barrier. The handlers of a kind run in the order in which they were added, and the barrier is
// acknowledged once all have succeeded; a kind without a handler immediately.
func (m *Membership) Handle(kind string, f func(context.Context, Barrier) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handlers[kind] = append(m.handlers[kind], f)
}

// OnRejoin adds a function that must succeed before the process is live again after its lease had expired. It has to catch up with
// the revocations that did not wait for the process.
func (m *Membership) OnRejoin(f func(context.Context) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rejoin = append(m.rejoin, f)
}

func (m *Membership) catchUp(ctx context.Context) error {
	m.mu.Lock()
	rejoin := slices.Clone(m.rejoin)
	m.mu.Unlock()
	for _, f := range rejoin {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return nil
}

// answer handles a barrier and acknowledges it with the lease's key. A failure is not acknowledged: the barrier then waits for this
// process's lease to expire.
func (m *Membership) answer(msg *nats.Msg, id string, to []string) {
	var b Barrier
	if err := json.Unmarshal(msg.Data, &b); err != nil || !IsInbox(msg.Reply, to...) || msg.Header.Get(HeaderStream) != "" {
		return
	}
	if (b.Kind == BarrierCaches) != (msg.Subject != subjects.GuardBarrier) {
		return // of a user who may not raise such a barrier
	}
	m.mu.Lock()
	handlers := slices.Clone(m.handlers[b.Kind])
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), LeaseLength)
	defer cancel()
	for _, handle := range handlers {
		if err := handle(ctx, b); err != nil {
			m.log.Warn("a barrier failed", zap.String("kind", b.Kind), zap.Error(err))
			return
		}
	}
	if err := msg.Respond([]byte(id)); err != nil {
		m.log.Warn("acknowledging a barrier", zap.Error(err))
	}
}

// Close releases the lease; if NATS cannot be reached, the lease expires by itself. Everything that the process guards must have
// ended before.
func (m *Membership) Close(ctx context.Context) error {
	err := m.lease.Close(ctx)
	if errors.Is(err, kv.ErrUnavailable) {
		m.log.Warn("the membership lease could not be released and will expire", zap.Error(err))
		err = nil
	}
	for _, sub := range m.subs {
		err = errors.Join(err, sub.Unsubscribe())
	}
	return err
}
