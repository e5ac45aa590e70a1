package engine

import (
	"container/heap"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

const (
	// maxTimerSleep is the longest time between two looks at the clock.
	maxTimerSleep = time.Second
	// timerHorizon is how far ahead the timers of evicted executions are in memory; past half of it, more are read.
	timerHorizon = 10 * time.Minute
	// maxTimersPerPass bounds the executions that one pass wakes.
	maxTimersPerPass = 200
	// timerReaders is how many evicted executions are loaded at once.
	timerReaders = 8
	// slotRetryDelay is the pause before an evicted execution whose timer is due looks for room again.
	slotRetryDelay = 20 * time.Millisecond
)

// timers are the times at which executions are looked at. A time that is set twice fires once. The machine decides what is due then: a
// timer that fires too early, or for nothing, has no effect.
type timers struct {
	heap timerHeap
	set  map[timer]struct{}
	// wake is set when a timer is added.
	wake wait.Signal
}

type timer struct {
	at int64
	id string
}

func (t *timers) add(at time.Time, id string) {
	one := timer{at.UnixNano(), id}
	if _, known := t.set[one]; known {
		return
	}
	if t.set == nil {
		t.set = map[timer]struct{}{}
	}
	t.set[one] = struct{}{}
	heap.Push(&t.heap, one)
	t.wake.Notify()
}

// due removes the next execution whose time has come.
func (t *timers) due(now time.Time) (id string, ok bool) {
	if len(t.heap) == 0 || t.heap[0].at > now.UnixNano() {
		return "", false
	}
	one, _ := heap.Pop(&t.heap).(timer)
	delete(t.set, one)
	return one.id, true
}

// next is the time of the next one.
func (t *timers) next() (time.Time, bool) {
	if len(t.heap) == 0 {
		return time.Time{}, false
	}
	return time.Unix(0, t.heap[0].at), true
}

// timerHeap implements heap.Interface.
type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *timerHeap) Push(x any) {
	one, _ := x.(timer)
	*h = append(*h, one)
}

// Pop implements heap.Interface.
func (h *timerHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// scheduleTimer has an execution looked at when its next timer is due. One beyond the horizon is read from SQL in time.
func (p *partition) scheduleTimer(due time.Time, h *execution) {
	if due.IsZero() || due.After(p.timersUntil) && due.Sub(p.e.Now()) > p.e.Config.ShortWait {
		return
	}
	p.timers.add(due, h.row.ID)
}

// fireTimers applies an execution's timers that are due.
func (p *partition) fireTimers(h *execution) {
	if h.machine == nil && !h.finished {
		p.recheck(h)
	}
	if h.machine == nil || h.finished || p.fireOverdue(h) {
		return
	}
	if h.unacked == 0 {
		p.scheduleTimer(h.nextTimer(), h)
	}
}

// fireOverdue applies the timers of a loaded execution that are due, and reports whether there are any. It precedes whatever else
// happens to the execution at that time: no call is made, and no result or event taken, after the timeout that ends it.
func (p *partition) fireOverdue(h *execution) bool {
	now := p.e.Now()
	if next := h.nextTimer(); next.IsZero() || next.After(now) || h.broken {
		return false
	}
	var outcomes []machine.Outcome
	// Several may be due at once, after a restart or a suspension: the earliest is applied first.
	for _, t := range slices.SortedStableFunc(slices.Values(h.machine.Timers()), func(a, b machine.Timer) int { return a.At.Compare(b.At) }) {
		if !t.At.After(now) {
			outcomes = append(outcomes, machine.TimerDue(t.ID, now))
			p.observeDelay(h, t, now)
		}
	}
	return p.decide(h, nil, outcomes...)
}

// observeDelay records how late a timer fires: after it was due, and this owner could have fired it.
func (p *partition) observeDelay(h *execution, t machine.Timer, now time.Time) {
	from := t.At
	for _, possible := range []time.Time{p.since, h.resumedAt} {
		if possible.After(from) {
			from = possible
		}
	}
	p.e.metrics.timerDelay.Observe(max(0, now.Sub(from)).Seconds())
	observeTimer(firedTimer{Execution: h.row.ID, Timer: t.ID, Due: t.At, From: from, Fired: now})
}

// runTimers wakes executions whose time has come, until the partition is closed.
func (p *partition) runTimers() {
	for p.ctx.Err() == nil {
		_ = wait.Until(p.ctx, p.timerWake.C(), p.fireDue())
	}
}

// fireDue fires the timers of loaded executions that are due, has evicted ones loaded, and returns the time until the next are due.
func (p *partition) fireDue() time.Duration {
	now := p.e.Now()
	p.mu.Lock()
	nearEnd := now.Add(timerHorizon / 2).After(p.timersUntil)
	p.mu.Unlock()
	if nearEnd {
		p.loadTimers(now.Add(timerHorizon))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for range maxTimersPerPass {
		id, ok := p.timers.due(now)
		if !ok {
			break
		}
		if h := p.executions[id]; h != nil {
			p.fireTimers(h)
			continue
		}
		p.evictedDue = append(p.evictedDue, id)
		p.evictedWake.Notify()
	}
	next, more := p.timers.next()
	if !more {
		return maxTimerSleep
	}
	return min(max(next.Sub(p.e.Now()), time.Millisecond), maxTimerSleep)
}

// runEvictedTimers loads the evicted executions whose timers are due, until the partition is closed. It has a goroutine of its own,
// because reading them must not hold up the timers of those in memory.
func (p *partition) runEvictedTimers() {
	for p.ctx.Err() == nil {
		p.mu.Lock()
		room := p.e.executionSlots.room(p.e.Config.MaxQueued)
		batch := p.evictedDue[:min(len(p.evictedDue), room, maxTimersPerPass)]
		p.evictedDue = p.evictedDue[len(batch):]
		left := len(p.evictedDue)
		p.mu.Unlock()
		p.loadDue(batch)
		switch {
		case left == 0:
			_ = wait.Until(p.ctx, p.evictedWake.C(), maxTimerSleep)
		case len(batch) == 0: // there is no room
			_ = wait.Until(p.ctx, nil, slotRetryDelay)
		}
	}
}

// loadDue loads executions and fires their timers, some at a time.
func (p *partition) loadDue(ids []string) {
	var readers sync.WaitGroup
	queue := make(chan string)
	for range min(len(ids), timerReaders) {
		readers.Go(func() {
			for id := range queue {
				if err := p.withExecution(p.ctx, id, p.fireTimers); err != nil && !IsNotFound(err) {
					p.mu.Lock()
					p.timers.add(p.e.Now().Add(maxTimerSleep), id) // retry
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

// loadTimers reads the timers of evicted executions that are due before a time. If that fails, the next pass tries again.
func (p *partition) loadTimers(until time.Time) {
	p.mu.Lock()
	before := p.timersUntil
	p.timersUntil = until // an execution that is evicted during the read, which may miss it, adds its timer itself
	p.mu.Unlock()
	rows, err := p.e.store.due(p.ctx, p.number, until)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.timersUntil = before
		return
	}
	for _, row := range rows {
		p.timers.add(machine.Moment(row.DueAt), row.ID)
	}
	for _, h := range p.executions {
		if h.machine != nil && !h.finished {
			p.scheduleTimer(h.nextTimer(), h)
		}
	}
}
