package machine

import (
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// stepFault handles the error of a run: a try may catch it; any other run faults with it.
func (d *decider) stepFault(run *Run, now time.Time) Event {
	task := d.def.Task(run.Task)
	if run.ID == 0 || task.Kind != language.KindTry || run.Phase == PhaseCatching || run.Phase == PhaseCompensating || run.OwnFault {
		return d.fault(run, run.Fault)
	}
	catch := &task.Try.Catch
	if !run.Fault.matches(catch.With) {
		return d.fault(run, run.Fault)
	}
	scope := d.eval.scope(run, task)
	scope.Names = withNames(task.Scope, catch.As)
	scope = scope.Bind(catch.As, run.Fault.Value())
	caught, err := d.eval.conditionsHold(catch.When, catch.ExceptWhen, run, scope)
	if err != nil {
		return d.fault(run, err)
	}
	if !caught {
		return d.fault(run, run.Fault)
	}
	if catch.Retry != nil {
		event, again, err := d.retry(run, catch.Retry, scope, now)
		if err != nil {
			return d.fault(run, err)
		}
		if again {
			return event
		}
		// Exhausted retries without a catch.do or catch.then rethrow the error.
		if len(catch.Do) == 0 && catch.Then == "" {
			return d.fault(run, run.Fault)
		}
	}
	return Event{Type: ErrorCaught, Run: run.ID, Task: run.Task, Name: task.Name, Key: run.Key, Error: run.Fault}
}

// retry is the event of the next attempt, if the policy allows one.
func (d *decider) retry(run *Run, policy *language.RetryPolicy, scope language.Scope, now time.Time) (Event, bool, error) {
	allowed, err := d.eval.conditionsHold(policy.When, policy.ExceptWhen, run, scope)
	if err != nil || !allowed || policy.Attempts > 0 && run.Tries > policy.Attempts {
		return Event{}, false, err
	}
	if d.state.NextRun > MaxRuns {
		return Event{}, false, nil
	}
	delay, err := d.eval.delay(run, policy, scope)
	if err != nil {
		return Event{}, false, err
	}
	due := now.Add(delay)
	if policy.Duration != nil {
		limit, err := d.eval.duration(policy.Duration, run, scope)
		if err != nil || due.After(run.StartedAt.Add(limit)) {
			return Event{}, false, err
		}
	}
	return Event{Type: TaskRetried, Run: run.ID, Task: run.Task, Name: d.def.Task(run.Task).Name, Key: run.Key,
		Attempt: run.Tries + 1, Due: &due, Error: run.Fault}, true, nil
}

// stepCompensation advances the compensation of one task; on the workflow itself, it starts the next compensation.
func (d *decider) stepCompensation(run *Run, now time.Time) (Event, bool) {
	if run.ID != 0 {
		return d.stepList(run, now)
	}
	s := d.state
	if run.children > 0 {
		return Event{}, false
	}
	if last := len(s.Compensable) - 1; last >= 0 {
		undo := s.Compensable[last]
		return Event{Type: TaskCompensating, Run: s.NextRun, Task: undo.Task, Name: d.def.Task(undo.Task).Name,
			Key: undo.Key + "/compensate"}, true
	}
	if s.Ending.Error != nil {
		return Event{Type: ExecutionFaulted, Error: s.Ending.Error}, true
	}
	return Event{Type: ExecutionCancelled, Reason: s.Ending.Reason}, true
}

// endCompensation ends the compensation of one task; failure is nil if it succeeded.
func (d *decider) endCompensation(run *Run, failure *Error) Event {
	return Event{Type: TaskCompensated, Run: run.ID, Task: run.Task, Name: d.def.Task(run.Task).Name, Key: run.Key,
		Error: failure}
}
