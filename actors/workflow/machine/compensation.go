package machine

// A task that declares metadata.compensate, a list of tasks, is compensated once if the execution faults or is cancelled
// after the task completed. Compensations run one after the other, in reverse order of completion. Their tasks read the
// task's input and output as $compensate: {input, output}. A failed compensation does not prevent the others. Then the
// execution ends as it would have without compensation.

// Compensable is a completed task that is compensated if the execution does not complete.
type Compensable struct {
	Task   string `json:"task"`
	Key    string `json:"key"`
	Input  any    `json:"-"`
	Output any    `json:"-"`
}

// Ending is how an execution ends after compensation: faulted with Error, or cancelled for Reason.
type Ending struct {
	Error  *Error `json:"error,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// extraCompensationRuns are the task runs reserved for compensations beyond MaxRuns.
const extraCompensationRuns = 10_000

// maxRuns is the number of task runs that the execution may have now.
func (s *State) maxRuns() int {
	if s.Ending != nil {
		return MaxRuns + extraCompensationRuns
	}
	return MaxRuns
}

// mustCompensate reports whether tasks are to be compensated before the execution ends.
func (s *State) mustCompensate() bool { return s.Ending == nil && len(s.Compensable) > 0 }

// Compensating reports whether the execution has faulted or was cancelled and is being compensated.
func (x *Execution) Compensating() bool { return x.state.Ending != nil }
