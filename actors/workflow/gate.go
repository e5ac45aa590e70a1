package workflow

import (
	"cmp"
	"container/heap"
	"slices"
	"sort"
	"time"
)

// gates hold back the executions of a partition that are past their workflows' limits. What counts is what the log says:
// an execution counts for its lane from its start to its end, for its pace from its start on for a period. A slot is not
// a thing that is given and taken back, and so none can leak. The partition's lock guards them.
type gates struct {
	// tickets are the executions with limits that have not ended, parked ones too.
	tickets map[string]*ticket
	// lanes and paces are what is counted, by name.
	lanes, paces map[string]*counter
	queues       map[queueKey]*queue
	// waiting is how many of a user's have not been let through, suspended ones among them.
	waiting map[string]int
	// sweepAt is past how many paces those that are over are looked for.
	sweepAt int
}

// ticket is an execution with limits.
type ticket struct {
	terms
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
	stageLet
	stageBegun
	stageOver
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
type queueKey struct{ lane, pace string }

// queue is a heap of those that wait, in the order of priority, then of arrival.
type queue struct {
	key     queueKey
	tickets []*ticket
}

func newGates() gates {
	return gates{
		tickets: map[string]*ticket{}, lanes: map[string]*counter{}, paces: map[string]*counter{}, queues: map[queueKey]*queue{},
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
func (g *gates) join(t *ticket) {
	t.stage = stageWaiting
	g.tickets[t.id] = t
	g.waiting[t.user]++
	g.enqueue(t)
}

// enqueue has an execution wait for its turn; one that is suspended waits for none.
func (g *gates) enqueue(t *ticket) {
	key := queueKey{t.Lane, t.Pace}
	t.queue = g.queues[key]
	if t.queue == nil {
		t.queue = &queue{key: key}
		g.queues[key] = t.queue
		for _, c := range g.counters(t.terms) {
			c.queues = append(c.queues, t.queue)
		}
	}
	heap.Push(t.queue, t)
}

// regain counts what SQL has.
func (g *gates) regain(t *ticket) {
	if t.stage == stageOver {
		for _, pace := range g.counters(terms{Pace: t.Pace, Period: t.Period}) {
			pace.note(t.started)
		}
		return
	}
	g.join(t)
	if t.started > 0 {
		g.begun(t, moment(t.started))
	}
}

// counters are what an execution counts for.
func (g *gates) counters(t terms) (all []*counter) {
	if t.Lane != "" {
		all = append(all, counterOf(g.lanes, t.Lane))
	}
	if t.Pace != "" {
		c := counterOf(g.paces, t.Pace)
		c.period = max(c.period, t.Period.Microseconds())
		all = append(all, c)
	}
	return all
}

// beside are the queues that may move when an execution does: those that wait for what it counts for.
func (g *gates) beside(t *ticket) []*queue {
	all := []*queue{}
	for _, c := range g.counters(t.terms) {
		for _, q := range c.queues {
			if !slices.Contains(all, q) {
				all = append(all, q)
			}
		}
	}
	return all
}

// next lets the first of some queues through that may pass. Nil: none may.
func (g *gates) next(queues []*queue, now time.Time) *ticket {
	var best *ticket
	for _, q := range queues {
		if len(q.tickets) > 0 && (best == nil || before(q.tickets[0], best)) && g.passable(q.tickets[0], now) {
			best = q.tickets[0]
		}
	}
	if best == nil {
		return nil
	}
	g.release(best)
	best.stage = stageLet
	for _, c := range g.counters(best.terms) {
		c.busy++
	}
	return best
}

func (g *gates) passable(t *ticket, now time.Time) bool {
	opens := g.opens(t, now)
	return !opens.IsZero() && !opens.After(now)
}

// opens is when an execution may pass as far as its pace goes. Zero: not before another one has begun or ended.
func (g *gates) opens(t *ticket, now time.Time) time.Time {
	if t.Lane != "" && g.lanes[t.Lane].busy >= t.Most {
		return time.Time{}
	}
	if t.Pace == "" {
		return now
	}
	c := g.paces[t.Pace]
	if c.busy >= t.Rate {
		return time.Time{}
	}
	recent := c.since(now.UnixMicro() - t.Period.Microseconds())
	if over := len(recent) + c.busy - t.Rate; over >= 0 {
		return moment(recent[over]).Add(t.Period)
	}
	return now
}

// since are the times after one.
func (c *counter) since(at int64) []int64 {
	return c.times[sort.Search(len(c.times), func(i int) bool { return c.times[i] > at }):]
}

// note counts a beginning.
func (c *counter) note(at int64) {
	i := sort.Search(len(c.times), func(i int) bool { return c.times[i] > at })
	c.times = slices.Insert(c.times, i, at)
}

// begun notes that an execution has begun, by the log or about to be in it.
func (g *gates) begun(t *ticket, at time.Time) {
	if t.stage >= stageBegun {
		return
	}
	lane, pace := g.laneAndPace(t)
	switch t.stage {
	case stageWaiting:
		g.release(t)
		if lane != nil {
			lane.busy++
		}
	case stageLet:
		if pace != nil {
			pace.busy--
		}
	}
	t.stage, t.started = stageBegun, at.UnixMicro()
	if pace != nil {
		pace.times = pace.since(t.started - pace.period)
		pace.note(t.started)
	}
	g.sweep(t.started)
}

func (g *gates) laneAndPace(t *ticket) (lane, pace *counter) {
	if t.Lane != "" {
		lane = counterOf(g.lanes, t.Lane)
	}
	if t.Pace != "" {
		pace = counterOf(g.paces, t.Pace)
	}
	return lane, pace
}

// leave notes that an execution has ended, or will not begin, and tells which queues may move.
func (g *gates) leave(t *ticket) []*queue {
	if t.stage == stageOver {
		return nil
	}
	moved := g.beside(t)
	lane, pace := g.laneAndPace(t)
	if t.stage == stageWaiting {
		g.release(t)
	} else if lane != nil {
		lane.busy--
	}
	if t.stage == stageLet && pace != nil {
		pace.busy--
	}
	t.stage = stageOver
	delete(g.tickets, t.id)
	if lane != nil && lane.idle() {
		delete(g.lanes, t.Lane)
	}
	return moved
}

// release has an execution wait no more.
func (g *gates) release(t *ticket) {
	g.unqueue(t)
	if g.waiting[t.user]--; g.waiting[t.user] == 0 {
		delete(g.waiting, t.user)
	}
}

// unqueue takes an execution out of its queue, if it is in one.
func (g *gates) unqueue(t *ticket) {
	q := t.queue
	if q == nil {
		return
	}
	heap.Remove(q, t.index)
	t.queue = nil
	if len(q.tickets) > 0 {
		return
	}
	delete(g.queues, q.key)
	for _, c := range g.counters(t.terms) {
		c.queues = slices.DeleteFunc(c.queues, func(other *queue) bool { return other == q })
	}
}

func (c *counter) idle() bool { return c.busy == 0 && len(c.queues) == 0 && len(c.times) == 0 }

// sweepFrom is how many paces there may be before those that are over are looked for.
const sweepFrom = 1000

// sweep forgets paces that are over, once there are twice as many as were left the last time.
func (g *gates) sweep(now int64) {
	if len(g.paces) <= max(g.sweepAt, sweepFrom) {
		return
	}
	for name, c := range g.paces {
		c.times = c.since(now - c.period)
		if c.idle() {
			delete(g.paces, name)
		}
	}
	g.sweepAt = 2 * len(g.paces)
}

// before is the order in which those that wait come.
func before(a, b *ticket) bool {
	return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.created, b.created), cmp.Compare(a.id, b.id)) < 0
}

// Len is heap.Interface's.
func (q *queue) Len() int { return len(q.tickets) }

// Less is heap.Interface's.
func (q *queue) Less(i, j int) bool { return before(q.tickets[i], q.tickets[j]) }

// Swap is heap.Interface's.
func (q *queue) Swap(i, j int) {
	q.tickets[i], q.tickets[j] = q.tickets[j], q.tickets[i]
	q.tickets[i].index, q.tickets[j].index = i, j
}

// Push is heap.Interface's.
func (q *queue) Push(x any) {
	t, _ := x.(*ticket)
	t.index = len(q.tickets)
	q.tickets = append(q.tickets, t)
}

// Pop is heap.Interface's.
func (q *queue) Pop() any {
	last := q.tickets[len(q.tickets)-1]
	q.tickets[len(q.tickets)-1] = nil
	q.tickets = q.tickets[:len(q.tickets)-1]
	return last
}
