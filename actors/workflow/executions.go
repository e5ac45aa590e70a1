package workflow

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/compute"
	"github.com/weftmesh/weft/subjects"
)

// executions starts, finds and controls users' executions. It decides whether a start is allowed and in which partition the
// execution lives; the engine runs it.
type executions struct {
	actors.Deps

	config      Config
	engine      *engine.Engine
	definitions *definitions
	workflows   *workflowCache
	trees       *trees
}

// startRequest is what an execution is started with.
type startRequest struct {
	userID, workflowID string
	// executionID is chosen by the caller, or derived from what causes the start; a second start with the same id returns the
	// execution of the first. Empty: a new id is made.
	executionID string
	// chosenID is the id that the caller chose, if executionID is derived from one.
	chosenID string
	// version 0 is the current version.
	version int
	// input is canonical JSON.
	input string
	// origin is what causes the start.
	origin engine.Origin
	// parentID and parentCall are the execution and its call that wait for this execution, if any.
	parentID, parentCall string
	// authority restricts the execution to what API keys may do: those of who started it. authored: that is not who chose the
	// version, so the execution has no more than the version's author either.
	authority mesh.Authority
	authored  bool
	// scheduleID is the schedule that causes the start, if any. The start fails with engine.ErrSchedulePaused if it is paused.
	scheduleID string
}

// start starts an execution and returns once that is in its partition's log. It is guarded by consent: nothing starts after a
// revocation has returned. started is false if the execution that the request names exists already. If results is not nil,
// the engine sends to it what engine.Start promises.
func (x *executions) start(ctx context.Context, r startRequest, results chan engine.Result) (row engine.Row, started bool, err error) {
	workflow, err := x.workflows.find(ctx, r.userID, r.workflowID)
	if err != nil {
		return row, false, err
	}
	if r.version == 0 {
		r.version = workflow.Version
	}
	def, err := x.definitions.version(ctx, workflow.ID, r.version)
	if err != nil {
		return row, false, err
	}
	if r.authored {
		author, err := x.definitions.author(ctx, workflow.ID, r.version)
		if err != nil {
			return row, false, err
		}
		r.authority = r.authority.Intersect(author)
	}
	if err := x.Keys.Check(ctx, r.userID, r.authority, subjects.ScopeWorkflowsExecute); err != nil {
		return row, false, err
	}
	row = engine.Row{
		Authority: r.authority, ID: r.executionID, ChosenID: r.chosenID, UserID: r.userID,
		WorkflowID: workflow.ID, Version: r.version, Name: def.Document.Name, Input: engine.Packed(r.input),
		Attributes: definition.AttributesOf(def, r.input), Origin: r.origin, ParentID: r.parentID, ParentCall: r.parentCall,
		Trace: engine.TraceOf(ctx), CreatedAt: x.Now().UnixMicro(),
	}
	if row.Limits, row.Priority, err = definition.LimitsOf(def, workflow.ID, r.input); err != nil {
		return row, false, err
	}
	if err := x.trees.check(ctx, r.origin); err != nil {
		return row, false, err
	}
	partition := x.place(&row)
	// If the id names another partition, the owner of this one cannot know the id: look for it first.
	if r.executionID != "" && partition != engine.PartitionOf(r.executionID) {
		if found, known, err := x.existing(ctx, r, partition); err != nil || known {
			return found, false, err
		}
	}
	err = x.Guard.DoConsented(ctx, r.userID, subjects.ScopeWorkflowsExecute, func(ctx context.Context, grant mesh.Grant) error {
		row.ConsentID = grant.ConsentID
		return x.engine.Start(ctx, partition, row, r.scheduleID, r.executionID == "", results)
	})
	code := subjects.CodeOf(err)
	if code == subjects.CodeConflict || code == subjects.CodeConsentRequired && r.executionID != "" {
		r.executionID = row.ID // it may be this very start, repeated because the owner was lost before it answered
		if found, known, failed := x.existing(ctx, r, partition); failed != nil || known {
			return found, false, failed
		}
	}
	return row, err == nil, err
}

// startOnce starts an execution whose id is derived from its cause. It succeeds if the cause has started one before, be it
// with another input.
func (x *executions) startOnce(ctx context.Context, r startRequest) error {
	_, _, err := x.start(ctx, r, nil)
	if errors.Is(err, engine.ErrTaken) {
		return nil
	}
	return err
}

// place returns the partition of a new execution, and gives it an id if it has none. All executions of a workflow with limits
// live in one partition, whose owner counts them; the others live where their id says.
func (x *executions) place(row *engine.Row) (partition int) {
	if row.Limits == nil {
		row.ID = cmp.Or(row.ID, x.engine.NewExecutionID())
		return engine.PartitionOf(row.ID)
	}
	partition = engine.LimitedPartition(row.WorkflowID)
	row.ID = cmp.Or(row.ID, engine.IDIn(x.NewID(), partition))
	return partition
}

// existing looks for the execution of an earlier start with the same id, in the partition that the id names and in the given
// one. The error is engine.ErrTaken if the id belongs to a different start.
func (x *executions) existing(ctx context.Context, r startRequest, partition int) (row engine.Row, found bool, err error) {
	row, err = x.engine.Current(ctx, r.executionID)
	if engine.IsNotFound(err) && partition != engine.PartitionOf(r.executionID) {
		row, err = x.engine.CurrentIn(ctx, r.executionID, partition)
	}
	if engine.IsNotFound(err) {
		return row, false, nil
	}
	if err != nil {
		return row, false, err
	}
	same := row.UserID == r.userID && row.WorkflowID == r.workflowID && string(row.Input) == r.input &&
		(r.version == 0 || r.version == row.Version || r.origin.Trigger() != "")
	if !same {
		return row, true, engine.ErrTaken
	}
	return row, true, nil
}

// find returns one of a user's executions, by the id that the user chose for it or its own, as current as the log.
func (x *executions) find(ctx context.Context, userID, id string) (engine.Row, error) {
	id = strings.ToLower(id) // a UUID may be written in upper case
	row, err := x.engine.Current(ctx, id)
	if err == nil && row.UserID != userID || engine.IsNotFound(err) {
		row, err = x.engine.Current(ctx, engine.ChosenID(userID, id))
	}
	if err == nil && row.UserID != userID {
		return engine.Row{}, engine.ErrNoExecution
	}
	return row, err
}

// idOf returns the id of the execution that a user names by a chosen id. A user may choose the id of one of the own executions,
// which then is that one.
func (x *executions) idOf(ctx context.Context, userID, chosen string) (string, error) {
	row, err := x.engine.Stored(ctx, chosen)
	switch {
	case err == nil && row.UserID == userID:
		return row.ID, nil
	case err != nil && !engine.IsNotFound(err):
		return "", err
	}
	return engine.ChosenID(userID, chosen), nil
}

// read returns one of a user's executions with its whole history, as current as the log.
func (x *executions) read(ctx context.Context, userID, id string) (engine.Row, []machine.Event, error) {
	row, err := x.find(ctx, userID, id)
	if err != nil {
		return row, nil, err
	}
	events, err := engine.ReadEvents(ctx, x.DB.DB, userID, row.ID)
	return row, events, err
}

// computeOn runs work on the events of a user's execution, in the process's pool where there are many.
func computeOn(ctx context.Context, userID string, events []machine.Event, work func()) error {
	return compute.Default.DoLarge(ctx, userID, len(events)*eventCost, work)
}

// eventCost is about how many bytes of data take as much time as one event.
const eventCost = 128

// view returns one of a user's executions as its owner sees it.
func (x *executions) view(ctx context.Context, userID, id string) (subjects.Execution, error) {
	row, events, err := x.read(ctx, userID, id)
	if err != nil {
		return subjects.Execution{}, err
	}
	var view subjects.Execution
	err = computeOn(ctx, userID, events, func() { view = viewOf(row, machine.Status(row.Status), events) })
	return view, err
}

// control applies a change to one of a user's executions. If that has ended already, the error is a conflict, unless it ended
// with the wanted status.
func (x *executions) control(
	ctx context.Context, userID, id string, wanted machine.Status, change func(engine.Row) (engine.ControlReply, error),
) error {
	row, err := x.find(ctx, userID, id)
	if err != nil {
		return err
	}
	reply := engine.ControlReply{Status: machine.Status(row.Status)}
	if !row.Ended() {
		reply, err = change(row)
		if engine.IsNotFound(err) { // it has ended since
			row, err = x.engine.Current(ctx, row.ID)
			reply.Status = machine.Status(row.Status)
		}
		if err != nil {
			return err
		}
	}
	if reply.Status.Ended() && reply.Status != wanted && !reply.Changed {
		return subjects.Errorf(subjects.CodeConflict, "the execution has ended: it is %s", reply.Status)
	}
	return nil
}

// retry starts an execution from where an ended one failed, or from a task of it, or with restart from the beginning.
// version 0 is the current version. The new execution may do what both the ended one and the caller may. The error names a task
// from which the new execution cannot start.
func (x *executions) retry(ctx context.Context, ended engine.Row, id, chosen, task string, restart bool, version int) (engine.Row, error) {
	workflow, err := x.workflows.find(ctx, ended.UserID, ended.WorkflowID)
	if err != nil {
		return ended, err
	}
	r := startRequest{
		userID: ended.UserID, workflowID: ended.WorkflowID, executionID: cmp.Or(id, x.engine.NewExecutionID()), chosenID: chosen, input: string(ended.Input),
		version: cmp.Or(version, workflow.Version), origin: engine.Origin{Kind: engine.OriginRestart, ID: ended.ID, Depth: ended.Origin.Depth},
		authority: ended.Authority.Intersect(actors.CallerFrom(ctx).Authority),
	}
	if !restart {
		r.origin = engine.Origin{Kind: engine.OriginRetry, ID: ended.ID, Task: task, Depth: ended.Origin.Depth}
		if _, known, err := x.existing(ctx, r, engine.PartitionOf(r.executionID)); err == nil && !known {
			candidate := engine.Row{ID: r.executionID, UserID: r.userID, WorkflowID: r.workflowID, Version: r.version, Origin: r.origin}
			if _, _, err := x.engine.RetryFrom(ctx, candidate); err != nil {
				return ended, err
			}
		}
	}
	row, _, err := x.start(ctx, r, nil)
	return row, err
}
