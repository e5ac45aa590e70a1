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

// gates hold back the executions of a partition that are past their workflows' limits. What counts is what the log says:
// an execution counts for its lane from its start to its end, for its pace from its start on for a period. A slot is not
// a thing that is given and taken back, and so none can leak. The partition's lock guards them.
type limiter struct {
	// tickets are the executions with limits that have not ended, parked ones too.
	waiters map[string]*waiter
	// lanes and paces are what is counted, by name.
	concurrencyKeys, rateKeys map[string]*counter
	queues                    map[queueKey]*queue
	// waiting is how many of a user's have not been let through, suspended ones among them.
	waiting map[string]int
	// sweepAt is past how many paces those that are over are looked for.
	sweepAt int
}

// ticket is an execution with limits.
type waiter struct {
	definition.Limits
	id, workflow, user string
	priority           int
	created            int64
	stage              stage
	// started is when it began, in microseconds since 1970.
	started int64
	// queue is nil while it is suspended.
	queue *queue
	index int
}

// stage is how far an execution has come: each is later than the one before.
type stage int

const (
	// stageWaiting: a limit holds it back.
	stageWaiting stage = iota
	// stageLet: it may begin, and counts, but the log does not have its beginning.
	stageAdmitted
	stageStarted
	stageEnded
)

// counter is what is counted of a lane or a pace.
type counter struct {
	// busy are those let through: of a lane until their end, of a pace until they begin.
	busy int
	// times are when those of a pace began, in order; period is the longest that any of them counts.
	times  []int64
	period int64
	// queues are those that wait for it.
	queues []*queue
}

// queueKey names those that wait for the same: of them, only the first is looked at.
type queueKey struct{ concurrency, rate string }

// queue is a heap of those that wait, in the order of priority, then of arrival.
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

// join has an execution wait. It may be let through at once: see next.
func (g *limiter) add(t *waiter) {
	t.stage = stageWaiting
	g.waiters[t.id] = t
	g.waiting[t.user]++
	g.enqueue(t)
}

// enqueue has an execution wait for its turn; one that is suspended waits for none.
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

// regain counts what SQL has.
func (g *limiter) restore(t *waiter) {
	if t.stage == stageEnded {
		for _, pace := range g.counters(definition.Limits{RateKey: t.RateKey, Period: t.Period}) {
			pace.record(t.started)
		}
		return
	}
	g.add(t)
	if t.started > 0 {
		g.started(t, machine.Moment(t.started))
	}
}

// counters are what an execution counts for.
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

// beside are the queues that may move when an execution does: those that wait for what it counts for.
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

// next lets the first of some queues through that may pass. Nil: none may.
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

// opens is when an execution may pass as far as its pace goes. Zero: not before another one has begun or ended.
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

// note counts a beginning.
func (c *counter) record(at int64) {
	i := sort.Search(len(c.times), func(i int) bool { return c.times[i] > at })
	c.times = slices.Insert(c.times, i, at)
}

// begun notes that an execution has begun, by the log or about to be in it.
func (g *limiter) started(t *waiter, at time.Time) {
	if t.stage >= stageStarted {
		return
	}
	lane, pace := g.countersOf(t)
	switch t.stage {
	case stageWaiting:
		g.stopWaiting(t)
		if lane != nil {
			lane.busy++
		}
	case stageAdmitted:
		if pace != nil {
			pace.busy--
		}
	}
	t.stage, t.started = stageStarted, at.UnixMicro()
	if pace != nil {
		pace.times = pace.since(t.started - pace.period)
		pace.record(t.started)
	}
	g.sweep(t.started)
}

func (g *limiter) countersOf(t *waiter) (lane, pace *counter) {
	if t.ConcurrencyKey != "" {
		lane = counterOf(g.concurrencyKeys, t.ConcurrencyKey)
	}
	if t.RateKey != "" {
		pace = counterOf(g.rateKeys, t.RateKey)
	}
	return lane, pace
}

// leave notes that an execution has ended, or will not begin, and tells which queues may move.
func (g *limiter) remove(t *waiter) []*queue {
	if t.stage == stageEnded {
		return nil
	}
	moved := g.sameQueue(t)
	lane, pace := g.countersOf(t)
	if t.stage == stageWaiting {
		g.stopWaiting(t)
	} else if lane != nil {
		lane.busy--
	}
	if t.stage == stageAdmitted && pace != nil {
		pace.busy--
	}
	t.stage = stageEnded
	delete(g.waiters, t.id)
	if lane != nil && lane.idle() {
		delete(g.concurrencyKeys, t.ConcurrencyKey)
	}
	return moved
}

// release has an execution wait no more.
func (g *limiter) stopWaiting(t *waiter) {
	g.dequeue(t)
	if g.waiting[t.user]--; g.waiting[t.user] == 0 {
		delete(g.waiting, t.user)
	}
}

// unqueue takes an execution out of its queue, if it is in one.
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

// sweepFrom is how many paces there may be before those that are over are looked for.
const sweepFrom = 1000

// sweep forgets paces that are over, once there are twice as many as were left the last time.
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

// before is the order in which those that wait come.
func precedes(a, b *waiter) bool {
	return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.created, b.created), cmp.Compare(a.id, b.id)) < 0
}

// Len is heap.Interface's.
func (q *queue) Len() int { return len(q.waiters) }

// Less is heap.Interface's.
func (q *queue) Less(i, j int) bool { return precedes(q.waiters[i], q.waiters[j]) }

// Swap is heap.Interface's.
func (q *queue) Swap(i, j int) {
	q.waiters[i], q.waiters[j] = q.waiters[j], q.waiters[i]
	q.waiters[i].index, q.waiters[j].index = i, j
}

// Push is heap.Interface's.
func (q *queue) Push(x any) {
	t, _ := x.(*waiter)
	t.index = len(q.waiters)
	q.waiters = append(q.waiters, t)
}

// Pop is heap.Interface's.
func (q *queue) Pop() any {
	last := q.waiters[len(q.waiters)-1]
	q.waiters[len(q.waiters)-1] = nil
	q.waiters = q.waiters[:len(q.waiters)-1]
	return last
}
