package machine

// check charges an event that a run has decided, and returns its weight. It replaces it by a fault where the log cannot hold its data.
func (d *decider) check(event *Event, run *Run) int {
	size := event.weigh(MaxEventBytes)
	if failure := d.meter.refusal(&size, "the data"); failure != nil {
		d.exceed(event, run, failure)
		size = event.weigh(MaxEventBytes)
	}
	d.meter.walk(size.weight)
	return size.weight
}

// exceed replaces an event that exceeds a bound by a fault of its task.
func (d *decider) exceed(event *Event, run *Run, failure *Error) {
	run.call = nil
	if event.Type == TaskStarted {
		event.Input, event.Data = Value{}, Value{}
		event.Error = d.eval.workflowError(failure, event.Task)
		return
	}
	*event = d.fault(run, failure)
}

// buildCalls builds the calls that are outstanding and not built yet. It returns false where the slice does not suffice.
func (d *decider) buildCalls() bool {
	if d.state.Status != Running {
		return true
	}
	for _, run := range d.state.Runs {
		if !run.awaitsCall() || run.call != nil {
			continue
		}
		if !d.meter.open() {
			return false
		}
		call := d.calls.rebuild(run)
		if d.meter.cut() {
			return false
		}
		if failure := d.meter.fault(); failure != nil {
			call = d.calls.identity(run)
			call.Fault = d.eval.workflowError(failure, run.Task)
		}
		run.call = call
		d.meter.closeUncounted()
	}
	return true
}
