package engine

import (
	"container/heap"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

const (
	// maxTimerSleep is the longest time between two looks at the clock.
	maxTimerSleep = time.Second
	// timerHorizon is how far ahead the timers of evicted executions are in memory; past half of it, more are read.
	timerHorizon = 10 * time.Minute
	// maxUnackedTimers bounds the transitions of an execution that the log has not acknowledged while its timers fire. Then they wait for
	// the log.
	maxUnackedTimers = 8
	// timerRetryDelay is the pause after timers, or an execution of which one is due, could not be read.
	timerRetryDelay = 100 * time.Millisecond
	// maxTimersPerPass bounds the executions that one pass wakes.
	maxTimersPerPass = 200
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
	if h.deciding {
		return // its timers are looked at afterwards
	}
	if h.isPending() {
		p.recheck(h)
	}
	if !h.running() || h.deciding || h.unacked >= maxUnackedTimers || p.pauseForBacklog(h) || p.fireOverdue(h) {
		return
	}
	if h.unacked == 0 {
		p.scheduleTimer(h.nextTimer(), h)
	}
}

// fireOverdue applies the timers of a loaded execution that are due, and reports whether there are any; the execution may be deciding
// then. It precedes whatever else happens to the execution at that time: no call is made, and no result or event taken, after the timeout
// that ends it.
func (p *partition) fireOverdue(h *execution) bool {
	now := p.e.Now()
	if next := h.nextTimer(); next.IsZero() || next.After(now) {
		return false
	}
	var outcomes []machine.Outcome
	// Several may be due at once, after a restart or a suspension: the earliest is applied first.
	for _, t := range slices.SortedStableFunc(slices.Values(h.machine.Timers()), func(a, b machine.Timer) int { return a.At.Compare(b.At) }) {
		if !t.At.After(now) {
			outcomes = append(outcomes, machine.TimerDue(t.ID, now))
			p.e.observeDelay(h, t, p.since, now)
		}
	}
	return p.decide(h, followUp{}, outcomes...)
}

// observeDelay records how late a timer fires: after it was due, and an owner since a time could have fired it.
func (e *Engine) observeDelay(h *execution, t machine.Timer, since, now time.Time) {
	from := t.At
	for _, possible := range []time.Time{since, h.resumedAt} {
		if possible.After(from) {
			from = possible
		}
	}
	e.metrics.timerDelay.Observe(max(0, now.Sub(from)).Seconds())
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
	defer p.mu.Unlock()
	for range maxTimersPerPass {
		p.mu.yield()
		id, ok := p.timers.due(now)
		if !ok {
			break
		}
		if h := p.executions[id]; h != nil {
			p.guarded(h, func() { p.fireTimers(h) })
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
