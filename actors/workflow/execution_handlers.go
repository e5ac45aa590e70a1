package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

const (
	// defaultWait is how long execute_workflow waits unless told otherwise.
	defaultWait = 60 * time.Second
	// answerWithin is what is kept of a caller's time to answer in.
	answerWithin = 250 * time.Millisecond
	// answerBytes and maxTasks bound what an answer holds of a long execution.
	answerBytes = 512 << 10
	maxTasks    = 1000
)

// order is what an execution is started with.
type order struct {
	userID, workflowID, executionID, input string
	version                                int
}

// execute starts an execution and waits for its end. The start is a step of its own: it is committed before the wait.
func (a *Actor) execute(ctx context.Context, r subjects.ExecuteWorkflowRequest) (subjects.Execution, error) {
	input, err := inputOf(r.Input, a.config.MaxInput)
	if err != nil {
		return subjects.Execution{}, err
	}
	o := order{
		userID: actors.CallerFrom(ctx).UserID, workflowID: r.WorkflowID, executionID: a.NewID(), input: input, version: r.Version,
	}
	wait := defaultWait
	if r.Timeout > 0 {
		wait = time.Duration(r.Timeout) * time.Second
	}
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)-answerWithin)
	}
	ended, stop := a.live.wait(o.executionID)
	row, err := a.begin(ctx, o)
	if err != nil {
		stop()
		return subjects.Execution{}, err
	}
	if row.ID != o.executionID { // a replay of a start that was interrupted
		stop()
		ended, stop = a.live.wait(row.ID)
	}
	defer stop()
	a.awaitEnd(ctx, row.ID, ended, wait)
	return a.describe(ctx, row.ID, o.userID)
}

// start starts an execution.
func (a *Actor) start(ctx context.Context, r subjects.StartExecutionRequest) (subjects.Execution, error) {
	input, err := inputOf(r.Input, a.config.MaxInput)
	if err != nil {
		return subjects.Execution{}, err
	}
	o := order{
		userID: actors.CallerFrom(ctx).UserID, workflowID: r.WorkflowID, executionID: r.ExecutionID, input: input, version: r.Version,
	}
	if o.executionID == "" {
		o.executionID = a.NewID()
	} else if row, found, err := a.known(ctx, o); err != nil || found {
		return a.view(ctx, row, err)
	}
	row, err := a.begin(ctx, o)
	if actors.IsUnique(err) {
		row, _, err = a.known(ctx, o)
		return a.view(ctx, row, err)
	}
	if err != nil {
		return subjects.Execution{}, err
	}
	e := row.resource()
	e.Input = json.RawMessage(row.Input)
	return e, nil
}

// known finds the execution that an order with its own id was already begun as.
func (a *Actor) known(ctx context.Context, o order) (row executionRow, found bool, err error) {
	row, err = readExecution(ctx, a.DB.DB, o.executionID)
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return row, false, nil
	}
	if err != nil {
		return row, false, err
	}
	same := row.UserID == o.userID && row.WorkflowID == o.workflowID && row.Input == o.input &&
		(o.version == 0 || o.version == row.Version)
	if !same {
		return row, true, subjects.Errorf(subjects.CodeConflict, "the execution_id is taken by another execution")
	}
	return row, true, nil
}

// begin commits an execution with its job, under the guard: none begins once a revocation has returned.
func (a *Actor) begin(ctx context.Context, o order) (executionRow, error) {
	workflow, err := findWorkflow(ctx, a.DB.DB, o.userID, o.workflowID)
	if err != nil {
		return executionRow{}, err
	}
	if o.version == 0 {
		o.version = workflow.Version
	}
	def, err := a.definition(ctx, workflow.ID, o.version)
	if err != nil {
		return executionRow{}, err
	}
	row := executionRow{
		ID: o.executionID, UserID: o.userID, WorkflowID: workflow.ID, Version: o.version, Name: def.Document.Name,
		Status: subjects.ExecutionPending, JobID: a.NewID(), Input: o.input, CreatedAt: a.Now().UnixMicro(),
	}
	grant, err := a.Guard.Check(ctx, o.userID, subjects.ScopeWorkflowsExecute)
	if err != nil {
		return executionRow{}, err
	}
	row.ConsentID = grant.ConsentID
	err = a.Guard.Do(ctx, grant, subjects.ScopeWorkflowsExecute, func(ctx context.Context, _ func()) (err error) {
		row, err = actors.Step(ctx, a.DB, "begin", func(ctx context.Context, tx actors.Tx) (executionRow, error) {
			message, err := jobMessage(row.ID, row.JobID)
			if err != nil {
				return row, err
			}
			if err := insert(ctx, tx, &row); err != nil {
				return row, err
			}
			return row, a.Outbox.Add(ctx, tx, message)
		})
		return err
	})
	return row, err
}

// status answers with an execution: from its log while it lives, from SQL once it has ended.
func (a *Actor) status(ctx context.Context, r subjects.ExecutionRequest) (subjects.Execution, error) {
	return a.describe(ctx, r.ExecutionID, actors.CallerFrom(ctx).UserID)
}

func (a *Actor) describe(ctx context.Context, id, userID string) (subjects.Execution, error) {
	row, err := findExecution(ctx, a.DB.DB, userID, id)
	return a.view(ctx, row, err)
}

func (a *Actor) view(ctx context.Context, row executionRow, err error) (subjects.Execution, error) {
	if err != nil {
		return subjects.Execution{}, err
	}
	raw, status, err := a.eventsOf(ctx, row)
	if err != nil {
		return subjects.Execution{}, err
	}
	events, err := turn{Events: raw}.decoded()
	if err != nil {
		return subjects.Execution{}, err
	}
	return viewOf(row, status, events), nil
}

// eventsOf are all events of an execution, and its status after them.
func (a *Actor) eventsOf(ctx context.Context, row executionRow) ([]json.RawMessage, machine.Status, error) {
	if row.ended() {
		data, err := readHistory(ctx, a.DB.DB, row.ID)
		if err != nil {
			return nil, "", err
		}
		var raw []json.RawMessage
		if err := json.Unmarshal(data, &raw); err != nil {
			return nil, "", fmt.Errorf("decoding the history of %s: %w", row.ID, err)
		}
		return raw, machine.Status(row.Status), nil
	}
	turns, err := a.readLog(ctx, row.ID, 0)
	if err != nil {
		return nil, "", err
	}
	status := machine.Pending
	var raw []json.RawMessage
	for _, t := range turns {
		raw, status = append(raw, t.Events...), t.Status
	}
	return raw, status, nil
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
	row, err := findExecution(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.ExecutionID)
	if err != nil {
		return page, err
	}
	raw, _, err := a.eventsOf(ctx, row)
	if err != nil {
		return page, err
	}
	raw = raw[min(after, len(raw)):]
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

// fitting is how many events an answer has room for: at least one, at most limit.
func fitting(raw []json.RawMessage, limit int) int {
	size := 0
	for i, event := range raw[:min(len(raw), limit)] {
		if size += len(event); size > answerBytes && i > 0 {
			return i
		}
	}
	return limit
}

// watch points at the execution's log.
func (a *Actor) watch(ctx context.Context, r subjects.ExecutionRequest) (subjects.StreamPointer, error) {
	row, err := findExecution(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.ExecutionID)
	if err != nil {
		return subjects.StreamPointer{}, err
	}
	if row.PurgedAt != 0 {
		return subjects.StreamPointer{}, subjects.Errorf(subjects.CodeConflict, "the execution has ended: read its history")
	}
	_, first, err := a.nextMessage(ctx, row.ID, 1)
	if err != nil {
		return subjects.StreamPointer{}, err
	}
	return subjects.StreamPointer{
		Stream: subjects.WorkflowHistory.Name, Filter: subjects.HistorySubject(row.ID), Sequence: max(first, 1), Until: lastEvents,
	}, nil
}

// lastEvents are the types of events that end an execution.
var lastEvents = []string{
	string(machine.ExecutionCompleted), string(machine.ExecutionFaulted), string(machine.ExecutionCancelled),
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
	rows, err := pageOfExecutions(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r, after, cursor[1])
	if err != nil {
		return page, err
	}
	items := make([]subjects.Execution, 0, len(rows))
	for _, row := range rows {
		e := row.resource()
		if !row.ended() {
			last, err := a.lastTurn(ctx, row.ID)
			if err != nil {
				return page, err
			}
			if last.sequence != 0 {
				e.Status = string(last.Status)
			}
		}
		items = append(items, e)
	}
	page = actors.PageOf(items, r.PageLimit(), func(e subjects.Execution) []string {
		return []string{strconv.FormatInt(e.CreatedAt.UnixMicro(), 10), e.ID}
	})
	if r.Status != "" {
		page.Items = slices.DeleteFunc(page.Items, func(e subjects.Execution) bool { return e.Status != r.Status })
	}
	return page, nil
}

// viewOf is an execution as its owner sees it.
func viewOf(row executionRow, status machine.Status, events []machine.Event) subjects.Execution {
	e := row.resource()
	e.Status, e.Input = string(status), json.RawMessage(row.Input)
	if len(events) == 0 {
		return e
	}
	first, last := events[0], events[len(events)-1]
	e.StartedAt = &first.At
	switch last.Type {
	case machine.ExecutionCompleted:
		e.Output = mustRaw(last.Output)
	case machine.ExecutionFaulted:
		e.Error = problemOf(last.Error)
	}
	if status.Ended() {
		e.EndedAt = &last.At
	}
	tasks := machine.Tasks(events)
	e.TasksOmitted = max(0, len(tasks)-maxTasks)
	for _, t := range tasks[e.TasksOmitted:] {
		task := subjects.ExecutionTask{
			Run: t.Run, Task: t.Task, Name: t.Name, Key: t.Key, Attempt: t.Attempt, Status: string(t.Status), Retries: t.Retries,
			Iterations: t.Iterations, StartedAt: t.StartedAt, Error: problemOf(t.Error),
		}
		if !t.EndedAt.IsZero() {
			task.EndedAt = &t.EndedAt
		}
		e.Tasks = append(e.Tasks, task)
	}
	return e
}

// mustRaw renders a value of an event, which is JSON by its making.
func mustRaw(v machine.Value) json.RawMessage {
	data, err := v.MarshalJSON()
	if err != nil {
		return nil
	}
	return data
}

func problemOf(e *machine.Error) *subjects.ExecutionProblem {
	if e == nil {
		return nil
	}
	p := subjects.ExecutionProblem(*e)
	return &p
}
