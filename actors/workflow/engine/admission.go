package engine

import (
	"errors"
	"time"

	"github.com/weftmesh/weft/mesh/fair"
	"github.com/weftmesh/weft/subjects"
)

const (
	// maxPendingTransitions bounds the transitions of a partition that wait to be appended: past it, new
	// executions are refused.
	maxPendingTransitions = 20_000
	// stallAfter is how long a log may fail before new executions are refused at once.
	stallAfter = time.Second
)

// The reasons to refuse a start: the log cannot be written, too many executions of the process wait, or too many of one user.
// The last does not affect the starts of other users.
var (
	errStalled = &subjects.Error{
		Code: subjects.CodeUnavailable, Reason: subjects.ReasonLogStalled, Detail: "the history cannot be written right now", RetryAfter: subjects.RetrySoon,
	}
	errOverloaded = &subjects.Error{
		Code: subjects.CodeUnavailable, Reason: subjects.ReasonOverloaded, Detail: "too many executions wait", RetryAfter: subjects.RetrySoon,
	}
	errUserQueueFull = &subjects.Error{
		Code: subjects.CodeRateLimited, Reason: subjects.ReasonUserQueueFull, Detail: "too many of your executions wait", RetryAfter: subjects.RetrySoon,
	}
)

// admission decides which new executions of a partition are taken, and which of them may start: within the process's slots, and
// within the limits that their workflows declare. The partition's lock guards it.
type admission struct {
	limiter limiter
	// slots are the process's, shared by its partitions.
	slots            *fair.Semaphore
	maxQueued        int
	maxQueuedPerUser int
	refused          func(bound string)
	activeAdd        func(delta float64)
}

// load is what a partition has to do already.
type load struct {
	pendingTransitions int
	// backlogged: SQL is too far behind the logs.
	backlogged   bool
	stalledSince time.Time
}

// check refuses a new execution of a user while the process, or the user, has too many waiting.
func (a *admission) check(userID string, l load) error {
	switch {
	case !l.stalledSince.IsZero() && time.Since(l.stalledSince) > stallAfter:
		return errStalled
	case a.slots.QueuedOf(userID) >= a.maxQueuedPerUser:
		a.refused("user")
		return errUserQueueFull
	case l.pendingTransitions > maxPendingTransitions || l.backlogged || a.slots.Queued() > a.maxQueued:
		a.refused("process")
		return errOverloaded
	}
	return nil
}

// admit queues a new execution for its workflow's limits, where that declares any.
func (a *admission) admit(h *execution) error {
	if h.row.Limits == nil {
		return nil
	}
	if a.limiter.waiting[h.row.UserID] >= a.maxQueuedPerUser {
		a.refused("user")
		return errUserQueueFull
	}
	h.waiter = waiterOf(h.row)
	a.limiter.add(h.waiter)
	return nil
}

// acquire takes a slot for an execution, or queues ready to be called with one. It reports whether the execution has one.
func (a *admission) acquire(h *execution, ready func()) bool {
	if h.hasSlot || h.slotRequest != nil {
		return h.hasSlot
	}
	h.slotRequest = a.slots.AcquireOrQueue(h.row.UserID, h.row.Priority, ready)
	if h.slotRequest == nil {
		a.grant(h)
	}
	return h.hasSlot
}

// grant records that an execution has a slot.
func (a *admission) grant(h *execution) {
	h.hasSlot, h.slotRequest = true, nil
	a.activeAdd(1)
}

// release returns an execution's slot, or withdraws its request for one. A slot that is on its way to it is returned on arrival.
func (a *admission) release(h *execution) {
	switch {
	case h.hasSlot:
		h.hasSlot = false
		a.activeAdd(-1)
		a.slots.Release(h.row.UserID)
	case h.slotRequest != nil && a.slots.Cancel(h.slotRequest):
		h.slotRequest = nil
	}
}

// restore counts the executions that SQL has of the partition, then those loaded from its log.
func (a *admission) restore(rows []LimitRow, executions map[string]*execution) {
	for _, row := range rows {
		a.limiter.restore(row.waiter())
	}
	for id, h := range executions {
		h.waiter = a.limiter.waiters[id]
		if h.waiter == nil && h.row.Limits != nil {
			h.waiter = waiterOf(h.row)
			a.limiter.add(h.waiter)
		}
		if h.waiter != nil && h.suspended {
			a.limiter.dequeue(h.waiter)
		}
		if h.waiter != nil && h.machine != nil {
			a.limiter.started(h.waiter, h.machine.StartedAt())
		}
	}
}

// waitingCount is how many executions wait for limits, suspended ones included.
func (a *admission) waitingCount() (count int) {
	for _, waiting := range a.limiter.waiting {
		count += waiting
	}
	return count
}

func waiterOf(row Row) *waiter {
	return &waiter{
		Limits: *row.Limits, id: row.ID, workflow: row.WorkflowID, user: row.UserID, priority: row.Priority, created: row.CreatedAt,
	}
}

// isWaiting reports whether a limit holds the execution back.
func (h *execution) isWaiting() bool { return h.waiter != nil && h.waiter.stage == stageWaiting }

// acquireSlot takes a slot for an execution, or queues it for one. An execution that has not started must pass its limits first.
func (p *partition) acquireSlot(h *execution) bool {
	if !h.hasSlot && h.slotRequest == nil && h.isPending() && h.isWaiting() {
		p.admitFrom(p.admission.limiter.sameQueue(h.waiter), h)
		if h.isWaiting() {
			return false
		}
	}
	return p.admission.acquire(h, func() { p.onSlot(h) })
}

// onSlot continues an execution that was queued for a slot and has one now.
func (p *partition) onSlot(h *execution) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h.slotRequest = nil
	if p.closed || h.finished || p.executions[h.row.ID] != h {
		p.admission.slots.Release(h.row.UserID)
		return
	}
	p.admission.grant(h)
	switch {
	case h.isPending():
		p.startPending(h)
	case h.unacked == 0:
		p.advance(h)
	}
}

// admitFrom starts the executions of some queues that their limits let pass, except caller, which its caller continues.
func (p *partition) admitFrom(queues []*queue, caller *execution) {
	now := p.e.Now()
	limiter := &p.admission.limiter
	for w := limiter.admitNext(queues, now); w != nil; w = limiter.admitNext(queues, now) {
		h := p.executions[w.id]
		switch {
		case h == nil: // its start could not be written, and it is being cancelled
			limiter.remove(w)
		case h != caller && p.acquireSlot(h):
			p.startPending(h)
		}
	}
	for _, q := range queues {
		if len(q.waiters) == 0 {
			continue
		}
		if opens := limiter.opensAt(q.waiters[0], now); !opens.IsZero() {
			p.timers.add(opens, q.waiters[0].id)
		}
	}
}

// recheck starts an execution that has not started, if its limits let it pass now and there is a slot.
func (p *partition) recheck(h *execution) {
	if h.isPending() && !h.deciding && p.acquireSlot(h) {
		p.startPending(h)
	}
}

// releaseLimits lets others start that an execution held back which has ended, or will not start.
func (p *partition) releaseLimits(h *execution) {
	if h.waiter != nil {
		p.admitFrom(p.admission.limiter.remove(h.waiter), nil)
	}
}

// noteStarted counts an execution that has started against its limits.
func (p *partition) noteStarted(h *execution) {
	if h.waiter != nil && h.machine != nil {
		p.admission.limiter.started(h.waiter, h.machine.StartedAt())
	}
}

// blockedExecutions is how many executions of this process wait for limits.
func (e *Engine) blockedExecutions() (count int) {
	for _, p := range e.owned() {
		p.mu.Lock()
		count += p.admission.waitingCount()
		p.mu.Unlock()
	}
	return count
}

// isOverload reports whether a start was refused because of load: another attempt at once would be refused too.
func isOverload(err error) bool { return errors.Is(err, errStalled) || errors.Is(err, errOverloaded) }
