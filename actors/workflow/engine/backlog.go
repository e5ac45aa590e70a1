package engine

import (
	"encoding/json"
	"sync/atomic"
)

// backlog is how many bytes of events this process has in its logs and not in SQL yet. They are in memory too. Past a bound, new executions
// are refused; past twice that, running ones wait until SQL has caught up: with SQL away, neither memory nor the logs grow without limit.
type backlog struct {
	bytes atomic.Int64
	// limit is the bound for new executions, in bytes.
	limit int64
	// paused: executions wait.
	paused atomic.Bool
}

// maxBacklog is the bound for new executions, in bytes, or a thirty-second part of the process's memory limit if that is less.
const maxBacklog = 32 << 20

func (b *backlog) add(bytes int) { b.bytes.Add(int64(bytes)) }

// full reports whether new executions are refused, overfull whether running ones wait.
func (b *backlog) full() bool     { return b.bytes.Load() > b.limit }
func (b *backlog) overfull() bool { return b.bytes.Load() > 2*b.limit }

// projectedBytes takes events that SQL has now out of the backlog.
func (p projection) projectedBytes(events []json.RawMessage) {
	bytes := 0
	for _, event := range events {
		bytes += len(event)
	}
	p.unprojectedBytes -= bytes
	p.e.backlog.add(-bytes)
}

// pauseForBacklog lets an execution wait where SQL is too far behind. It reports whether the execution waits.
func (p *partition) pauseForBacklog(h *execution) bool {
	if !p.e.backlog.overfull() {
		return false
	}
	p.paused[h] = struct{}{}
	p.e.backlog.paused.Store(true)
	p.e.projector.wake.Notify()
	return true
}

// resumePaused continues the executions of all partitions that waited for SQL, if it has caught up.
func (e *Engine) resumePaused() {
	if e.backlog.overfull() || !e.backlog.paused.CompareAndSwap(true, false) {
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
