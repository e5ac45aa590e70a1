package workflow

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
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
	origin, parent, parentCall string
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
	ended := make(chan ending, 2) // a partition that is lost tells so, and it may go on elsewhere
	row, begun, err := a.begin(ctx, o, ended)
	if err != nil {
		return subjects.Execution{}, err
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if begun {
		select {
		case end := <-ended:
			if end.err == nil && end.whole {
				return viewOf(end.row, machine.Status(end.row.Status), end.turns...), nil
			}
		case <-waiting.Done():
		}
	}
	a.awaitEnd(waiting, row.ID)
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
	e := row.resource()
	e.Status, e.Input = subjects.ExecutionPending, json.RawMessage(row.Input)
	return e, nil
}

// orderOf reads a request to start an execution. Under an idempotency key the execution's id is chosen, and kept, before
// anything is begun, so that a repetition finds the execution.
func (a *Actor) orderOf(ctx context.Context, workflowID, executionID string, version int, given json.RawMessage) (order, error) {
	input, err := inputOf(given, a.config.MaxInput)
	if err != nil {
		return order{}, err
	}
	if executionID == "" && idempotency.Keyed(ctx, a.DB) {
		executionID, err = idempotency.Step(ctx, a.DB, "id", func(context.Context, database.Tx) (string, error) { return a.newExecutionID(), nil })
		if err != nil {
			return order{}, err
		}
	}
	return order{
		userID: actors.CallerFrom(ctx).UserID, workflowID: workflowID, executionID: lower(executionID), version: version, input: input,
	}, nil
}

// newExecutionID is an id in this process's own partition, where it has one.
func (a *Actor) newExecutionID() string {
	id := a.NewID()
	if home := a.home(); home >= 0 {
		return inLot(id, home)
	}
	return id
}

// begin starts an execution under the guard: none begins once a revocation has returned. begun is false where the order
// with its own id had begun one before.
func (a *Actor) begin(ctx context.Context, o order, ended chan ending) (row executionRow, begun bool, err error) {
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
	row = executionRow{
		ID: o.executionID, UserID: o.userID, WorkflowID: workflow.ID, Version: o.version, Name: def.Document.Name, Input: o.input,
		Attributes: attributesOf(def, o.input), Origin: o.origin, ParentID: o.parent, ParentCall: o.parentCall,
		Trace: traceOf(ctx), CreatedAt: a.Now().UnixMicro(),
	}
	if row.Terms, row.Priority, err = termsOf(def, workflow.ID, o.input); err != nil {
		return row, false, err
	}
	lot := a.place(&row)
	if o.executionID != "" && lot != lotOf(o.executionID) { // else who begins it there finds what has the id
		if found, known, err := a.known(ctx, o, lot); err != nil || known {
			return found, false, err
		}
	}
	err = a.Guard.DoConsented(ctx, o.userID, subjects.ScopeWorkflowsExecute, func(ctx context.Context, grant mesh.Grant) error {
		row.ConsentID = grant.ConsentID
		c := command{Op: opStart, Start: &row, Schedule: o.schedule}
		if p := a.partition(lot); p != nil {
			if err := p.startAsked(ctx, c, ended, o.executionID == ""); !handedOver(err) {
				return err
			}
		}
		if ended != nil {
			ended <- ending{} // it ends elsewhere
		}
		_, err := a.ask(ctx, lot, c)
		return err
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
func (a *Actor) place(row *executionRow) (lot int) {
	if row.Terms == nil {
		row.ID = cmp.Or(row.ID, a.newExecutionID())
		return lotOf(row.ID)
	}
	lot = limitedLot(row.WorkflowID)
	row.ID = cmp.Or(row.ID, inLot(a.NewID(), lot))
	return lot
}

// known finds the execution that an order with its own id was already begun as, where its id says, or in a partition.
func (a *Actor) known(ctx context.Context, o order, lot int) (row executionRow, found bool, err error) {
	row, err = a.current(ctx, o.executionID)
	if isNotFound(err) && lot != lotOf(o.executionID) {
		row, err = a.currentIn(ctx, o.executionID, lot)
	}
	if isNotFound(err) {
		return row, false, nil
	}
	if err != nil {
		return row, false, err
	}
	same := row.UserID == o.userID && row.WorkflowID == o.workflowID && row.Input == o.input &&
		(o.version == 0 || o.version == row.Version || o.origin != "")
	if !same {
		return row, true, errTaken
	}
	return row, true, nil
}

// awaitEnd returns when an execution has ended, at the latest with ctx.
func (a *Actor) awaitEnd(ctx context.Context, id string) {
	for ctx.Err() == nil {
		slice, cancel := context.WithTimeout(ctx, awaitSlice)
		_, err := a.askFor(slice, id, command{Op: opAwait})
		cancel()
		if err == nil || a.isStopping() {
			return
		}
	}
}

// current is an execution as the log has it.
func (a *Actor) current(ctx context.Context, id string) (executionRow, error) {
	row, err := readExecution(ctx, a.DB.DB, id)
	if err == nil && row.ended() {
		return row, nil
	}
	if err != nil && !isNotFound(err) {
		return row, database.Classify(err)
	}
	lot := lotOf(id)
	if err == nil {
		lot = row.Lot
	}
	return a.currentIn(ctx, id, lot)
}

// currentIn is an execution as a partition's log has it.
func (a *Actor) currentIn(ctx context.Context, id string, lot int) (executionRow, error) {
	if _, err := a.ask(ctx, lot, command{Op: opFlush}); err != nil {
		return executionRow{}, err
	}
	row, err := readExecution(ctx, a.DB.DB, id)
	if err != nil && !isNotFound(err) {
		return row, database.Classify(err)
	}
	return row, err
}

// findExecution is one of a user's executions, as the log has it.
func (a *Actor) findExecution(ctx context.Context, userID, id string) (executionRow, error) {
	row, err := a.current(ctx, lower(id))
	if err == nil && row.UserID != userID {
		return executionRow{}, errNoExecution
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
func (a *Actor) recorded(ctx context.Context, id, userID string) (executionRow, []machine.Event, error) {
	row, err := a.findExecution(ctx, userID, id)
	if err != nil {
		return row, nil, err
	}
	raw, err := readHistory(ctx, a.DB.DB, row.ID, 0, 0)
	if err != nil {
		return row, nil, err
	}
	events, err := decodeEvents(raw)
	return row, events, err
}

// historyRuns bounds how many runs of events one page reads.
const historyRuns = 1000

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
	raw, err := readHistory(ctx, a.DB.DB, row.ID, int64(after), historyRuns)
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
	if err := a.flushAll(ctx); err != nil {
		return page, err
	}
	var patterns []string
	for _, filter := range r.Attribute {
		pattern, err := attributePattern(filter)
		if err != nil {
			return page, err
		}
		patterns = append(patterns, pattern)
	}
	rows, err := pageOfExecutions(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r, patterns, after, cursor[1])
	if err != nil {
		return page, err
	}
	items := make([]subjects.Execution, 0, len(rows))
	for _, row := range rows {
		items = append(items, row.resource())
	}
	return actors.PageOf(items, r.PageLimit(), func(e subjects.Execution) []string {
		return []string{strconv.FormatInt(e.CreatedAt.UnixMicro(), 10), e.ID}
	}), nil
}

// flushAll returns when SQL has what all logs had before the call.
func (a *Actor) flushAll(ctx context.Context) error {
	if len(a.owned()) == subjects.WorkflowPartitions {
		return database.Classify(a.flush(ctx))
	}
	return a.askAll(ctx, command{Op: opFlush})
}

// askAll has the owners of all partitions carry a command out.
func (a *Actor) askAll(ctx context.Context, c command) error {
	errs := make(chan error, subjects.WorkflowPartitions)
	for lot := range subjects.WorkflowPartitions {
		go func() {
			_, err := a.ask(ctx, lot, c)
			errs <- err
		}()
	}
	var all []error
	for range subjects.WorkflowPartitions {
		all = append(all, <-errs)
	}
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
