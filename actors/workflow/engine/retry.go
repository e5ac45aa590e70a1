package engine

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// isRetry reports whether an execution continues from the history of another one.
func isRetry(row Row) bool { return row.Origin.Kind == OriginRetry }

// launch creates an execution's machine: from its start, or from the history of another execution.
func (e *Engine) launch(ctx context.Context, h *execution, input any) (*machine.Execution, []machine.Event, error) {
	if isRetry(h.row) {
		ctx, cancel := context.WithTimeout(ctx, retryReadTimeout)
		defer cancel()
		return e.RetryFrom(ctx, h.row)
	}
	x, events := machine.Start(h.def, h.row.ID, input, e.Now(), e.Environment(h.def, h.row.UserID))
	return x, events, nil
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
	x, decided, err := machine.RetryFrom(def, events, row.Origin.Task, row.ID, e.Now(), e.Environment(def, row.UserID))
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
