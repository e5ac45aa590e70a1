package engine

import (
	"encoding/json"
	"sync"
	"sync/atomic"
)

// backlog is how many bytes of events this process has in its logs and not in SQL yet, by user. They are in memory too. Past a bound, new
// executions of the users who cause it are refused; past twice that, their running ones wait until SQL has caught up; past three times that,
// everybody's: with SQL away, neither memory nor the logs grow without limit.
type backlog struct {
	// limit is the bound, in bytes.
	limit int
	// paused: executions wait.
	paused atomic.Bool

	mu     sync.Mutex
	total  int
	byUser map[string]int
}

// maxBacklog is the bound in bytes, or a thirty-second part of the process's memory limit if that is less.
const maxBacklog = 32 << 20

func (b *backlog) add(userID string, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byUser == nil {
		b.byUser = map[string]int{}
	}
	b.total += bytes
	if b.byUser[userID] += bytes; b.byUser[userID] == 0 {
		delete(b.byUser, userID)
	}
}

// exceeds reports whether the backlog is larger than a number of limits, and the user has at least half of the average user's part of it, or
// it is larger than three limits.
func (b *backlog) exceeds(userID string, limits int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.total <= limits*b.limit {
		return false
	}
	return b.total > 3*b.limit || b.byUser[userID]*2*len(b.byUser) >= b.total
}

// full reports whether new executions of a user are refused, overfull whether running ones wait.
func (b *backlog) full(userID string) bool     { return b.exceeds(userID, 1) }
func (b *backlog) overfull(userID string) bool { return b.exceeds(userID, 2) }

// size is the size of the backlog, in bytes.
func (b *backlog) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// rawBytes is the size of encoded events.
func rawBytes(events []json.RawMessage) (bytes int) {
	for _, event := range events {
		bytes += len(event)
	}
	return bytes
}

// projectedBytes takes events of a user that SQL has now out of the backlog.
func (p projection) projectedBytes(userID string, events []json.RawMessage) {
	bytes := rawBytes(events)
	p.unprojectedBytes -= bytes
	p.e.backlog.add(userID, -bytes)
}

// pauseForBacklog lets an execution wait where SQL is too far behind. It reports whether the execution waits.
func (p *partition) pauseForBacklog(h *execution) bool {
	if !p.e.backlog.overfull(h.row.UserID) {
		return false
	}
	p.paused[h] = struct{}{}
	p.e.backlog.paused.Store(true)
	p.e.projector.wake.Notify()
	return true
}

// resumePaused continues the executions of all partitions that waited for SQL, as far as it has caught up.
func (e *Engine) resumePaused() {
	if !e.backlog.paused.CompareAndSwap(true, false) {
		return
	}
	for _, p := range e.owned() {
		p.resumePaused()
	}
}

func (p *partition) resumePaused() {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := p.paused
	p.paused = map[*execution]struct{}{}
	for h := range waiting {
		p.mu.yield()
		if h.unacked == 0 && p.executions[h.row.ID] == h {
			p.guarded(h, func() { p.advance(h) })
		}
	}
}
