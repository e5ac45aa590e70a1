package workflow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// defaultWait is how long execute_workflow waits unless told otherwise.
	defaultWait = 60 * time.Second
	// answerWithin is what is kept of a caller's time to answer in.
	answerWithin = 250 * time.Millisecond
)

// order is what an execution is started with.
type order struct {
	userID, workflowID string
	// executionID is chosen by the caller, or derived from what the execution is started for: then a second start with it
	// is the first one. Empty: a new one.
	executionID string
	// version 0 is the current one.
	version int
	// input is canonical JSON.
	input string
	// origin says what starts it, parent and parentCall the call that waits for it.
	origin             engine.Origin
	parent, parentCall string
	// schedule is what starts it by itself: it is not begun once that was paused.
	schedule string
}

// execute starts an execution and waits for its end.
func (a *Actor) execute(ctx context.Context, r subjects.ExecuteWorkflowRequest) (subjects.Execution, error) {
	o, err := a.orderOf(ctx, r.WorkflowID, "", r.Version, r.Input)
	if err != nil {
		return subjects.Execution{}, err
	}
	wait := defaultWait
	if r.Timeout > 0 {
		wait = time.Duration(r.Timeout) * time.Second
	}
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)-answerWithin)
	}
	ended := make(chan engine.Result, 2) // a partition that is lost tells so, and it may go on elsewhere
	row, begun, err := a.begin(ctx, o, ended)
	if err != nil {
		return subjects.Execution{}, err
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if begun {
		select {
		case end := <-ended:
			if end.Err == nil && end.Complete {
				return viewOf(end.Row, machine.Status(end.Row.Status), end.Transitions...), nil
			}
		case <-waiting.Done():
		}
	}
	a.engine.AwaitEnd(waiting, row.ID)
	return a.describe(ctx, row.ID, o.userID)
}

// start starts an execution.
func (a *Actor) start(ctx context.Context, r subjects.StartExecutionRequest) (subjects.Execution, error) {
	o, err := a.orderOf(ctx, r.WorkflowID, r.ExecutionID, r.Version, r.Input)
	if err != nil {
		return subjects.Execution{}, err
	}
	row, begun, err := a.begin(ctx, o, nil)
	if err != nil {
		return subjects.Execution{}, err
	}
	if !begun {
		return a.describe(ctx, row.ID, o.userID)
	}
	e := row.Resource()
	e.Status, e.Input = subjects.ExecutionPending, json.RawMessage(row.Input)
	return e, nil
}

// orderOf reads a request to start an execution. Under an idempotency key the execution's id is chosen, and kept, before
// anything is begun, so that a repetition finds the execution.
func (a *Actor) orderOf(ctx context.Context, workflowID, executionID string, version int, given json.RawMessage) (order, error) {
	input, err := definition.InputOf(given, a.config.MaxInput)
	if err != nil {
		return order{}, err
	}
	if executionID == "" && idempotency.Keyed(ctx, a.DB) {
		executionID, err = idempotency.Step(ctx, a.DB, "id", func(context.Context, database.Tx) (string, error) { return a.engine.NewExecutionID(), nil })
		if err != nil {
			return order{}, err
		}
	}
	return order{
		userID: actors.CallerFrom(ctx).UserID, workflowID: workflowID, executionID: lower(executionID), version: version, input: input,
	}, nil
}

// begin starts an execution under the guard: none begins once a revocation has returned. begun is false where the order
// with its own id had begun one before.
func (a *Actor) begin(ctx context.Context, o order, ended chan engine.Result) (row engine.Row, begun bool, err error) {
	workflow, err := a.currentWorkflow(ctx, o.userID, o.workflowID)
	if err != nil {
		return row, false, err
	}
	if o.version == 0 {
		o.version = workflow.Version
	}
	def, err := a.definition(ctx, workflow.ID, o.version)
	if err != nil {
		return row, false, err
	}
	row = engine.Row{
		ID: o.executionID, UserID: o.userID, WorkflowID: workflow.ID, Version: o.version, Name: def.Document.Name, Input: o.input,
		Attributes: definition.AttributesOf(def, o.input), Origin: o.origin, ParentID: o.parent, ParentCall: o.parentCall,
		Trace: engine.TraceOf(ctx), CreatedAt: a.Now().UnixMicro(),
	}
	if row.Limits, row.Priority, err = definition.LimitsOf(def, workflow.ID, o.input); err != nil {
		return row, false, err
	}
	lot := a.place(&row)
	if o.executionID != "" && lot != engine.PartitionOf(o.executionID) { // else who begins it there finds what has the id
		if found, known, err := a.known(ctx, o, lot); err != nil || known {
			return found, false, err
		}
	}
	err = a.Guard.DoConsented(ctx, o.userID, subjects.ScopeWorkflowsExecute, func(ctx context.Context, grant mesh.Grant) error {
		row.ConsentID = grant.ConsentID
		return a.engine.Start(ctx, lot, row, o.schedule, o.executionID == "", ended)
	})
	code := subjects.CodeOf(err)
	if code == subjects.CodeConflict || code == subjects.CodeConsentRequired && o.executionID != "" {
		o.executionID = row.ID // it may be this very start, whose owner was lost before it answered
		if found, known, failed := a.known(ctx, o, lot); failed != nil || known {
			return found, false, failed
		}
	}
	return row, err == nil, err
}

// place tells which partition a new execution is to live in, and gives it an id where it has none: where its workflow has
// limits, that one which counts them all, else where its id says.
func (a *Actor) place(row *engine.Row) (lot int) {
	if row.Limits == nil {
		row.ID = cmp.Or(row.ID, a.engine.NewExecutionID())
		return engine.PartitionOf(row.ID)
	}
	lot = engine.LimitedPartition(row.WorkflowID)
	row.ID = cmp.Or(row.ID, engine.IDIn(a.NewID(), lot))
	return lot
}

// known finds the execution that an order with its own id was already begun as, where its id says, or in a partition.
func (a *Actor) known(ctx context.Context, o order, lot int) (row engine.Row, found bool, err error) {
	row, err = a.engine.Current(ctx, o.executionID)
	if engine.IsNotFound(err) && lot != engine.PartitionOf(o.executionID) {
		row, err = a.engine.CurrentIn(ctx, o.executionID, lot)
	}
	if engine.IsNotFound(err) {
		return row, false, nil
	}
	if err != nil {
		return row, false, err
	}
	same := row.UserID == o.userID && row.WorkflowID == o.workflowID && row.Input == o.input &&
		(o.version == 0 || o.version == row.Version || o.origin.Kind != "")
	if !same {
		return row, true, engine.ErrTaken
	}
	return row, true, nil
}

// findExecution is one of a user's executions, as the log has it.
func (a *Actor) findExecution(ctx context.Context, userID, id string) (engine.Row, error) {
	row, err := a.engine.Current(ctx, lower(id))
	if err == nil && row.UserID != userID {
		return engine.Row{}, engine.ErrNoExecution
	}
	return row, err
}

// status answers with an execution.
func (a *Actor) status(ctx context.Context, r subjects.ExecutionRequest) (subjects.Execution, error) {
	return a.describe(ctx, r.ExecutionID, actors.CallerFrom(ctx).UserID)
}

func (a *Actor) describe(ctx context.Context, id, userID string) (subjects.Execution, error) {
	row, events, err := a.recorded(ctx, id, userID)
	if err != nil {
		return subjects.Execution{}, err
	}
	return viewOf(row, machine.Status(row.Status), events), nil
}

// recorded is one of a user's executions with its whole history, as the log has it.
func (a *Actor) recorded(ctx context.Context, id, userID string) (engine.Row, []machine.Event, error) {
	row, err := a.findExecution(ctx, userID, id)
	if err != nil {
		return row, nil, err
	}
	raw, err := engine.ReadHistory(ctx, a.DB.DB, row.ID, 0, 0)
	if err != nil {
		return row, nil, err
	}
	events, err := engine.DecodeEvents(raw)
	return row, events, err
}

func (a *Actor) historyOf(ctx context.Context, r subjects.ExecutionHistoryRequest) (subjects.Page[subjects.ExecutionEvent], error) {
	var page subjects.Page[subjects.ExecutionEvent]
	cursor, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return page, err
	}
	after := 0
	if cursor[0] != "" {
		if after, err = strconv.Atoi(cursor[0]); err != nil || after < 0 {
			return page, subjects.InvalidField("cursor", "is not one that a list answered with")
		}
	}
	row, err := a.findExecution(ctx, actors.CallerFrom(ctx).UserID, r.ExecutionID)
	if err != nil {
		return page, err
	}
	raw, err := engine.ReadHistory(ctx, a.DB.DB, row.ID, int64(after), engine.HistoryRuns)
	if err != nil {
		return page, err
	}
	limit := fitting(raw, r.PageLimit())
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
	cursor, err := actors.DecodeCursor(r.Cursor, 2)
	if err != nil {
		return page, err
	}
	var after int64
	if cursor[1] != "" {
		if after, err = strconv.ParseInt(cursor[0], 10, 64); err != nil {
			return page, subjects.InvalidField("cursor", "is not one that a list answered with")
		}
	}
	if err := a.engine.FlushAll(ctx); err != nil {
		return page, err
	}
	attributes := map[string]string{}
	for _, filter := range r.Attribute {
		name, value, err := definition.AttributeFilter(filter)
		if err != nil {
			return page, err
		}
		if other, given := attributes[name]; given && other != value {
			return actors.PageOf([]subjects.Execution{}, r.PageLimit(), nil), nil // an attribute has one value
		}
		attributes[name] = value
	}
	rows, err := engine.PageOfExecutions(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r, attributes, after, cursor[1])
	if err != nil {
		return page, err
	}
	items := make([]subjects.Execution, 0, len(rows))
	for _, row := range rows {
		items = append(items, row.Resource())
	}
	return actors.PageOf(items, r.PageLimit(), func(e subjects.Execution) []string {
		return []string{strconv.FormatInt(e.CreatedAt.UnixMicro(), 10), e.ID}
	}), nil
}

// watch answers with the stream that holds the execution's history and grows with it.
func (a *Actor) watch(ctx context.Context, r subjects.ExecutionRequest) (subjects.StreamPointer, error) {
	row, err := a.findExecution(ctx, actors.CallerFrom(ctx).UserID, r.ExecutionID)
	if err != nil {
		return subjects.StreamPointer{}, err
	}
	return a.engine.Watch(ctx, row)
}

// startExecution starts an execution whose id says that it is the same however often it is started.
func (a *Actor) startExecution(ctx context.Context, o order) error {
	_, _, err := a.begin(ctx, o, nil)
	if errors.Is(err, engine.ErrTaken) {
		return nil
	}
	return err
}
