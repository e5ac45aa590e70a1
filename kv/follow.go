package kv

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of a Map's own repair.
const (
	// loadTimeout is how long one load may stand still before it is begun anew.
	loadTimeout = 10 * time.Second
	// reloadWait is the pause between two attempts to load.
	reloadWait = 100 * time.Millisecond
)

// session is one watch, from the bucket's present state on, until it ends or the line is interrupted.
type session struct {
	watcher jetstream.KeyWatcher
	cancel  context.CancelFunc
}

// end stops the watch without waiting for it: stopping asks the server to delete the consumer, and a subscription that is
// handing over an update must be let go.
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

// run follows one session after another, loading anew whenever the line was interrupted or the watcher gave up: a watch
// that only went on where it stopped would miss keys whose markers have expired meanwhile.
func (m *Map[T]) run(life context.Context, current session) {
	defer close(m.done)
	defer m.bucket.js.Conn().RemoveStatusListener(m.status)
	defer m.fresh.Store(false)
	for {
		m.follow(life, current)
		m.fresh.Store(false)
		current.end()
		next, ok := m.reload(life)
		if !ok {
			return
		}
		current = next
	}
}

// follow applies updates until the connection changes its state, the watcher ends, or life does.
func (m *Map[T]) follow(life context.Context, current session) {
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
		case <-life.Done():
			return
		}
	}
}

// reload loads until it succeeds; false when life or the connection ended first.
func (m *Map[T]) reload(life context.Context) (session, bool) {
	for life.Err() == nil && !m.bucket.js.Conn().IsClosed() {
		next, err := m.load(life)
		if err == nil {
			return next, true
		}
		m.onError(translate("reloading "+m.bucket.spec.Name, err))
		timer := time.NewTimer(reloadWait)
		select {
		case <-timer.C:
		case <-m.status:
		case <-life.Done():
		}
		timer.Stop()
	}
	return session{}, false
}

// load watches from the bucket's present state on and returns when all of it is applied and what is no longer there is
// removed. Everything the stream held when load began is then in the Map, so its revision is at least the stream's last sequence of that
// moment, whatever the filter and whatever has expired since.
func (m *Map[T]) load(life context.Context) (session, error) {
	m.forgetStatus()
	if err := reachable(m.bucket.js); err != nil {
		return session{}, err
	}
	patience, cancel := context.WithTimeout(life, loadTimeout)
	defer cancel()
	stream, err := m.bucket.js.Stream(patience, m.bucket.spec.Stream())
	if err != nil {
		return session{}, err
	}
	next, err := m.begin(life, patience)
	if err != nil {
		return session{}, err
	}
	highest, err := m.fill(life, next)
	if err != nil {
		next.end()
		return session{}, err
	}
	m.restart(max(highest, stream.CachedInfo().State.LastSeq))
	m.fresh.Store(true)
	return next, nil
}

// begin makes the watch. It lives as long as the context it is made with, so patience bounds its making from outside.
func (m *Map[T]) begin(life, patience context.Context) (session, error) {
	watching, cancel := context.WithCancel(life)
	stop := context.AfterFunc(patience, cancel)
	watcher, err := m.bucket.kv.Watch(watching, m.filter)
	if err != nil {
		cancel()
		return session{}, cmpErr(patience.Err(), err)
	}
	next := session{watcher: watcher, cancel: cancel}
	if !stop() {
		next.end()
		return session{}, patience.Err()
	}
	return next, nil
}

// fill applies the session's initial state and returns the highest revision in it.
func (m *Map[T]) fill(life context.Context, next session) (uint64, error) {
	seen := map[string]struct{}{}
	var highest uint64
	still := time.NewTimer(loadTimeout)
	defer still.Stop()
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
			still.Reset(loadTimeout)
		case <-m.status:
			return 0, fmt.Errorf("%w: connection was interrupted", ErrUnavailable)
		case <-still.C:
			return 0, context.DeadlineExceeded
		case <-life.Done():
			return 0, life.Err()
		}
	}
}

// forgetStatus drops what the connection told before: the load that follows starts from the state as it is now.
func (m *Map[T]) forgetStatus() {
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

// apply takes one update in. Only the Map's own goroutine calls it.
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

// sweep drops the entries that a fresh load did not see.
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

// advance tells that everything up to revision is applied.
func (m *Map[T]) advance(revision uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if revision > m.revision {
		m.set(revision)
	}
}

// restart is advance after a load, which may also find that the bucket has lost its end and begins again lower.
func (m *Map[T]) restart(revision uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(revision)
}

// set stores the revision and wakes who waits. The caller holds mu.
func (m *Map[T]) set(revision uint64) {
	m.revision = revision
	if m.moved != nil {
		close(m.moved)
		m.moved = nil
	}
}
