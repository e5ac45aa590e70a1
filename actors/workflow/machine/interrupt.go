package machine

// OutcomeUnknown says of an interrupted call that it may have had its effect.
const OutcomeUnknown = "unknown"

// InterruptedCall is a call that an event has ended before it had a result: by a timeout, by another branch that was faster or
// faulted, or by the end of the execution. Only calls that are not safe to repeat and may have been sent are recorded; any other is
// cancelled without a trace.
type InterruptedCall struct {
	Run  int    `json:"run"`
	Task string `json:"task"`
	Key  string `json:"key"`
	// Outcome is OutcomeUnknown.
	Outcome string `json:"outcome"`
}

// interrupts reports whether events of a type can end calls that are open.
func interrupts(kind EventType) bool {
	switch kind {
	case TimerFired, TaskCompleted, TaskFaulted, TaskRetried, CompensationStarted, ExecutionCompleted, ExecutionFaulted, ExecutionCancelled:
		return true
	}
	return false
}

// startedCalls are the runs whose call may have been sent: its start is recorded, it has no result, and NotSent does not know better.
func (x *Execution) startedCalls() (runs []*Run) {
	for _, run := range x.state.Runs {
		if run.awaitsCall() && run.StartRecorded && !run.ApprovalRequested &&
			(x.NotSent == nil || !x.NotSent(callID(run))) {
			runs = append(runs, run)
		}
	}
	return runs
}

// interrupted are those of the runs whose call the last event has ended.
func (x *Execution) interrupted(started []*Run) (calls []InterruptedCall) {
	for _, run := range started {
		if open := x.state.run(run.ID); open != run || run.Fault != nil || run.Phase != PhaseCalling {
			calls = append(calls, InterruptedCall{Run: run.ID, Task: run.Task, Key: run.Key, Outcome: OutcomeUnknown})
		}
	}
	return calls
}

// applyDecided applies an event that was decided now, and records in it the calls that it interrupts.
func (x *Execution) applyDecided(event *Event, weight int) error {
	if !interrupts(event.Type) {
		return x.reducer.apply(event, weight)
	}
	started := x.startedCalls()
	err := x.reducer.apply(event, weight)
	event.Interrupted = x.interrupted(started)
	if event.Type == TimerFired && event.Error != nil && len(event.Interrupted) > 0 {
		event.Error.Outcome = OutcomeUnknown // the state has the same error
		event.Error.Detail += "; a call may have been made, and its result is unknown"
	}
	return err
}
