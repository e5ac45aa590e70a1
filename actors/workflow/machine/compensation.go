package machine

// A task that declares metadata.compensate, a list of tasks, is compensated once when the execution faults or is
// cancelled after the task completed. Compensations run one after the other, the task that completed last first. Their
// tasks see what is compensated as $compensate: {input, output}. One that fails does not keep the others from running.
// Then the execution ends as it would have.

// Undo is a completed task that is compensated if the execution does not complete.
type Undo struct {
	Task   string `json:"task"`
	Key    string `json:"key"`
	Input  any    `json:"input"`
	Output any    `json:"output"`
}

// Ending is how an execution ends once it is compensated: faulted with Error, or cancelled for Reason.
type Ending struct {
	Error  *Error `json:"error,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// compensationRuns are the task runs that are kept for compensations beyond MaxRuns.
const compensationRuns = 10_000

// most is the number of task runs that the execution may have now.
func (s *State) most() int {
	if s.Ending != nil {
		return MaxRuns + compensationRuns
	}
	return MaxRuns
}

// compensates tells whether something is to be compensated before the execution ends.
func (s *State) compensates() bool { return s.Ending == nil && len(s.Undo) > 0 }

// Compensating tells whether the execution has faulted or was cancelled and undoes what it did.
func (x *Execution) Compensating() bool { return x.state.Ending != nil }
