package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of a Map's recovery.
const (
	// loadTimeout is how long a load may make no progress before it is retried, as where the server of its consumer has died.
	loadTimeout = 4 * time.Second
	// reloadWait is the delay between two attempts to load.
	reloadWait = 100 * time.Millisecond
	// askLeader is how often a load that waits for the leader's last message, or a wait for a revision, asks the leader again.
	askLeader = 250 * time.Millisecond
)

// run follows one session after another. Whenever the connection was interrupted or the watcher ended, it loads the bucket
// again: a watch that only resumed would miss keys whose markers have expired meanwhile.
func (m *Map[T]) run(ctx context.Context, current watching) {
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
func (m *Map[T]) follow(ctx context.Context, current watching) {
	for {
		select {
		case d, open := <-current.deliveries:
			if !open {
				return
			}
			m.deliver(d)
		case <-m.expiry.C:
			m.expire()
		case <-m.status:
			return
		case <-ctx.Done():
			return
		}
	}
}

// reload loads the bucket until it succeeds. It returns false if ctx or the connection ended first.
func (m *Map[T]) reload(ctx context.Context) (watching, bool) {
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
	return watching{}, false
}

// load starts a watch from the bucket's current state and returns when the Map has it and keys that no longer exist are removed.
//
// The consumer of the watch may be on a replica that lags behind the stream's leader. So the initial state is complete only when the
// watch has also delivered the last message that the leader has. The Map's revision is that of the last message delivered: it never
// covers more than the Map has seen.
func (m *Map[T]) load(ctx context.Context) (watching, error) {
	m.drainStatus()
	if err := reachable(m.bucket.js); err != nil {
		return watching{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	next, err := m.bucket.watch(ctx, bounded, m.bucket.spec.subject(m.filter))
	if err != nil {
		return watching{}, err
	}
	highest, err := m.readInitial(ctx, next)
	if err != nil {
		next.end()
		return watching{}, err
	}
	m.restart(highest)
	m.fresh.Store(true)
	return next, nil
}

// initial is the progress of a load.
type initial struct {
	seen              map[string]struct{}
	received, highest uint64
	// complete: the watch has delivered what its replica had when it began.
	complete bool
	// leader is the sequence of the last message that the leader had; known only where asked.
	leader uint64
	asked  bool
}

// caughtUp reports whether the Map has everything that the leader had when it was asked.
func (i *initial) caughtUp() bool { return i.complete && i.asked && i.highest >= i.leader }

// readInitial applies the watch's initial state and what follows, up to the leader's last message, and returns the highest revision.
func (m *Map[T]) readInitial(ctx context.Context, next watching) (uint64, error) {
	progress := initial{seen: map[string]struct{}{}, complete: next.pending == 0}
	stalled := time.NewTimer(loadTimeout)
	defer stalled.Stop()
	// The leader's last message may expire, or be deleted, before the watch's replica delivers it: then there is another last one.
	again := time.NewTicker(askLeader)
	defer again.Stop()
	for {
		if progress.complete && !progress.asked {
			leader, err := m.leaderLast(ctx)
			if err != nil {
				return 0, err
			}
			progress.leader, progress.asked = leader, true
		}
		if progress.caughtUp() {
			m.sweep(progress.seen)
			return progress.highest, nil
		}
		select {
		case d, open := <-next.deliveries:
			if !open {
				return 0, ErrUnavailable
			}
			if err := m.applyInitial(ctx, d, &progress); err != nil {
				return 0, err
			}
			progress.complete = progress.complete || progress.received >= next.pending || d.left == 0
			stalled.Reset(loadTimeout)
		case <-again.C:
			progress.asked = false
		case <-m.status:
			return 0, fmt.Errorf("%w: connection was interrupted", ErrUnavailable)
		case <-stalled.C:
			return 0, context.DeadlineExceeded
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// applyInitial applies one message of a load. If its author did not write it, the key has what its author wrote before.
func (m *Map[T]) applyInitial(ctx context.Context, d delivery, progress *initial) error {
	found, err := m.bucket.authentic(ctx, d)
	if err != nil {
		return err
	}
	key, ok := m.bucket.spec.Key(d.subject)
	if ok && found.sequence != 0 {
		progress.seen[key] = struct{}{}
		m.apply(key, found)
	}
	progress.received++
	progress.highest = max(progress.highest, d.sequence)
	return nil
}

// leaderLast asks the leader for the sequence of the last message that matches the filter; 0 if there is none.
func (m *Map[T]) leaderLast(ctx context.Context) (uint64, error) {
	bounded, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	last, err := withAnswer(bounded, m.bucket.js, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return m.bucket.stream.GetLastMsgForSubject(ctx, m.bucket.spec.subject(m.filter))
	})
	if errors.Is(classify(err), ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return last.Sequence, nil
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

// deliver applies a message that follows the initial state. If its author did not write it, the key keeps the value that it has.
func (m *Map[T]) deliver(d delivery) {
	key, ok := m.bucket.spec.Key(d.subject)
	err := m.bucket.verify(d.subject, d.header, d.data, d.stored)
	switch {
	case !ok:
	case err != nil:
		m.onError(fmt.Errorf("%w: %s in %s: %w", errForeign, key, m.bucket.spec.Name, err))
	default:
		m.apply(key, d.message)
	}
	m.advance(d.sequence)
}

// apply applies a message that its author wrote. Only the Map's own goroutine calls it.
func (m *Map[T]) apply(key string, msg message) {
	if msg.isMarker() {
		m.drop(key, msg.sequence)
		return
	}
	if had, ok := m.Entry(key); ok && had.Revision == msg.sequence && had.Created.Equal(msg.stored) {
		return
	}
	entry := &Entry[T]{Key: key, Revision: msg.sequence, Created: msg.stored}
	if err := json.Unmarshal(msg.data, &entry.Value); err != nil {
		var zero T
		entry.Value = zero
		m.onError(fmt.Errorf("decoding %s in %s: %w", key, m.bucket.spec.Name, err))
	}
	if _, had := m.entries.Swap(key, entry); !had {
		m.length.Add(1)
	}
	m.expireAfter(key, msg)
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
