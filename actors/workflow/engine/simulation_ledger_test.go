package engine

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// ledger records what is in the logs and what had an effect outside, and checks each against the other as it happens.
type ledger struct {
	w  *world
	mu sync.Mutex
	// executions are those that the logs have.
	executions map[string]*loggedExecution
	// current is the owner that appended last, by partition; fences are the sequences of owners' first messages; batches the
	// number of their next one; tenure is the last owner that a process was, by partition.
	current [subjects.WorkflowPartitions]string
	fences  map[string]uint64
	batches map[string]uint64
	tenure  map[*process]map[int]string
	// confirmed is the last append of an owner that was acknowledged to it.
	confirmed map[string]confirmation
	// schedules are the executions that schedules start; drained the schedules whose pause was acknowledged.
	schedules map[string]string
	drained   map[string]bool
	// acknowledged are the executions whose start was, cancelled and suspended those with such an acknowledgement.
	acknowledged map[string]Row
	cancelled    map[string]bool
	suspended    map[string]bool
	// observed is the number of events that a request has read, or was acknowledged, of an execution.
	observed map[string]int64
	healedAt time.Time
	effects  int
}

type loggedExecution struct {
	row       Row
	partition int
	raw       []json.RawMessage
	events    []machine.Event
	runs      map[int]*loggedRun
	// timers are the times of timers, by their ids.
	timers map[string]time.Time
	// suspended: suspended before its start. held: it was suspended at least once.
	suspended, held bool
	listens         map[int]bool
	received        map[string]bool
	end             *loggedEnd
	affected        bool
	inProgress      int
}

type loggedRun struct {
	parent int
	// deadline is when the task times out, attemptDue when its attempt does; zero: never.
	deadline, attemptDue time.Time
	scheduled            bool
	end                  *loggedEnd
	// recorded counts the recorded starts, unrepeated the effects that were not declared as repeated.
	recorded, unrepeated int
}

type loggedEnd struct {
	owner    string
	sequence uint64
	kind     machine.EventType
}

// confirmation is the acknowledgement of an append, and when it came.
type confirmation struct {
	sequence uint64
	at       time.Time
}

// covers reports whether the owner has had the time to act on the acknowledgement of a message.
func (c confirmation) covers(sequence uint64) bool {
	return c.sequence >= sequence && time.Now().After(c.at)
}

func newLedger(w *world) *ledger {
	return &ledger{
		w: w, executions: map[string]*loggedExecution{}, fences: map[string]uint64{}, batches: map[string]uint64{},
		tenure: map[*process]map[int]string{}, schedules: map[string]string{}, drained: map[string]bool{},
		acknowledged: map[string]Row{}, cancelled: map[string]bool{}, suspended: map[string]bool{},
		observed: map[string]int64{}, confirmed: map[string]confirmation{},
	}
}

// appended checks a message that a log has now.
func (l *ledger) appended(p *process, number int, sequence uint64, m entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.fences[m.Owner]; !known {
		if len(m.Transitions) > 0 {
			l.w.violatef("owner %.8s of partition %d appends transitions before its first message", m.Owner, number)
		}
		l.fences[m.Owner] = sequence
		if l.tenure[p] == nil {
			l.tenure[p] = map[int]string{}
		}
		l.tenure[p][number] = m.Owner
		l.w.tracef("%s takes partition %d as %.8s at %d", p.name, number, m.Owner, sequence)
	} else if l.current[number] != m.Owner {
		l.w.violatef("owner %.8s of partition %d appends after %.8s took over", m.Owner, number, l.current[number])
	}
	if m.Batch != l.batches[m.Owner] {
		l.w.violatef("owner %.8s appends batch %d, want %d", m.Owner, m.Batch, l.batches[m.Owner])
	}
	l.batches[m.Owner] = m.Batch + 1
	l.current[number] = m.Owner
	for _, t := range m.Transitions {
		if t.ID != "" {
			l.transition(number, m.Owner, sequence, t)
		}
	}
}

func (l *ledger) transition(number int, owner string, sequence uint64, t transition) {
	e := l.executions[t.ID]
	if t.Start != nil {
		if e != nil {
			l.w.violatef("execution %s is started twice", t.ID)
			return
		}
		if s := l.schedules[t.ID]; s != "" && l.drained[s] {
			l.w.violatef("execution %s is started by schedule %s, which was paused", t.ID, s)
		}
		e = &loggedExecution{
			row: *t.Start, partition: number, runs: map[int]*loggedRun{}, timers: map[string]time.Time{}, listens: map[int]bool{}, received: map[string]bool{},
		}
		l.executions[t.ID] = e
	}
	if e == nil {
		l.w.violatef("execution %s has a transition before its start", t.ID)
		return
	}
	if e.partition != number {
		l.w.violatef("execution %s of partition %d has a transition in partition %d", t.ID, e.partition, number)
	}
	if t.Suspend != nil {
		e.suspended, e.held = *t.Suspend, true
	}
	events, err := DecodeEvents(t.Events)
	if err != nil {
		l.w.violatef("execution %s: %v", t.ID, err)
		return
	}
	var kinds []string
	for i := range events {
		kinds = append(kinds, string(events[i].Type)+"/"+strconv.Itoa(events[i].Run))
		if events[i].Sequence != uint64(len(e.events)+1) {
			l.w.violatef("execution %s has event %d after %d", t.ID, events[i].Sequence, len(e.events))
		}
		if e.end != nil {
			l.w.violatef("execution %s has %s after its end", t.ID, events[i].Type)
		}
		l.event(e, &events[i], &loggedEnd{owner, sequence, events[i].Type})
		e.events = append(e.events, events[i])
		e.raw = append(e.raw, t.Events[i])
	}
	l.w.tracef("log %d.%d %.8s: %s %s %s", number, sequence, owner, t.ID, e.row.Name, strings.Join(kinds, " "))
}

func (l *ledger) event(e *loggedExecution, event *machine.Event, end *loggedEnd) {
	run := e.runs[event.Run]
	if run == nil {
		run = &loggedRun{}
		e.runs[event.Run] = run
	}
	switch event.Type {
	case machine.CallScheduled:
		run.scheduled, run.end = true, nil
	case machine.CallStartRecorded:
		run.recorded++
	case machine.CallCompleted, machine.CallFailed:
		run.end = end
		l.checkInTime(e, event)
	case machine.ExecutionStarted, machine.TaskStarted, machine.TimerScheduled, machine.TaskRetried:
		e.setTimers(run, event)
	case machine.TimerFired:
		l.timerFired(e, event)
		e.setTimers(run, event)
	case machine.ListenerStarted:
		e.listens[event.Run] = true
	case machine.EventReceived:
		delete(e.listens, event.Run)
		e.received[event.MessageID] = true
	case machine.ExecutionSuspended:
		e.held = true
	case machine.ExecutionCompleted, machine.ExecutionFaulted, machine.ExecutionCancelled:
		e.end = end
	}
}

// setTimers records the timers that an event sets.
func (e *loggedExecution) setTimers(run *loggedRun, event *machine.Event) {
	id := strconv.Itoa(event.Run)
	attempt := 1
	switch event.Type {
	case machine.TaskStarted:
		run.parent = event.Parent
	case machine.TimerScheduled:
		e.timers["wait:"+id] = *event.Due
	case machine.TaskRetried:
		e.timers["retry:"+id+":"+strconv.Itoa(event.Attempt)] = *event.Due
		run.attemptDue = time.Time{}
	case machine.TimerFired:
		if text, ok := strings.CutPrefix(event.Timer, "retry:"+id+":"); ok {
			attempt, _ = strconv.Atoi(text)
		}
	}
	if event.Deadline != nil {
		run.deadline = *event.Deadline
		e.timers["timeout:"+id] = *event.Deadline
	}
	if event.AttemptDue != nil {
		run.attemptDue = *event.AttemptDue
		e.timers["attempt:"+id+":"+strconv.Itoa(attempt)] = *event.AttemptDue
	}
}

// overdue returns the timeout that encloses a run and has passed at a time, if any. That of an attempt ends with the attempt.
func (e *loggedExecution) overdue(number int, at time.Time) (passed time.Time) {
	for {
		run := e.runs[number]
		if run == nil {
			return time.Time{}
		}
		for _, due := range []time.Time{run.deadline, run.attemptDue} {
			if !due.IsZero() && !at.Before(due) {
				return due
			}
		}
		if number == 0 {
			return time.Time{}
		}
		number = run.parent
	}
}

// checkInTime checks that the result of a call counts only before the timeouts that enclose it.
func (l *ledger) checkInTime(e *loggedExecution, event *machine.Event) {
	if e.held || e.row.Origin.Kind == OriginRetry {
		return
	}
	if due := e.overdue(event.Run, event.At); !due.IsZero() {
		l.w.violatef("call %d of %s (%s) ends at %s, after the timeout at %s", event.Run, e.row.ID, e.row.Name, event.At, due)
	}
}

// timerFired checks that a timer fires no earlier than it is due, and no later than a bound where nothing was wrong.
func (l *ledger) timerFired(e *loggedExecution, event *machine.Event) {
	due, known := e.timers[event.Timer]
	now := time.Now()
	if !known || e.held || due.UnixMicro() < e.row.CreatedAt { // a retry keeps the timers of the other execution
		return
	}
	if event.At.Before(due.Truncate(time.Microsecond)) || now.Before(due.Truncate(time.Microsecond)) {
		l.w.violatef("timer %s of %s fires at %s, %s early", event.Timer, event.Execution, event.At, due.Sub(now))
	}
	bound, from := lateCalm, due
	if !l.w.profile.Calm {
		bound = lateHealed
		if l.healedAt.IsZero() {
			return
		}
		if from.Before(l.healedAt) {
			from = l.healedAt
		}
	}
	if late := now.Sub(from); late > bound {
		l.w.violatef("timer %s of %s (%s) is %s late", event.Timer, e.row.ID, e.row.Name, late)
	}
}

const (
	// lateCalm bounds how late a timer may fire without faults, lateHealed after the last fault and with few slots.
	lateCalm   = 250 * time.Millisecond
	lateHealed = 5 * time.Second
)

// effect checks a call that is made now; done is called when it is over.
func (l *ledger) effect(p *process, row Row, call *machine.Call, repeated bool) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.effects++
	l.w.tracef("%s calls %s %s/%s %s repeated=%v", p.name, row.Name, row.ID, call.ID, string(call.Kind)+" "+call.Function, repeated)
	e := l.executions[row.ID]
	if e == nil {
		l.w.violatef("%s makes a call of execution %s, whose start is not in the log", p.name, row.ID)
		return func() {}
	}
	owner := l.tenure[p][e.partition]
	knows := func(end *loggedEnd) bool { return end != nil && (end.owner == owner || l.fences[owner] > end.sequence) }
	text, _, asked := strings.Cut(call.ID, ":")
	number, _ := strconv.Atoi(text)
	run := e.runs[number]
	switch {
	case run == nil || !run.scheduled:
		l.w.violatef("%s makes call %s of %s, which is not in the log", p.name, call.ID, row.ID)
		return func() {}
	case asked:
	case knows(run.end):
		l.w.violatef("%s makes call %s of %s again: its result is in the log", p.name, call.ID, row.ID)
	case knows(e.end) && (e.end.owner != owner || l.confirmed[owner].covers(e.end.sequence)):
		l.w.violatef("%s makes call %s of %s, which has ended", p.name, call.ID, row.ID)
	}
	if needsStartRecord(call) && repeated && call.Kind != machine.CallFunction {
		l.w.violatef("%s makes call %s of %s again, which may have been made before", p.name, call.ID, row.ID)
	}
	if needsStartRecord(call) && !repeated && !asked {
		if run.unrepeated++; run.unrepeated > run.recorded {
			l.w.violatef("%s makes call %s of %s %d times, with %d starts recorded", p.name, call.ID, row.ID, run.unrepeated, run.recorded)
		}
	}
	if owner == l.current[e.partition] {
		e.affected = true
		l.checkConcurrency(e)
	}
	e.inProgress++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		e.inProgress--
	}
}

// checkConcurrency counts the executions with a concurrency key that have had an effect and have not ended.
func (l *ledger) checkConcurrency(e *loggedExecution) {
	if e.row.Limits == nil || e.row.Limits.ConcurrencyKey == "" {
		return
	}
	running := 0
	for _, other := range l.executions {
		if other.row.Limits != nil && other.row.Limits.ConcurrencyKey == e.row.Limits.ConcurrencyKey && other.affected && other.end == nil {
			running++
		}
	}
	if running > e.row.Limits.MaxConcurrent {
		l.w.violatef("%d executions of %s run at once, the limit is %d", running, e.row.Name, e.row.Limits.MaxConcurrent)
	}
}

// checkRates checks that no period had more starts than its rate limit allows.
func (l *ledger) checkRates() {
	l.mu.Lock()
	defer l.mu.Unlock()
	starts := map[string][]time.Time{}
	limits := map[string]*loggedExecution{}
	for _, e := range l.executions {
		if e.row.Limits != nil && e.row.Limits.RateKey != "" && e.affected {
			key := e.row.Limits.RateKey
			starts[key] = append(starts[key], e.events[0].At)
			limits[key] = e
		}
	}
	for key, times := range starts {
		limit := limits[key].row.Limits
		slices.SortFunc(times, time.Time.Compare)
		for i := limit.Rate; i < len(times); i++ {
			if apart := times[i].Sub(times[i-limit.Rate]); apart < limit.Period-time.Millisecond {
				l.w.violatef("%d executions of %s start within %s, the rate is %d in %s", limit.Rate+1, limits[key].row.Name, apart, limit.Rate, limit.Period)
			}
		}
	}
}

// starting records that a schedule is about to start an execution.
func (l *ledger) starting(row Row, schedule string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if schedule != "" {
		l.schedules[row.ID] = schedule
	}
}

// started checks that a start which is acknowledged is in the log.
func (l *ledger) started(row Row) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acknowledged[row.ID] = row
	if l.executions[row.ID] == nil {
		l.w.violatef("the start of %s is acknowledged and not in the log", row.ID)
	}
}

// ids are the executions that the logs have, in order.
func (l *ledger) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.executions))
}

// execution is a copy of what the log has of an execution now; nil where it has none.
func (l *ledger) execution(id string) *loggedExecution {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.executions[id]
	if e == nil {
		return nil
	}
	now := *e
	now.timers = maps.Clone(e.timers)
	return &now
}

// sameEvents reports whether a stored history is what the log has.
func (e *loggedExecution) sameEvents(stored []json.RawMessage) bool {
	return slices.EqualFunc(e.raw, stored, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
}

// observe records that a request has seen so many events of an execution.
func (l *ledger) observe(id string, events int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.observed[id] = max(l.observed[id], events)
}

// count is the number of an execution's events in the log.
func (l *ledger) count(id string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.executions[id].events))
}

// confirm records that an append was acknowledged to an owner.
func (l *ledger) confirm(owner string, sequence uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.confirmed[owner] = confirmation{sequence, time.Now()}
}

// isOver reports whether an execution does not wait for a call any more, by the log.
func (l *ledger) isOver(id, call string) bool {
	e := l.execution(id)
	if e == nil {
		return false
	}
	x, err := machine.Restore(simulated[e.row.WorkflowID].def, machine.Environment{}, e.events)
	return err == nil && !containsCall(x.Awaited(), call)
}

// child is the first execution that the execution starts by run: workflow.
func (e *loggedExecution) child(workflow string) string {
	if children := e.children(workflow); len(children) > 0 {
		return children[0]
	}
	return "no call"
}

// children are the executions that the execution starts by run: workflow, in the order of their calls.
func (e *loggedExecution) children(workflow string) (ids []string) {
	x, err := machine.Restore(simulated[e.row.WorkflowID].def, machine.Environment{}, e.events[:1])
	for i := 1; i < len(e.events) && err == nil; i++ {
		err = x.Apply(e.events[i])
		for _, call := range x.Awaited() {
			if call.Workflow != nil && call.Workflow.Name == workflow && !slices.Contains(ids, ChildID(call)) {
				ids = append(ids, ChildID(call))
			}
		}
	}
	return ids
}
