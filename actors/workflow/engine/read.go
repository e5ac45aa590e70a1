package engine

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// NewExecutionID is an id in a partition of this process, where it owns one.
func (e *Engine) NewExecutionID() string {
	id := e.NewID()
	if home := e.home(); home >= 0 {
		return IDIn(id, home)
	}
	return id
}

// AwaitEnd returns when an execution has ended, or ctx ends.
func (e *Engine) AwaitEnd(ctx context.Context, id string) {
	for ctx.Err() == nil {
		slice, cancel := context.WithTimeout(ctx, awaitSlice)
		_, err := sendTo(slice, e, id, awaitCommand{Execution: id})
		cancel()
		if err == nil || e.Stopping() {
			return
		}
	}
}

// Current is an execution as its log has it: the projection is flushed first.
func (e *Engine) Current(ctx context.Context, id string) (Row, error) {
	row, err := e.store.execution(ctx, id)
	if err == nil && row.Ended() {
		return row, nil
	}
	if err != nil && !IsNotFound(err) {
		return row, database.Classify(err)
	}
	number := PartitionOf(id)
	if err == nil {
		number = row.Partition
	}
	return e.CurrentIn(ctx, id, number)
}

// CurrentIn is Current for an execution in a given partition.
func (e *Engine) CurrentIn(ctx context.Context, id string, number int) (Row, error) {
	if _, err := send(ctx, e, number, flushCommand{}); err != nil {
		return Row{}, err
	}
	row, err := e.store.execution(ctx, id)
	if err != nil && !IsNotFound(err) {
		return row, database.Classify(err)
	}
	return row, err
}

// openExecutions counts a user's executions that have not ended, those that SQL does not have yet included.
func (e *Engine) openExecutions(ctx context.Context, userID string) (int, error) {
	if err := e.flush(ctx); err != nil {
		return 0, err
	}
	return e.store.openCount(ctx, userID)
}

// FlushAll returns when SQL has what all logs had before the call.
func (e *Engine) FlushAll(ctx context.Context) error {
	if len(e.owned()) == subjects.WorkflowPartitions {
		return database.Classify(e.flush(ctx))
	}
	return sendAll(ctx, e, flushCommand{})
}

// Cancel cancels an execution. Its error is a not_found one where the execution has ended and is not loaded, as with Suspend and Resume.
func (e *Engine) Cancel(ctx context.Context, row Row, reason string) (ControlReply, error) {
	return send(ctx, e, row.Partition, cancelCommand{Execution: row.ID, Reason: reason})
}

// Suspend halts an execution: calls in flight complete, and none is dispatched.
func (e *Engine) Suspend(ctx context.Context, row Row, reason string) (ControlReply, error) {
	return send(ctx, e, row.Partition, suspendCommand{Execution: row.ID, Reason: reason})
}

// Resume lets a suspended execution go on.
func (e *Engine) Resume(ctx context.Context, row Row) (ControlReply, error) {
	return send(ctx, e, row.Partition, resumeCommand{Execution: row.ID})
}

// DrainStarts returns when every log has the starts that schedules were allowed before the call.
func (e *Engine) DrainStarts(ctx context.Context) error { return sendAll(ctx, e, drainStartsCommand{}) }

// TerminateUser ends all executions of a user, without compensation: nothing may be done for them any more.
func (e *Engine) TerminateUser(ctx context.Context, userID string) error {
	return sendAll(ctx, e, terminateCommand{UserID: userID})
}

// TruncateLogs drops everything from all logs that SQL has.
func (e *Engine) TruncateLogs(ctx context.Context) error { return sendAll(ctx, e, truncateCommand{}) }

// Start starts an execution in a partition and returns once that is in its log. fresh: its id is new, so that no start with it
// can have come before. ended, where it is not nil, gets the result when the execution ends in this process; an empty result
// where it runs in another one. schedule is the id of the schedule that starts it, if one does.
func (e *Engine) Start(ctx context.Context, number int, row Row, schedule string, fresh bool, ended chan Result) error {
	c := startCommand{Row: row, Schedule: schedule}
	if p := e.partition(number); p != nil {
		if err := p.handleStart(ctx, c, ended, fresh); !isMoving(err) {
			return err
		}
	}
	if ended != nil {
		ended <- Result{}
	}
	_, err := send(ctx, e, number, c)
	return err
}
