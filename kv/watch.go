package kv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// Change is what OnChange is told.
type Change[T any] struct {
	Key string
	// Value is the new value; the zero T when Gone.
	Value T
	// Revision is the stream's sequence of the change; 0 when a reload found the key gone.
	Revision uint64
	// Gone: the key was deleted or has expired.
	Gone bool
}

// WatchOption is an option of Watch.
type WatchOption[T any] func(*Map[T])

// OnChange has fn called for every change, the initial state included, one at a time and in order, before
// Revision tells of it: who has waited for a revision knows that fn has returned. After a reconnect fn may be called
// again for values that did not change. fn must not block, nor call the Map's Close, WaitRevision or Sync.
func OnChange[T any](fn func(Change[T])) WatchOption[T] {
	return func(m *Map[T]) { m.onChange = fn }
}

// OnError has fn called with what the Map repairs or cannot read. It must not block.
func OnError[T any](fn func(error)) WatchOption[T] {
	return func(m *Map[T]) { m.onError = fn }
}

// Map is a bucket, or the part of it that matches a filter, held in memory and kept up to date.
//
// It is behind the bucket by the time a message travels, and by more while the connection is down: Fresh says
// so. What must not act on old state asks Fresh, or has its writer wait for WaitRevision here.
//
// A value that is no T is present as the zero T, and told to OnError: T's zero value must mean the safe answer.
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
	moved    chan struct{} // under mu; closed when revision moves; nil while nobody waits

	status chan nats.Status
	cancel context.CancelFunc
	done   chan struct{}
}

// Watch loads the keys that match filter (">" for all) and returns once they are there; from then on the Map keeps itself
// up to date, through reconnects and restarts of the server, until Close. ctx bounds the loading alone. A Volatile bucket
// is refused with ErrInvalidArgument: after a crash of the server its revisions may begin anew.
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
	life, cancel := context.WithCancel(context.Background())
	m := &Map[T]{
		bucket: bucket, filter: filter, onError: func(error) {},
		cancel: cancel, done: make(chan struct{}),
	}
	for _, option := range options {
		option(m)
	}
	m.status = bucket.js.Conn().StatusChanged()
	stop := context.AfterFunc(ctx, cancel)
	first, err := m.load(life)
	if !stop() && err == nil {
		first.end()
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		bucket.js.Conn().RemoveStatusListener(m.status)
		return nil, translate(doing, cmpErr(ctx.Err(), err))
	}
	go m.run(life, first)
	return m, nil
}

// Get returns the key's value and whether there is one. It takes no lock and asks nobody.
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

// Range calls visit for every entry, in no order, until it returns false. Changes in between may be seen or not.
func (m *Map[T]) Range(visit func(Entry[T]) bool) {
	m.entries.Range(func(_, value any) bool { return visit(*value.(*Entry[T])) })
}

// Len is the number of keys.
func (m *Map[T]) Len() int { return int(m.length.Load()) }

// Fresh reports whether the Map follows the bucket now. It is false from the moment a lost connection is noticed until
// the state is loaded anew. A line cut without a word is noticed only by the connection's pings: the bound on that
// is a Lease, which ends by the local clock.
func (m *Map[T]) Fresh() bool { return m.fresh.Load() && m.bucket.js.Conn().IsConnected() }

// Revision is the last revision that the Map holds: everything the filter matches up to it is applied.
func (m *Map[T]) Revision() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.revision
}

// WaitRevision returns once Revision is at least revision. Wait for revisions of keys that match the filter: another
// key's is passed only when a later one arrives that matches. ErrUnavailable when ctx's deadline ends first, ErrClosed after Close.
func (m *Map[T]) WaitRevision(ctx context.Context, revision uint64) error {
	for {
		m.mu.Lock()
		if m.revision >= revision {
			m.mu.Unlock()
			return nil
		}
		if m.moved == nil {
			m.moved = make(chan struct{})
		}
		moved := m.moved
		m.mu.Unlock()
		select {
		case <-moved:
		case <-m.done:
			return translate("waiting for revision", ErrClosed)
		case <-ctx.Done():
			return translate("waiting for revision", ctx.Err())
		}
	}
}

// Sync returns once the Map holds every write that was acknowledged before the call. It asks the bucket's leader, and
// so refuses a bucket that is Direct with ErrInvalidArgument.
func (m *Map[T]) Sync(ctx context.Context) error {
	doing := "catching up with " + m.bucket.spec.Name
	if m.bucket.spec.Direct {
		return translate(doing, fmt.Errorf("%w: bucket is read from any replica", ErrInvalidArgument))
	}
	if err := reachable(m.bucket.js); err != nil {
		return translate(doing, err)
	}
	last, err := m.bucket.stream.GetLastMsgForSubject(ctx, m.bucket.spec.subject(m.filter))
	if errors.Is(classify(err), ErrNotFound) {
		return nil
	}
	if err != nil {
		return translate(doing, err)
	}
	return m.WaitRevision(ctx, last.Sequence)
}

// Close ends the watch; the Map keeps what it held, never Fresh again.
func (m *Map[T]) Close() {
	m.cancel()
	<-m.done
}
