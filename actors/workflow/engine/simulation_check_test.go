package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// restTimeout is how long a healed schedule may take to come to rest.
const restTimeout = 150 * time.Second

// settle waits until nothing is left to do, and reports what is after restTimeout. all: every execution must have ended.
func (w *world) settle(all bool) bool {
	deadline := time.Now().Add(restTimeout)
	for time.Sleep(2 * time.Second); ; time.Sleep(2 * time.Second) {
		w.flush() // an owner that a late message has fenced finds out by a request
		problems := w.busy(all)
		if len(problems) == 0 {
			problems = w.inconsistent(all)
		}
		if len(problems) == 0 {
			return true
		}
		if time.Now().After(deadline) {
			for _, p := range problems {
				w.violatef("at rest: %s", p)
			}
			return false
		}
	}
}

// flush asks all owners to project their logs.
func (w *world) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.live()[0].engine.FlushAll(ctx); err != nil {
		w.tracef("flushing: %v", err)
	}
}

// busy lists what the processes still have to do.
func (w *world) busy(all bool) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for number := range subjects.WorkflowPartitions {
		owners := 0
		for _, p := range w.live() {
			one := p.engine.partition(number)
			if one == nil {
				continue
			}
			owners++
			if owner := w.log.owner(number); one.writer.owner() != owner {
				add("%s believes to own partition %d, whose log is %.8s's", p.name, number, owner)
			}
			for _, problem := range one.busy(all) {
				add("%s, partition %d: %s", p.name, number, problem)
			}
		}
		if owners != 1 {
			add("partition %d has %d owners", number, owners)
		}
		if n := w.log.unprojected(number); n > 0 {
			add("partition %d has %d messages that are not projected", number, n)
		}
	}
	for _, p := range w.live() {
		problems = append(problems, p.slotsInUse(all)...)
	}
	return problems
}

// busy lists what a partition still has to do.
func (p *partition) busy(all bool) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	p.mu.Lock()
	defer p.mu.Unlock()
	if pending, stalled := p.writer.backlog(); pending > 0 || !stalled.IsZero() {
		add("%d transitions are pending, stalled since %s", pending, stalled)
	}
	if len(p.unprojected) > 0 || p.unprojectedBytes != 0 {
		add("%d executions with %d bytes are unprojected", len(p.unprojected), p.unprojectedBytes)
	}
	if len(p.loading) > 0 || p.draining || p.closed {
		add("loading %d, draining %v, closed %v", len(p.loading), p.draining, p.closed)
	}
	for id, h := range p.executions {
		if h.unacked != 0 || len(h.unprojected) != 0 || len(h.inFlight) != 0 || h.pendingCleanup != 0 || h.finished {
			add("execution %s (%s): unacked %d, unprojected %d, in flight %d, cleanup %d, finished %v", id, h.row.Name,
				h.unacked, len(h.unprojected), len(h.inFlight), h.pendingCleanup, h.finished)
		}
	}
	limiter := &p.admission.limiter
	if all {
		if len(limiter.waiters) > 0 || len(limiter.queues) > 0 || len(limiter.waiting) > 0 {
			add("the limiter has %d waiters, %d queues, %d users", len(limiter.waiters), len(limiter.queues), len(limiter.waiting))
		}
		for key, c := range limiter.concurrencyKeys {
			if c.busy != 0 {
				add("concurrency key %.8s is used by %d", key, c.busy)
			}
		}
		for key, c := range limiter.rateKeys {
			if c.busy != 0 || len(c.queues) > 0 {
				add("rate key %.8s is used by %d", key, c.busy)
			}
		}
		if len(p.executions) > 0 {
			for id, h := range p.executions {
				add("the execution %s (%s) is loaded: %d calls in flight, %d to clean up, %d orphans, quarantined %t, finished %t", id, h.row.Name, len(h.inFlight), h.pendingCleanup,
					len(h.orphanCandidates), h.quarantined(), h.finished)
			}
		}
	}
	return problems
}

// slotsInUse compares a process's slots with what uses them.
func (p *process) slotsInUse(all bool) (problems []string) {
	used := 0
	for _, one := range p.engine.owned() {
		one.mu.Lock()
		for _, h := range one.executions {
			if h.hasSlot {
				used++
			}
		}
		one.mu.Unlock()
	}
	slots, calls := &p.engine.executionSlots, &p.engine.activities.slots
	active, queued := slots.InUse()
	if active != used || queued > 0 && active < slots.Limit || all && (active != 0 || queued != 0) {
		problems = append(problems, fmt.Sprintf("%s: %d execution slots are taken and %d queued, %d are in use", p.name, active, queued, used))
	}
	if calls.Free() != calls.Limit || calls.Queued() != 0 {
		problems = append(problems, fmt.Sprintf("%s: %d call slots are free of %d, and %d queued", p.name, calls.Free(), calls.Limit, calls.Queued()))
	}
	return problems
}

// inconsistent lists the executions whose state is not what the log says, or that do not go on.
func (w *world) inconsistent(all bool) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	machines := map[string]*machine.Execution{}
	for _, id := range w.ledger.ids() {
		e := w.ledger.execution(id)
		row, ok := w.store.row(id)
		if !ok {
			add("execution %s (%s) is in the log and not in the store", id, e.row.Name)
			continue
		}
		stored, err := w.store.events(id)
		if err != nil {
			add("%v", err)
			continue
		}
		if !e.sameEvents(stored) || row.Events != int64(len(e.raw)) {
			add("execution %s (%s) has %d events in the log, %d in its history and %d by its row", id, e.row.Name, len(e.raw), len(stored), row.Events)
			continue
		}
		status := subjects.ExecutionPending
		if e.suspended {
			status = string(machine.Suspended)
		}
		if len(e.events) > 0 {
			x, err := machine.Restore(simulated[e.row.WorkflowID].def, machine.Environment{}, e.events)
			if err != nil {
				add("execution %s does not replay: %v", id, err)
				continue
			}
			machines[id], status = x, string(x.Status())
		}
		if row.Status != status {
			add("execution %s (%s) is stored as %s and replays as %s", id, e.row.Name, row.Status, status)
		}
	}
	for id, x := range machines {
		if reason := w.stuck(x, machines); reason != "" {
			add("execution %s (%s) is %s: %s", id, w.ledger.execution(id).row.Name, x.Status(), reason)
		}
	}
	for _, open := range w.store.openApprovals() {
		if x := machines[open[0]]; x != nil && !x.Status().Ended() && !containsCall(x.Awaited(), open[1]) {
			add("the approval request of call %s of %s (%s) is open, and the call is over", open[1], open[0], w.ledger.execution(open[0]).row.Name)
		}
	}
	return append(problems, w.promisesBroken(all, machines)...)
}

// stuck is why an execution should go on; empty where it has ended, or waits as it must.
func (w *world) stuck(x *machine.Execution, machines map[string]*machine.Execution) string {
	if x.Status().Ended() || x.Status() == machine.Suspended {
		return ""
	}
	if events := x.Continue(time.Now()); len(events) > 0 || !x.Settled() {
		return "it is not settled"
	}
	waits := len(x.Listeners()) > 0
	for _, call := range x.Calls() {
		child := awaitedChild(call)
		switch {
		case child != "" && machines[child] == nil && w.ledger.execution(child) == nil:
			return "its child does not exist"
		case child != "" && machines[child] != nil && machines[child].Status().Ended():
			return "its child has ended"
		case !call.External():
			return "a call is outstanding"
		}
		waits = true
	}
	for _, timer := range x.Timers() {
		if time.Since(timer.At) > 2*time.Second {
			return "a timer was due"
		}
		waits = true
	}
	if !waits {
		return "it waits for nothing"
	}
	return ""
}

// promisesBroken lists acknowledgements that do not hold, and children that nobody awaits.
func (w *world) promisesBroken(all bool, machines map[string]*machine.Execution) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	l := w.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.acknowledged {
		if l.executions[id] == nil {
			add("the start of %s was acknowledged, and it does not exist", id)
		}
	}
	for id := range l.cancelled {
		if e := l.executions[id]; e == nil || e.end == nil {
			add("the cancellation of %s was acknowledged, and it has not ended", id)
		}
	}
	for id := range l.suspended {
		e, x := l.executions[id], machines[id]
		if held := x != nil && x.Status() == machine.Suspended || x == nil && e.suspended || e.end != nil; !held && !all {
			add("the suspension of %s (%s) was acknowledged, and it is still running", id, e.row.Name)
		}
	}
	for id, e := range l.executions {
		if all && e.end == nil {
			add("execution %s (%s) has not ended", id, e.row.Name)
		}
		if e.end != nil || e.row.ParentID == "" {
			continue
		}
		parent := machines[e.row.ParentID]
		if parent == nil || parent.Status().Ended() || callOfChild(parent.Awaited(), id) == "" {
			add("execution %s (%s) is still running, and its parent %s does not wait for it", id, e.row.Name, e.row.ParentID)
		}
	}
	return problems
}
