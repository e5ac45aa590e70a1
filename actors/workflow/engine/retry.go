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

// retried tells whether an execution is to begin with what another one had done.
func isRetry(row Row) bool { return row.Origin.Kind == OriginRetry }

// embark begins an execution in memory: from its beginning, or with what another one had done.
func (e *Engine) launch(ctx context.Context, h *execution, input any) (*machine.Execution, []machine.Event, error) {
	if isRetry(h.row) {
		ctx, cancel := context.WithTimeout(ctx, retryReadTimeout)
		defer cancel()
		return e.RetryFrom(ctx, h.row)
	}
	x, events := machine.Start(h.def, h.row.ID, input, e.Now(), e.Environment(h.def, h.row.UserID))
	return x, events, nil
}

// keptWithin bounds the reading of what another execution had done.
const retryReadTimeout = 5 * time.Second

// kept begins a retried execution in memory.
func (e *Engine) RetryFrom(ctx context.Context, row Row) (*machine.Execution, []machine.Event, error) {
	def, err := e.Definition(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return nil, nil, err
	}
	raw, err := ReadHistory(ctx, e.DB.DB, row.Origin.ID, 0, 0)
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

// detailOf is an error's own words, without what was being done.
func detailOf(err error) string {
	for cause := errors.Unwrap(err); cause != nil; cause = errors.Unwrap(cause) {
		err = cause
	}
	return strings.TrimPrefix(err.Error(), "retrying an execution: ")
}
