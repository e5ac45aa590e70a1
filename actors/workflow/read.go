package workflow

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// newExecutionID is an id in this process's own partition, where it has one.
func (e *Engine) newExecutionID() string {
	id := e.NewID()
	if home := e.home(); home >= 0 {
		return inLot(id, home)
	}
	return id
}

// awaitEnd returns when an execution has ended, at the latest with ctx.
func (e *Engine) awaitEnd(ctx context.Context, id string) {
	for ctx.Err() == nil {
		slice, cancel := context.WithTimeout(ctx, awaitSlice)
		_, err := sendTo(slice, e, id, awaitCommand{Execution: id})
		cancel()
		if err == nil || e.Stopping() {
			return
		}
	}
}

// current is an execution as the log has it.
func (e *Engine) current(ctx context.Context, id string) (executionRow, error) {
	row, err := readExecution(ctx, e.DB.DB, id)
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
	return e.currentIn(ctx, id, lot)
}

// currentIn is an execution as a partition's log has it.
func (e *Engine) currentIn(ctx context.Context, id string, lot int) (executionRow, error) {
	if _, err := send(ctx, e, lot, flushCommand{}); err != nil {
		return executionRow{}, err
	}
	row, err := readExecution(ctx, e.DB.DB, id)
	if err != nil && !isNotFound(err) {
		return row, database.Classify(err)
	}
	return row, err
}

// historyRuns bounds how many runs of events one page reads.
const historyRuns = 1000

// flushAll returns when SQL has what all logs had before the call.
func (e *Engine) flushAll(ctx context.Context) error {
	if len(e.owned()) == subjects.WorkflowPartitions {
		return database.Classify(e.flush(ctx))
	}
	return sendAll(ctx, e, flushCommand{})
}

// Cancel, Suspend and Resume change one execution of a partition; not_found where it has ended and is not loaded.
func (e *Engine) Cancel(ctx context.Context, row executionRow, reason string) (ControlReply, error) {
	return send(ctx, e, row.Lot, cancelCommand{Execution: row.ID, Reason: reason})
}

// Suspend halts an execution: calls in flight complete, and none is dispatched.
func (e *Engine) Suspend(ctx context.Context, row executionRow, reason string) (ControlReply, error) {
	return send(ctx, e, row.Lot, suspendCommand{Execution: row.ID, Reason: reason})
}

// Resume lets a suspended execution go on.
func (e *Engine) Resume(ctx context.Context, row executionRow) (ControlReply, error) {
	return send(ctx, e, row.Lot, resumeCommand{Execution: row.ID})
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
func (e *Engine) Start(ctx context.Context, number int, row executionRow, schedule string, fresh bool, ended chan ending) error {
	c := startCommand{Row: row, Schedule: schedule}
	if p := e.partition(number); p != nil {
		if err := p.startAsked(ctx, c, ended, fresh); !isMoving(err) {
			return err
		}
	}
	if ended != nil {
		ended <- ending{}
	}
	_, err := send(ctx, e, number, c)
	return err
}
