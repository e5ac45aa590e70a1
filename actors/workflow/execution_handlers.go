package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

const (
	// defaultWait is how long execute_workflow waits if the request does not say.
	defaultWait = 60 * time.Second
	// replyReserve is the part of the caller's deadline that is kept for reading the execution and answering.
	replyReserve = 250 * time.Millisecond
)

// executeWorkflow starts an execution and waits for its end, at most for the request's timeout.
func (a *Actor) executeWorkflow(ctx context.Context, r subjects.ExecuteWorkflowRequest) (subjects.Execution, error) {
	request, err := a.startRequestOf(ctx, r.WorkflowID, "", r.Version, r.Input)
	if err != nil {
		return subjects.Execution{}, err
	}
	request.origin.Kind = engine.OriginWait
	wait := defaultWait
	if r.Timeout > 0 {
		wait = time.Duration(r.Timeout) * time.Second
	}
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)-replyReserve)
	}
	// Two results may come: an empty one if the partition is lost, and one if the execution then ends under its next owner.
	results := make(chan engine.Result, 2)
	row, started, err := a.executions.start(ctx, request, results)
	if err != nil {
		return subjects.Execution{}, err
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if started {
		select {
		case end := <-results:
			if end.Err == nil && end.Complete {
				return viewOf(end.Row, machine.Status(end.Row.Status), end.Transitions...), nil
			}
		case <-waiting.Done():
		}
	}
	a.engine.AwaitEnd(waiting, row.ID)
	return a.executions.view(ctx, request.userID, row.ID)
}

// startExecution starts an execution and does not wait for it.
func (a *Actor) startExecution(ctx context.Context, r subjects.StartExecutionRequest) (subjects.Execution, error) {
	request, err := a.startRequestOf(ctx, r.WorkflowID, r.ExecutionID, r.Version, r.Input)
	if err != nil {
		return subjects.Execution{}, err
	}
	row, started, err := a.executions.start(ctx, request, nil)
	if err != nil {
		return subjects.Execution{}, err
	}
	if !started {
		return a.executions.view(ctx, request.userID, row.ID)
	}
	e := row.Resource()
	e.Status, e.Input = subjects.ExecutionPending, json.RawMessage(row.Input)
	return e, nil
}

// startRequestOf reads a caller's request for a start. Under an idempotency key the execution's id is chosen and recorded
// before anything starts, so that a retry of the request finds the execution.
func (a *Actor) startRequestOf(ctx context.Context, workflowID, chosen string, version int, given json.RawMessage) (startRequest, error) {
	input, err := definition.InputOf(given, a.config.MaxInput)
	if err != nil {
		return startRequest{}, err
	}
	executionID := ""
	if chosen == "" && idempotency.Keyed(ctx, a.DB) {
		executionID, err = idempotency.Step(ctx, a.DB, "id", func(context.Context, database.Tx) (string, error) { return a.engine.NewExecutionID(), nil })
		if err != nil {
			return startRequest{}, err
		}
	}
	caller := actors.CallerFrom(ctx)
	r := startRequest{
		authority: caller.Authority, userID: caller.UserID, workflowID: workflowID, executionID: executionID, version: version, input: input,
	}
	if chosen != "" {
		r.chosenID = strings.ToLower(chosen)
		r.executionID, err = a.executions.idOf(ctx, caller.UserID, r.chosenID)
	}
	return r, err
}

func (a *Actor) getExecution(ctx context.Context, r subjects.ExecutionRequest) (subjects.Execution, error) {
	return a.executions.view(ctx, actors.CallerFrom(ctx).UserID, r.ExecutionID)
}

func (a *Actor) getHistory(ctx context.Context, r subjects.ExecutionHistoryRequest) (subjects.Page[subjects.ExecutionEvent], error) {
	var page subjects.Page[subjects.ExecutionEvent]
	after, err := numberCursor(r.Cursor)
	if err != nil {
		return page, err
	}
	row, err := a.executions.find(ctx, actors.CallerFrom(ctx).UserID, r.ExecutionID)
	if err != nil {
		return page, err
	}
	raw, err := engine.ReadHistory(ctx, a.DB.DB, row.ID, int64(after), r.PageLimit()+1, maxReplyBytes+1)
	if err != nil {
		return page, err
	}
	limit := fitEvents(raw, r.PageLimit())
	raw = raw[:min(len(raw), limit+1)]
	items := make([]subjects.ExecutionEvent, len(raw))
	for i := range raw {
		if err := json.Unmarshal(raw[i], &items[i]); err != nil {
			return page, fmt.Errorf("decoding an event of %s: %w", row.ID, err)
		}
	}
	return actors.PageOf(items, limit, func(e subjects.ExecutionEvent) []string {
		return []string{strconv.FormatUint(e.Sequence, 10)}
	}), nil
}

func (a *Actor) listExecutions(ctx context.Context, r subjects.ListExecutionsRequest) (subjects.Page[subjects.Execution], error) {
	var page subjects.Page[subjects.Execution]
	after, afterID, err := timeCursor(r.Cursor)
	if err != nil {
		return page, err
	}
	attributes := map[string]string{}
	for _, filter := range r.Attribute {
		name, value, err := definition.AttributeFilter(filter)
		if err != nil {
			return page, err
		}
		if other, given := attributes[name]; given && other != value { // an attribute has one value
			return actors.PageOf([]subjects.Execution{}, r.PageLimit(), nil), nil
		}
		attributes[name] = value
	}
	if err := a.engine.FlushAll(ctx); err != nil {
		return page, err
	}
	rows, last, err := engine.PageOfExecutions(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r, attributes, after, afterID)
	if err != nil {
		return page, err
	}
	items := make([]subjects.Execution, 0, len(rows))
	for _, row := range rows {
		items = append(items, row.Resource())
	}
	ids := make(map[string]string, len(rows)) // by the id that the user knows
	for _, row := range rows {
		ids[row.PublicID()] = row.ID
	}
	page = actors.PageOf(items, r.PageLimit(), func(e subjects.Execution) []string { return timeKey(e.CreatedAt, ids[e.ID]) })
	if last != nil {
		page.NextCursor = actors.EncodeCursor(timeKey(machine.Moment(last.CreatedAt), last.ID)...)
	}
	return page, nil
}

// watchExecution returns where in the stream WORKFLOW_FEED to read the execution's history, which is published from now on.
func (a *Actor) watchExecution(ctx context.Context, r subjects.ExecutionRequest) (subjects.StreamPointer, error) {
	row, err := a.executions.find(ctx, actors.CallerFrom(ctx).UserID, r.ExecutionID)
	if err != nil {
		return subjects.StreamPointer{}, err
	}
	return a.engine.Watch(ctx, row)
}

func (a *Actor) cancelExecution(ctx context.Context, r subjects.ExecutionControlRequest) (subjects.Execution, error) {
	userID := actors.CallerFrom(ctx).UserID
	if err := a.executions.cancel(ctx, userID, r.ExecutionID, r.Reason); err != nil {
		return subjects.Execution{}, err
	}
	return a.executions.view(ctx, userID, r.ExecutionID)
}

func (a *Actor) suspendExecution(ctx context.Context, r subjects.ExecutionControlRequest) (subjects.Execution, error) {
	userID := actors.CallerFrom(ctx).UserID
	err := a.executions.control(ctx, userID, r.ExecutionID, "", func(row engine.Row) (engine.ControlReply, error) {
		return a.engine.Suspend(ctx, row, r.Reason)
	})
	if err != nil {
		return subjects.Execution{}, err
	}
	return a.executions.view(ctx, userID, r.ExecutionID)
}

func (a *Actor) resumeExecution(ctx context.Context, r subjects.ExecutionRequest) (subjects.Execution, error) {
	userID := actors.CallerFrom(ctx).UserID
	row, err := a.executions.find(ctx, userID, r.ExecutionID)
	if err != nil {
		return subjects.Execution{}, err
	}
	if err := a.Guard.CheckGrant(ctx, row.Grant()); err != nil {
		return subjects.Execution{}, err
	}
	err = a.executions.control(ctx, userID, r.ExecutionID, "", func(row engine.Row) (engine.ControlReply, error) {
		return a.engine.Resume(ctx, row)
	})
	if err != nil {
		return subjects.Execution{}, err
	}
	return a.executions.view(ctx, userID, r.ExecutionID)
}
