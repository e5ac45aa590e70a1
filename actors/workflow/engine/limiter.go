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
	// startedAt is in microseconds since the epoch; 0 before the start.
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
func (g *limiter) add(t *waiter) {
	t.stage = stageWaiting
	g.waiters[t.id] = t
	g.waiting[t.user]++
	g.enqueue(t)
}

// enqueue puts an execution into its queue.
func (g *limiter) enqueue(t *waiter) {
	key := queueKey{t.ConcurrencyKey, t.RateKey}
	t.queue = g.queues[key]
	if t.queue == nil {
		t.queue = &queue{key: key}
		g.queues[key] = t.queue
		for _, c := range g.counters(t.Limits) {
			c.queues = append(c.queues, t.queue)
		}
	}
	heap.Push(t.queue, t)
}

// restore counts an execution that SQL has.
func (g *limiter) restore(t *waiter) {
	if t.stage == stageEnded {
		for _, rate := range g.counters(definition.Limits{RateKey: t.RateKey, Period: t.Period}) {
			rate.record(t.started)
		}
		return
	}
	g.add(t)
	if t.started > 0 {
		g.started(t, machine.Moment(t.started))
	}
}

// counters are the counters of an execution's keys.
func (g *limiter) counters(t definition.Limits) (all []*counter) {
	if t.ConcurrencyKey != "" {
		all = append(all, counterOf(g.concurrencyKeys, t.ConcurrencyKey))
	}
	if t.RateKey != "" {
		c := counterOf(g.rateKeys, t.RateKey)
		c.period = max(c.period, t.Period.Microseconds())
		all = append(all, c)
	}
	return all
}

// sameQueue are the queues that may move when an execution does: those that wait for one of its keys.
func (g *limiter) sameQueue(t *waiter) []*queue {
	all := []*queue{}
	for _, c := range g.counters(t.Limits) {
		for _, q := range c.queues {
			if !slices.Contains(all, q) {
				all = append(all, q)
			}
		}
	}
	return all
}

// admitNext admits the first execution of some queues whose limits allow it; nil: none do.
func (g *limiter) admitNext(queues []*queue, now time.Time) *waiter {
	var best *waiter
	for _, q := range queues {
		if len(q.waiters) > 0 && (best == nil || precedes(q.waiters[0], best)) && g.isAdmissible(q.waiters[0], now) {
			best = q.waiters[0]
		}
	}
	if best == nil {
		return nil
	}
	g.stopWaiting(best)
	best.stage = stageAdmitted
	for _, c := range g.counters(best.Limits) {
		c.busy++
	}
	return best
}

func (g *limiter) isAdmissible(t *waiter, now time.Time) bool {
	opens := g.opensAt(t, now)
	return !opens.IsZero() && !opens.After(now)
}

// opensAt is when an execution's rate limit allows it. Zero: not before another one starts or ends.
func (g *limiter) opensAt(t *waiter, now time.Time) time.Time {
	if t.ConcurrencyKey != "" && g.concurrencyKeys[t.ConcurrencyKey].busy >= t.MaxConcurrent {
		return time.Time{}
	}
	if t.RateKey == "" {
		return now
	}
	c := g.rateKeys[t.RateKey]
	if c.busy >= t.Rate {
		return time.Time{}
	}
	recent := c.since(now.UnixMicro() - t.Period.Microseconds())
	if over := len(recent) + c.busy - t.Rate; over >= 0 {
		return machine.Moment(recent[over]).Add(t.Period)
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
func (g *limiter) started(t *waiter, at time.Time) {
	if t.stage >= stageStarted {
		return
	}
	concurrency, rate := g.countersOf(t)
	switch t.stage {
	case stageWaiting:
		g.stopWaiting(t)
		if concurrency != nil {
			concurrency.busy++
		}
	case stageAdmitted:
		if rate != nil {
			rate.busy--
		}
	}
	t.stage, t.started = stageStarted, at.UnixMicro()
	if rate != nil {
		rate.times = rate.since(t.started - rate.period)
		rate.record(t.started)
	}
	g.sweep(t.started)
}

func (g *limiter) countersOf(t *waiter) (concurrency, rate *counter) {
	if t.ConcurrencyKey != "" {
		concurrency = counterOf(g.concurrencyKeys, t.ConcurrencyKey)
	}
	if t.RateKey != "" {
		rate = counterOf(g.rateKeys, t.RateKey)
	}
	return concurrency, rate
}

// remove counts an execution no more that has ended, or will not start. It returns the queues that may move.
func (g *limiter) remove(t *waiter) []*queue {
	if t.stage == stageEnded {
		return nil
	}
	moved := g.sameQueue(t)
	concurrency, rate := g.countersOf(t)
	if t.stage == stageWaiting {
		g.stopWaiting(t)
	} else if concurrency != nil {
		concurrency.busy--
	}
	if t.stage == stageAdmitted && rate != nil {
		rate.busy--
	}
	t.stage = stageEnded
	delete(g.waiters, t.id)
	if concurrency != nil && concurrency.idle() {
		delete(g.concurrencyKeys, t.ConcurrencyKey)
	}
	return moved
}

// stopWaiting takes an execution out of its queue for good.
func (g *limiter) stopWaiting(t *waiter) {
	g.dequeue(t)
	if g.waiting[t.user]--; g.waiting[t.user] == 0 {
		delete(g.waiting, t.user)
	}
}

// dequeue takes an execution out of its queue, if it is in one.
func (g *limiter) dequeue(t *waiter) {
	q := t.queue
	if q == nil {
		return
	}
	heap.Remove(q, t.index)
	t.queue = nil
	if len(q.waiters) > 0 {
		return
	}
	delete(g.queues, q.key)
	for _, c := range g.counters(t.Limits) {
		c.queues = slices.DeleteFunc(c.queues, func(other *queue) bool { return other == q })
	}
}

func (c *counter) idle() bool { return c.busy == 0 && len(c.queues) == 0 && len(c.times) == 0 }

// sweepFrom is how many rate keys there may be before those without effect are removed.
const sweepFrom = 1000

// sweep removes rate keys without effect, once there are twice as many keys as the last sweep left.
func (g *limiter) sweep(now int64) {
	if len(g.rateKeys) <= max(g.sweepAt, sweepFrom) {
		return
	}
	for name, c := range g.rateKeys {
		c.times = c.since(now - c.period)
		if c.idle() {
			delete(g.rateKeys, name)
		}
	}
	g.sweepAt = 2 * len(g.rateKeys)
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
	t, _ := x.(*waiter)
	t.index = len(q.waiters)
	q.waiters = append(q.waiters, t)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := q.waiters[len(q.waiters)-1]
	q.waiters[len(q.waiters)-1] = nil
	q.waiters = q.waiters[:len(q.waiters)-1]
	return last
}
