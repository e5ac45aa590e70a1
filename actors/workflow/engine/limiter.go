package engine

import (
	"cmp"
	"container/heap"
	"slices"
	"sort"
	"time"

	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// limiter holds back the executions of a partition that exceed their workflows' limits. What counts is derived from the log, so that
// no slot can leak: an execution counts for its concurrency key from its start to its end, and for its rate key for a period after its
// start. The partition's lock guards it.
type limiter struct {
	// waiters are the executions with limits that have not ended, evicted ones included.
	waiters map[string]*waiter
	// concurrencyKeys and rateKeys are the counters by key.
	concurrencyKeys, rateKeys map[string]*counter
	queues                    map[queueKey]*queue
	// waiting is how many executions of a user wait, suspended ones included.
	waiting map[string]int
	// sweepAt is the number of rate keys past which those without effect are removed.
	sweepAt int
}

// waiter is an execution with limits.
type waiter struct {
	definition.Limits
	id, workflow, user string
	priority           int
	created            int64
	stage              stage
	// started is the time of the start in microseconds since the epoch; 0 before.
	started int64
	// queue is nil unless it waits; a suspended one does not.
	queue *queue
	index int
}

// stage is an execution's progress; stages are in order.
type stage int

const (
	// stageWaiting: a limit holds it back, or may.
	stageWaiting stage = iota
	// stageAdmitted: it may start, and counts, but has not started.
	stageAdmitted
	stageStarted
	stageEnded
)

// counter is what counts for one key.
type counter struct {
	// busy counts the admitted: of a concurrency key until their end, of a rate key until their start.
	busy int
	// times are the starts that a rate key counts, in order; period is the longest time for which any of them counts.
	times  []int64
	period int64
	// queues are the queues that wait for the key.
	queues []*queue
}

// queueKey identifies a queue: its executions wait for the same keys, so that only the first need be looked at.
type queueKey struct{ concurrency, rate string }

// queue is a heap of waiters, by priority, then by age.
type queue struct {
	key     queueKey
	waiters []*waiter
}

func newLimiter() limiter {
	return limiter{
		waiters: map[string]*waiter{}, concurrencyKeys: map[string]*counter{}, rateKeys: map[string]*counter{}, queues: map[queueKey]*queue{},
		waiting: map[string]int{},
	}
}

func counterOf(all map[string]*counter, name string) *counter {
	c := all[name]
	if c == nil {
		c = &counter{}
		all[name] = c
	}
	return c
}

// add queues an execution. It may be admitted at once, see admitNext.
func (l *limiter) add(w *waiter) {
	w.stage = stageWaiting
	l.waiters[w.id] = w
	l.waiting[w.user]++
	l.enqueue(w)
}

// enqueue puts an execution into its queue.
func (l *limiter) enqueue(w *waiter) {
	key := queueKey{w.ConcurrencyKey, w.RateKey}
	w.queue = l.queues[key]
	if w.queue == nil {
		w.queue = &queue{key: key}
		l.queues[key] = w.queue
		for _, c := range l.counters(w.Limits) {
			c.queues = append(c.queues, w.queue)
		}
	}
	heap.Push(w.queue, w)
}

// restore counts an execution that SQL has.
func (l *limiter) restore(w *waiter) {
	if w.stage == stageEnded {
		for _, rate := range l.counters(definition.Limits{RateKey: w.RateKey, Period: w.Period}) {
			rate.record(w.started)
		}
		return
	}
	l.add(w)
	if w.started > 0 {
		l.started(w, machine.Moment(w.started))
	}
}

// counters are the counters of an execution's keys.
func (l *limiter) counters(w definition.Limits) (all []*counter) {
	if w.ConcurrencyKey != "" {
		all = append(all, counterOf(l.concurrencyKeys, w.ConcurrencyKey))
	}
	if w.RateKey != "" {
		c := counterOf(l.rateKeys, w.RateKey)
		c.period = max(c.period, w.Period.Microseconds())
		all = append(all, c)
	}
	return all
}

// sameQueue are the queues that may move when an execution does: those that wait for one of its keys.
func (l *limiter) sameQueue(w *waiter) []*queue {
	all := []*queue{}
	for _, c := range l.counters(w.Limits) {
		for _, q := range c.queues {
			if !slices.Contains(all, q) {
				all = append(all, q)
			}
		}
	}
	return all
}

// admitNext admits the first execution of some queues whose limits allow it; nil: none do.
func (l *limiter) admitNext(queues []*queue, now time.Time) *waiter {
	var best *waiter
	for _, q := range queues {
		if len(q.waiters) > 0 && (best == nil || precedes(q.waiters[0], best)) && l.isAdmissible(q.waiters[0], now) {
			best = q.waiters[0]
		}
	}
	if best == nil {
		return nil
	}
	l.stopWaiting(best)
	best.stage = stageAdmitted
	for _, c := range l.counters(best.Limits) {
		c.busy++
	}
	return best
}

func (l *limiter) isAdmissible(w *waiter, now time.Time) bool {
	opens := l.opensAt(w, now)
	return !opens.IsZero() && !opens.After(now)
}

// opensAt is when an execution's rate limit allows it. Zero: not before another one starts or ends.
func (l *limiter) opensAt(w *waiter, now time.Time) time.Time {
	if w.ConcurrencyKey != "" && l.concurrencyKeys[w.ConcurrencyKey].busy >= w.MaxConcurrent {
		return time.Time{}
	}
	if w.RateKey == "" {
		return now
	}
	c := l.rateKeys[w.RateKey]
	if c.busy >= w.Rate {
		return time.Time{}
	}
	recent := c.since(now.UnixMicro() - w.Period.Microseconds())
	if over := len(recent) + c.busy - w.Rate; over >= 0 {
		return machine.Moment(recent[over]).Add(w.Period)
	}
	return now
}

// since are the times after one.
func (c *counter) since(at int64) []int64 {
	return c.times[sort.Search(len(c.times), func(i int) bool { return c.times[i] > at }):]
}

// record counts a start.
func (c *counter) record(at int64) {
	i := sort.Search(len(c.times), func(i int) bool { return c.times[i] > at })
	c.times = slices.Insert(c.times, i, at)
}

// started counts an execution that has started, or whose start is about to be in the log.
func (l *limiter) started(w *waiter, at time.Time) {
	if w.stage >= stageStarted {
		return
	}
	concurrency, rate := l.countersOf(w)
	switch w.stage {
	case stageWaiting:
		l.stopWaiting(w)
		if concurrency != nil {
			concurrency.busy++
		}
	case stageAdmitted:
		if rate != nil {
			rate.busy--
		}
	}
	w.stage, w.started = stageStarted, at.UnixMicro()
	if rate != nil {
		rate.times = rate.since(w.started - rate.period)
		rate.record(w.started)
	}
	l.sweep(w.started)
}

func (l *limiter) countersOf(w *waiter) (concurrency, rate *counter) {
	if w.ConcurrencyKey != "" {
		concurrency = counterOf(l.concurrencyKeys, w.ConcurrencyKey)
	}
	if w.RateKey != "" {
		rate = counterOf(l.rateKeys, w.RateKey)
	}
	return concurrency, rate
}

// remove counts an execution no more that has ended, or will not start. It returns the queues that may move.
func (l *limiter) remove(w *waiter) []*queue {
	if w.stage == stageEnded {
		return nil
	}
	moved := l.sameQueue(w)
	concurrency, rate := l.countersOf(w)
	if w.stage == stageWaiting {
		l.stopWaiting(w)
	} else if concurrency != nil {
		concurrency.busy--
	}
	if w.stage == stageAdmitted && rate != nil {
		rate.busy--
	}
	w.stage = stageEnded
	delete(l.waiters, w.id)
	if concurrency != nil && concurrency.idle() {
		delete(l.concurrencyKeys, w.ConcurrencyKey)
	}
	return moved
}

// stopWaiting takes an execution out of its queue for good.
func (l *limiter) stopWaiting(w *waiter) {
	l.dequeue(w)
	if l.waiting[w.user]--; l.waiting[w.user] == 0 {
		delete(l.waiting, w.user)
	}
}

// dequeue takes an execution out of its queue, if it is in one.
func (l *limiter) dequeue(w *waiter) {
	q := w.queue
	if q == nil {
		return
	}
	heap.Remove(q, w.index)
	w.queue = nil
	if len(q.waiters) > 0 {
		return
	}
	delete(l.queues, q.key)
	for _, c := range l.counters(w.Limits) {
		c.queues = slices.DeleteFunc(c.queues, func(other *queue) bool { return other == q })
	}
}

func (c *counter) idle() bool { return c.busy == 0 && len(c.queues) == 0 && len(c.times) == 0 }

// sweepFrom is how many rate keys there may be before those without effect are removed.
const sweepFrom = 1000

// sweep removes rate keys without effect, once there are twice as many keys as the last sweep left.
func (l *limiter) sweep(now int64) {
	if len(l.rateKeys) <= max(l.sweepAt, sweepFrom) {
		return
	}
	for name, c := range l.rateKeys {
		c.times = c.since(now - c.period)
		if c.idle() {
			delete(l.rateKeys, name)
		}
	}
	l.sweepAt = 2 * len(l.rateKeys)
}

// precedes is the order of waiters.
func precedes(a, b *waiter) bool {
	return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.created, b.created), cmp.Compare(a.id, b.id)) < 0
}

// Len implements heap.Interface.
func (q *queue) Len() int { return len(q.waiters) }

// Less implements heap.Interface.
func (q *queue) Less(i, j int) bool { return precedes(q.waiters[i], q.waiters[j]) }

// Swap implements heap.Interface.
func (q *queue) Swap(i, j int) {
	q.waiters[i], q.waiters[j] = q.waiters[j], q.waiters[i]
	q.waiters[i].index, q.waiters[j].index = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	w, _ := x.(*waiter)
	w.index = len(q.waiters)
	q.waiters = append(q.waiters, w)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := q.waiters[len(q.waiters)-1]
	q.waiters[len(q.waiters)-1] = nil
	q.waiters = q.waiters[:len(q.waiters)-1]
	return last
}
