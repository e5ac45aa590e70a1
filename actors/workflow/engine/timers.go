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
	// maxTimersPerPass bounds the executions that one pass wakes.
	maxTimersPerPass = 200
	// slotRetryDelay is the pause before an evicted execution whose timer is due looks for a slot again.
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
	if h.machine == nil || h.finished {
		return
	}
	now := p.e.Now()
	var outcomes []machine.Outcome
	// Several may be due at once, after a restart or a suspension: the earliest is applied first.
	for _, t := range slices.SortedStableFunc(slices.Values(h.machine.Timers()), func(a, b machine.Timer) int { return a.At.Compare(b.At) }) {
		if !t.At.After(now) {
			outcomes = append(outcomes, machine.TimerDue(t.ID, now))
		}
	}
	if len(outcomes) > 0 {
		p.decide(h, nil, outcomes...)
		return
	}
	if h.unacked == 0 {
		p.scheduleTimer(h.nextTimer(), h)
	}
}

// runTimers wakes executions whose time has come, until the partition is closed.
func (p *partition) runTimers() {
	for p.ctx.Err() == nil {
		_ = wait.Until(p.ctx, p.timerWake.C(), p.fireDue())
	}
}

// fireDue wakes the executions that are due and returns the time until the next are.
func (p *partition) fireDue() time.Duration {
	now := p.e.Now()
	p.mu.Lock()
	nearEnd := now.Add(timerHorizon / 2).After(p.timersUntil)
	p.mu.Unlock()
	if nearEnd {
		p.loadTimers(now.Add(timerHorizon))
	}
	p.mu.Lock()
	// Evicted executions are loaded as there are slots for them.
	room := max(p.e.executionSlots.free(), 0)
	var evicted []string
	for range maxTimersPerPass {
		id, ok := p.timers.due(now)
		if !ok {
			break
		}
		if h := p.executions[id]; h != nil {
			p.fireTimers(h)
			continue
		}
		if len(evicted) >= room {
			p.timers.add(now.Add(slotRetryDelay), id)
			break
		}
		evicted = append(evicted, id)
	}
	next, more := p.timers.next()
	p.mu.Unlock()
	for _, id := range evicted {
		if err := p.withExecution(p.ctx, id, p.fireTimers); err != nil && !IsNotFound(err) {
			p.mu.Lock()
			p.timers.add(now.Add(maxTimerSleep), id) // retry
			p.mu.Unlock()
		}
	}
	if !more {
		return maxTimerSleep
	}
	return min(max(next.Sub(p.e.Now()), time.Millisecond), maxTimerSleep)
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
