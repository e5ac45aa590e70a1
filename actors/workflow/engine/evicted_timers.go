package engine

import (
	"sync"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

const (
	// timerReaders is how many evicted executions are loaded at once.
	timerReaders = 8
	// loadAhead is how long before its timer is due an evicted execution is loaded; at most half of workflow.short_wait.
	loadAhead = time.Second
	// slotRetryDelay is the pause before an evicted execution whose timer is due looks for room again.
	slotRetryDelay = 20 * time.Millisecond
)

// evictedTimers are the timers of a partition's evicted executions, which are in SQL.
type evictedTimers struct{ p *partition }

// add has an evicted execution loaded in time for its timer, at a time in microseconds since the epoch: SQL may be slow.
func (t evictedTimers) add(id string, due int64) {
	t.p.timers.add(machine.Moment(due).Add(-min(loadAhead, t.p.e.Config.ShortWait/2)), id)
}

// run loads the evicted executions whose timers are about to be due, until the partition is closed. It has a goroutine of its own,
// because reading them must not hold up the timers of those in memory.
func (t evictedTimers) run() {
	p := t.p
	for p.ctx.Err() == nil {
		sleep := maxTimerSleep
		if !t.readAhead() {
			sleep = timerRetryDelay
		}
		p.mu.Lock()
		room := p.e.executionSlots.Room(p.e.Config.MaxQueued)
		batch := p.evictedDue[:min(len(p.evictedDue), room, maxTimersPerPass)]
		p.evictedDue = p.evictedDue[len(batch):]
		left := len(p.evictedDue)
		p.mu.Unlock()
		t.load(batch)
		switch {
		case left == 0:
			_ = wait.Until(p.ctx, p.evictedWake.C(), sleep)
		case len(batch) == 0: // there is no room
			_ = wait.Until(p.ctx, nil, slotRetryDelay)
		}
	}
}

// readAhead reads further timers where those in memory will not do for long. It reports false where that fails.
func (t evictedTimers) readAhead() bool {
	now := t.p.e.Now()
	t.p.mu.Lock()
	nearEnd := now.Add(timerHorizon / 2).After(t.p.timersUntil)
	t.p.mu.Unlock()
	return !nearEnd || t.read(now.Add(timerHorizon))
}

// load loads executions and fires their timers, some at a time.
func (t evictedTimers) load(ids []string) {
	p := t.p
	var readers sync.WaitGroup
	queue := make(chan string)
	for range min(len(ids), timerReaders) {
		readers.Go(func() {
			for id := range queue {
				if err := p.withExecution(p.ctx, id, p.fireTimers); err != nil && !IsNotFound(err) {
					p.mu.Lock()
					p.timers.add(p.e.Now().Add(timerRetryDelay), id)
					p.mu.Unlock()
				}
			}
		})
	}
	for _, id := range ids {
		queue <- id
	}
	close(queue)
	readers.Wait()
}

// read reads the timers of evicted executions that are due before a time. It reports false where that fails: the next pass tries again.
func (t evictedTimers) read(until time.Time) bool {
	p := t.p
	p.mu.Lock()
	before := p.timersUntil
	p.timersUntil = until // an execution that is evicted during the read, which may miss it, adds its timer itself
	p.mu.Unlock()
	rows, err := p.e.store.due(p.ctx, p.number, until)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.timersUntil = before
		return false
	}
	for _, row := range rows {
		t.add(row.ID, row.DueAt)
	}
	for _, h := range p.executions {
		if h.running() && !h.deciding {
			p.scheduleTimer(h.nextTimer(), h)
		}
	}
	return true
}
