package kv

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Change is the argument of the function set by OnChange.
type Change[T any] struct {
	Key string
	// Value is the new value; the zero T if Gone.
	Value T
	// Revision is the revision of the change; 0 if a reload found that the key no longer exists.
	Revision uint64
	// Gone is set if the key was deleted or has expired.
	Gone bool
}

// WatchOption is an option of Watch.
type WatchOption[T any] func(*Map[T])

// OnChange sets a function that is called for every change, including the initial state, sequentially and in order, before
// Revision reflects the change: after WaitRevision for a revision, fn has returned for it. After a reconnect fn may be called
// again for unchanged values. fn must not block, nor call the Map's Close, WaitRevision or Sync.
func OnChange[T any](fn func(Change[T])) WatchOption[T] {
	return func(m *Map[T]) { m.onChange = fn }
}

// OnError sets a function that is called with failed reloads and undecodable values. It must not block.
func OnError[T any](fn func(error)) WatchOption[T] {
	return func(m *Map[T]) { m.onError = fn }
}

// Map is a bucket, or the keys of it that match a filter, held in memory and kept up to date.
//
// It lags behind the bucket by the delivery time of a message, and by more while the connection is down; see Fresh. Code that
// must not act on an outdated state checks Fresh, or its writer waits for WaitRevision.
//
// A value that cannot be decoded appears as the zero T and is reported to OnError. The zero value of T must therefore be the
// safe one.
type Map[T any] struct {
	bucket   *Bucket[T]
	filter   string
	onChange func(Change[T])
	onError  func(error)

	entries sync.Map // string → *Entry[T]
	length  atomic.Int64
	fresh   atomic.Bool

	mu       sync.Mutex
	revision uint64        // under mu
	moved    chan struct{} // under mu; closed when revision moves; nil without waiters

	// expiries and expiry belong to the Map's own goroutine.
	expiries expiries
	expiry   *time.Timer

	status chan nats.Status
	cancel context.CancelFunc
	done   chan struct{}
}

// Watch loads the keys that match filter (">" for all) and returns when they are loaded. The Map then keeps itself up to date,
// through reconnects and server restarts, until Close. ctx bounds only the loading. A Volatile bucket is rejected with
// ErrInvalidArgument, because its revisions may start again after a server crash.
func Watch[T any](ctx context.Context, bucket *Bucket[T], filter string, options ...WatchOption[T]) (*Map[T], error) {
	doing := "watching " + bucket.spec.Name
	if err := checkFilter(filter); err != nil {
		return nil, translate(doing, err)
	}
	if bucket.spec.Storage == Volatile {
		return nil, translate(doing, fmt.Errorf("%w: bucket is volatile", ErrInvalidArgument))
	}
	if err := reachable(bucket.js); err != nil {
		return nil, translate(doing, err)
	}
	lifetime, cancel := context.WithCancel(context.Background())
	m := &Map[T]{
		bucket: bucket, filter: filter, onError: func(error) {},
		expiry: time.NewTimer(time.Hour), cancel: cancel, done: make(chan struct{}),
	}
	m.expiry.Stop()
	for _, option := range options {
		option(m)
	}
	m.status = bucket.js.Conn().StatusChanged()
	stop := context.AfterFunc(ctx, cancel)
	first, err := m.load(lifetime)
	if !stop() && err == nil {
		first.end()
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		bucket.js.Conn().RemoveStatusListener(m.status)
		return nil, translate(doing, cmp.Or(ctx.Err(), err))
	}
	go m.run(lifetime, first)
	return m, nil
}

// Get returns the key's value and whether the key exists. It takes no lock and sends no request.
func (m *Map[T]) Get(key string) (T, bool) {
	if found, ok := m.entries.Load(key); ok {
		return found.(*Entry[T]).Value, true
	}
	var zero T
	return zero, false
}

// Entry is Get with revision and time.
func (m *Map[T]) Entry(key string) (Entry[T], bool) {
	if found, ok := m.entries.Load(key); ok {
		return *found.(*Entry[T]), true
	}
	return Entry[T]{}, false
}

// Range calls visit for every entry, in no particular order, until visit returns false. It may or may not see concurrent changes.
func (m *Map[T]) Range(visit func(Entry[T]) bool) {
	m.entries.Range(func(_, value any) bool { return visit(*value.(*Entry[T])) })
}

// Len returns the number of keys.
func (m *Map[T]) Len() int { return int(m.length.Load()) }

// Fresh reports whether the Map currently follows the bucket. It is false from the moment a lost connection is noticed until the
// state is loaded again. A connection that is cut silently is noticed only by the client's pings; where that is too late, use a
// Lease, which expires by the local clock.
func (m *Map[T]) Fresh() bool { return m.fresh.Load() && m.bucket.js.Conn().IsConnected() }

// Revision returns the revision up to which all changes that match the filter are applied. It is that of a message which the Map has
// received.
func (m *Map[T]) Revision() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.revision
}

// WaitRevision returns when Revision is at least revision, or when the Map has everything that the bucket's leader has and revision is
// not among it any more, because its key has expired. revision must belong to a key that matches the filter. The error is ErrUnavailable
// if ctx's deadline expires first, ErrClosed after Close.
func (m *Map[T]) WaitRevision(ctx context.Context, revision uint64) error {
	const doing = "waiting for revision"
	ask := time.NewTimer(askLeader)
	defer ask.Stop()
	for {
		moved := m.waiter(revision)
		if moved == nil {
			return nil
		}
		select {
		case <-moved:
		case <-ask.C:
			if last, err := m.leaderLast(ctx); err == nil && last < revision && m.Revision() >= last {
				return nil
			}
			ask.Reset(askLeader)
		case <-m.done:
			return translate(doing, ErrClosed)
		case <-ctx.Done():
			return translate(doing, ctx.Err())
		}
	}
}

// waiter returns a channel that is closed when the revision moves; nil if it is at least revision.
func (m *Map[T]) waiter(revision uint64) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.revision >= revision {
		return nil
	}
	if m.moved == nil {
		m.moved = make(chan struct{})
	}
	return m.moved
}

// Sync returns when the Map reflects every write that was acknowledged before the call. It asks the bucket's leader.
func (m *Map[T]) Sync(ctx context.Context) error {
	doing := "catching up with " + m.bucket.spec.Name
	if err := reachable(m.bucket.js); err != nil {
		return translate(doing, err)
	}
	last, err := m.leaderLast(ctx)
	if err != nil {
		return translate(doing, err)
	}
	return m.WaitRevision(ctx, last)
}

// Close ends the watch. The Map keeps its entries and is never Fresh again.
func (m *Map[T]) Close() {
	m.cancel()
	<-m.done
}
