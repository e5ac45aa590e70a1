package kv

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of a Map's recovery.
const (
	// loadTimeout is how long a load may make no progress before it is retried.
	loadTimeout = 10 * time.Second
	// reloadWait is the delay between two attempts to load.
	reloadWait = 100 * time.Millisecond
)

// session is one watch of a bucket, from its current state on, until it ends or the connection is interrupted.
type session struct {
	watcher jetstream.KeyWatcher
	cancel  context.CancelFunc
}

// end stops the watch in the background: stopping requests the deletion of the consumer from the server, and a subscription
// that is delivering an update must be drained so that it does not block.
func (s session) end() {
	go func() {
		for range s.watcher.Updates() {
		}
	}()
	go func() {
		_ = s.watcher.Stop()
		s.cancel()
	}()
}

// run follows one session after another. Whenever the connection was interrupted or the watcher ended, it loads the bucket
// again: a watch that only resumed would miss keys whose markers have expired meanwhile.
func (m *Map[T]) run(ctx context.Context, current session) {
	defer close(m.done)
	defer m.bucket.js.Conn().RemoveStatusListener(m.status)
	defer m.fresh.Store(false)
	for {
		m.follow(ctx, current)
		m.fresh.Store(false)
		current.end()
		next, ok := m.reload(ctx)
		if !ok {
			return
		}
		current = next
	}
}

// follow applies updates until the connection changes its status, the watcher ends, or ctx does.
func (m *Map[T]) follow(ctx context.Context, current session) {
	for {
		select {
		case update, open := <-current.watcher.Updates():
			if !open {
				return
			}
			if update != nil {
				m.apply(update)
				m.advance(update.Revision())
			}
		case <-m.status:
			return
		case <-ctx.Done():
			return
		}
	}
}

// reload loads the bucket until it succeeds. It returns false if ctx or the connection ended first.
func (m *Map[T]) reload(ctx context.Context) (session, bool) {
	for ctx.Err() == nil && !m.bucket.js.Conn().IsClosed() {
		next, err := m.load(ctx)
		if err == nil {
			return next, true
		}
		m.onError(translate("reloading "+m.bucket.spec.Name, err))
		timer := time.NewTimer(reloadWait)
		select {
		case <-timer.C:
		case <-m.status:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return session{}, false
}

// load starts a watch from the bucket's current state and returns when all of it is applied and keys that no longer exist are
// removed. The Map then reflects everything that the stream held when load began, so its revision is at least the stream's last
// sequence at that time, whatever the filter and whatever has expired since.
func (m *Map[T]) load(ctx context.Context) (session, error) {
	m.drainStatus()
	if err := reachable(m.bucket.js); err != nil {
		return session{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	stream, err := m.bucket.js.Stream(bounded, m.bucket.spec.Stream())
	if err != nil {
		return session{}, err
	}
	next, err := m.startWatch(ctx, bounded)
	if err != nil {
		return session{}, err
	}
	highest, err := m.readInitial(ctx, next)
	if err != nil {
		next.end()
		return session{}, err
	}
	m.restart(max(highest, stream.CachedInfo().State.LastSeq))
	m.fresh.Store(true)
	return next, nil
}

// startWatch creates the watch. A watch lives as long as the context it is created with, so the time bound of its creation is
// applied from outside.
func (m *Map[T]) startWatch(ctx, bounded context.Context) (session, error) {
	watching, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(bounded, cancel)
	watcher, err := m.bucket.kv.Watch(watching, m.filter)
	if err != nil {
		cancel()
		return session{}, cmp.Or(bounded.Err(), err)
	}
	next := session{watcher: watcher, cancel: cancel}
	if !stop() {
		next.end()
		return session{}, bounded.Err()
	}
	return next, nil
}

// readInitial applies the session's initial state and returns its highest revision.
func (m *Map[T]) readInitial(ctx context.Context, next session) (uint64, error) {
	seen := map[string]struct{}{}
	var highest uint64
	stalled := time.NewTimer(loadTimeout)
	defer stalled.Stop()
	for {
		select {
		case update, open := <-next.watcher.Updates():
			if !open {
				return 0, ErrUnavailable
			}
			if update == nil {
				m.sweep(seen)
				return highest, nil
			}
			seen[update.Key()] = struct{}{}
			highest = max(highest, update.Revision())
			m.apply(update)
			stalled.Reset(loadTimeout)
		case <-m.status:
			return 0, fmt.Errorf("%w: connection was interrupted", ErrUnavailable)
		case <-stalled.C:
			return 0, context.DeadlineExceeded
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// drainStatus discards earlier status changes of the connection: the load that follows begins with the current state.
func (m *Map[T]) drainStatus() {
	for {
		select {
		case _, open := <-m.status:
			if !open {
				return
			}
		default:
			return
		}
	}
}

// apply applies one update. Only the Map's own goroutine calls it.
func (m *Map[T]) apply(update jetstream.KeyValueEntry) {
	key := update.Key()
	if update.Operation() != jetstream.KeyValuePut {
		m.drop(key, update.Revision())
		return
	}
	if had, ok := m.Entry(key); ok && had.Revision == update.Revision() && had.Created.Equal(update.Created()) {
		return
	}
	entry := &Entry[T]{Key: key, Revision: update.Revision(), Created: update.Created()}
	if err := json.Unmarshal(update.Value(), &entry.Value); err != nil {
		var zero T
		entry.Value = zero
		m.onError(fmt.Errorf("decoding %s in %s: %w", key, m.bucket.spec.Name, err))
	}
	if _, had := m.entries.Swap(key, entry); !had {
		m.length.Add(1)
	}
	if m.onChange != nil {
		m.onChange(Change[T]{Key: key, Value: entry.Value, Revision: entry.Revision})
	}
}

// sweep drops the entries that were not in the initial state of a load.
func (m *Map[T]) sweep(seen map[string]struct{}) {
	m.entries.Range(func(key, _ any) bool {
		if _, ok := seen[key.(string)]; !ok {
			m.drop(key.(string), 0)
		}
		return true
	})
}

func (m *Map[T]) drop(key string, revision uint64) {
	if _, had := m.entries.LoadAndDelete(key); !had {
		return
	}
	m.length.Add(-1)
	if m.onChange != nil {
		m.onChange(Change[T]{Key: key, Revision: revision, Gone: true})
	}
}

// advance records that everything up to revision is applied.
func (m *Map[T]) advance(revision uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if revision > m.revision {
		m.set(revision)
	}
}

// restart is advance after a load, when the revision may be lower: the bucket may have lost its latest messages.
func (m *Map[T]) restart(revision uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(revision)
}

// set stores the revision and wakes waiters. The caller holds mu.
func (m *Map[T]) set(revision uint64) {
	m.revision = revision
	if m.moved != nil {
		close(m.moved)
		m.moved = nil
	}
}
