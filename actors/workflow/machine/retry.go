package machine

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// stepFault deals with the error of a run: a try may catch it, everything else passes it on.
func (x *Execution) stepFault(run *Run, now time.Time) Event {
	task := x.def.Task(run.Task)
	if run.ID == 0 || task.Kind != language.KindTry || run.Phase == PhaseCatching || run.Phase == PhaseCompensating || run.Own {
		return x.faulted(run, run.Fault)
	}
	catch := &task.Try.Catch
	if !run.Fault.matches(catch.With) {
		return x.faulted(run, run.Fault)
	}
	scope := x.scope(run, task)
	scope.Names = inside(task.Scope, catch.As)
	scope = scope.Bind(catch.As, run.Fault.Value())
	caught, err := x.allowed(catch.When, catch.ExceptWhen, run, scope)
	if err != nil {
		return x.faulted(run, err)
	}
	if !caught {
		return x.faulted(run, run.Fault)
	}
	if catch.Retry != nil {
		event, again, err := x.retry(run, catch.Retry, scope, now)
		if err != nil {
			return x.faulted(run, err)
		}
		if again {
			return event
		}
		// Retries that are used up handle nothing by themselves.
		if len(catch.Do) == 0 && catch.Then == "" {
			return x.faulted(run, run.Fault)
		}
	}
	return Event{Type: ErrorCaught, Run: run.ID, Task: run.Task, Name: task.Name, Key: run.Key, Error: run.Fault}
}

// allowed evaluates a pair of when and exceptWhen; an empty one does not count.
func (x *Execution) allowed(when, exceptWhen string, run *Run, scope language.Scope) (bool, error) {
	if when != "" {
		ok, err := x.def.Condition(when, run.Input, scope)
		if err != nil || !ok {
			return false, err
		}
	}
	if exceptWhen != "" {
		except, err := x.def.Condition(exceptWhen, run.Input, scope)
		return err == nil && !except, err
	}
	return true, nil
}

// retry is the next attempt, if the policy allows one.
func (x *Execution) retry(run *Run, policy *language.RetryPolicy, scope language.Scope, now time.Time) (Event, bool, error) {
	allowed, err := x.allowed(policy.When, policy.ExceptWhen, run, scope)
	if err != nil || !allowed || policy.Attempts > 0 && run.Tries > policy.Attempts {
		return Event{}, false, err
	}
	if x.state.NextRun > MaxRuns {
		return Event{}, false, nil
	}
	delay, err := x.delay(run, policy, scope)
	if err != nil {
		return Event{}, false, err
	}
	due := now.Add(delay)
	if policy.Duration != nil {
		limit, err := x.duration(policy.Duration, run, scope)
		if err != nil || due.After(run.StartedAt.Add(limit)) {
			return Event{}, false, err
		}
	}
	return Event{Type: TaskRetried, Run: run.ID, Task: run.Task, Name: x.def.Task(run.Task).Name, Key: run.Key,
		Attempt: run.Tries + 1, Due: &due, Error: run.Fault}, true, nil
}

// delay is the time before the next attempt: constant, growing by an increment, or growing by a factor; then jitter.
func (x *Execution) delay(run *Run, policy *language.RetryPolicy, scope language.Scope) (time.Duration, error) {
	base, err := x.duration(policy.Delay, run, scope)
	if err != nil {
		return 0, err
	}
	delay := float64(base)
	switch policy.Backoff.Kind {
	case "linear":
		increment := base
		if policy.Backoff.Increment != nil {
			if increment, err = x.duration(policy.Backoff.Increment, run, scope); err != nil {
				return 0, err
			}
		}
		delay += float64(increment) * float64(run.Tries-1)
	case "exponential":
		delay *= math.Pow(policy.Backoff.Factor, float64(run.Tries-1))
	}
	if policy.Backoff.MaxDelay != nil {
		longest, err := x.duration(policy.Backoff.MaxDelay, run, scope)
		if err != nil {
			return 0, err
		}
		delay = min(delay, float64(longest))
	}
	if policy.JitterFrom != nil && policy.JitterTo != nil {
		jitter, err := x.jitter(run, policy, scope)
		if err != nil {
			return 0, err
		}
		delay += float64(jitter)
	}
	return time.Duration(min(delay, float64(MaxRetryDelay))), nil
}

// jitter is uniform between its bounds and the same whenever it is asked for the same attempt.
func (x *Execution) jitter(run *Run, policy *language.RetryPolicy, scope language.Scope) (time.Duration, error) {
	from, err := x.duration(policy.JitterFrom, run, scope)
	if err != nil {
		return 0, err
	}
	to, err := x.duration(policy.JitterTo, run, scope)
	if err != nil || to <= from {
		return from, err
	}
	sum := sha256.Sum256([]byte(x.state.Execution + run.Key + "#" + strconv.Itoa(run.Tries)))
	share := float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
	return from + time.Duration(share*float64(to-from)), nil
}

// attemptDue is when an attempt that begins now is over, by the policy's limit.attempt.duration.
func (x *Execution) attemptDue(run *Run, now time.Time) *time.Time {
	task := x.def.Task(run.Task)
	policy := task.Try.Catch.Retry
	if policy == nil || policy.AttemptDuration == nil {
		return nil
	}
	length, err := x.duration(policy.AttemptDuration, run, x.scope(run, task))
	if err != nil {
		// A limit that cannot be evaluated allows no time: the attempt ends at once, as a timeout.
		length = 0
	}
	due := now.Add(length)
	return &due
}
