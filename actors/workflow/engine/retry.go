package engine

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// isRetry reports whether an execution continues from the history of another one.
func isRetry(row Row) bool { return row.Origin.Kind == OriginRetry }

// launch creates an execution's machine: from its start, or from the history of another execution. Calls without an effect that it begins
// with complete at once: their results are in the log before anything that follows from them is dispatched. Where a strict slice does not
// suffice, there is no machine.
func (e *Engine) launch(ctx context.Context, h *execution, s machine.Slice) (l launch, err error) {
	if isRetry(h.row) {
		ctx, cancel := context.WithTimeout(ctx, retryReadTimeout)
		defer cancel()
		l.machine, l.events, err = e.RetryFrom(ctx, h.row)
	} else {
		var input any
		if input, err = language.Decode([]byte(h.row.Input)); err == nil {
			l.machine, l.events = machine.StartWithin(s, h.def, h.row.ID, input, e.Now(), e.environment(h.def, h.row.UserID))
		}
	}
	if err != nil || l.machine == nil {
		return launch{}, err
	}
	l.machine.SetSlice(s)
	for _, call := range l.machine.Calls() {
		if hasNoEffect(call) {
			more := l.machine.Handle(machine.CallDone(call.ID, ArgumentsOf(call), e.Now()))
			if l.machine.Deferred() {
				break
			}
			e.metrics.stepsCompleted.Inc()
			l.events = append(l.events, more...)
		}
	}
	l.raw = encodeEvents(l.events)
	if !s.Strict {
		l.size = l.machine.Size()
	}
	return l, nil
}

// environment is Options.Environment with the bounds of an execution.
func (e *Engine) environment(def *language.Workflow, userID string) machine.Environment {
	environment := e.Environment(def, userID)
	environment.MaxHistory = e.Config.MaxHistory
	environment.MaxEvent = e.transitionLimit - e.transitionLimit/16 // the rest is for what every event has
	return environment
}

// retryReadTimeout bounds the reading of the other execution's history.
const retryReadTimeout = 5 * time.Second

// RetryFrom creates the machine of a retry. The error names from_task where the history does not allow it.
func (e *Engine) RetryFrom(ctx context.Context, row Row) (*machine.Execution, []machine.Event, error) {
	def, err := e.Definition(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return nil, nil, err
	}
	raw, err := e.store.history(ctx, row.Origin.ID)
	if err != nil {
		return nil, nil, database.Classify(err)
	}
	events, err := DecodeEvents(raw)
	if err != nil {
		return nil, nil, err
	}
	x, decided, err := machine.RetryFrom(def, events, row.Origin.Task, row.ID, e.Now(), e.environment(def, row.UserID))
	if err != nil {
		return nil, nil, subjects.InvalidField("from_task", "%s", detailOf(err))
	}
	return x, decided, nil
}

// detailOf is the innermost message of an error.
func detailOf(err error) string {
	for cause := errors.Unwrap(err); cause != nil; cause = errors.Unwrap(cause) {
		err = cause
	}
	return strings.TrimPrefix(err.Error(), "retrying an execution: ")
}
