package workflow

import (
	"context"
	"strings"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// lower is an id as it is kept: UUIDs may be written in capitals.
func lower(id string) string { return strings.ToLower(id) }

func (a *Actor) cancel(ctx context.Context, r subjects.ExecutionControlRequest) (subjects.Execution, error) {
	return a.control(ctx, r.ExecutionID, machine.Cancelled, func(row engine.Row) (engine.ControlReply, error) {
		return a.engine.Cancel(ctx, row, r.Reason)
	})
}

func (a *Actor) suspend(ctx context.Context, r subjects.ExecutionControlRequest) (subjects.Execution, error) {
	return a.control(ctx, r.ExecutionID, "", func(row engine.Row) (engine.ControlReply, error) {
		return a.engine.Suspend(ctx, row, r.Reason)
	})
}

func (a *Actor) resume(ctx context.Context, r subjects.ExecutionRequest) (subjects.Execution, error) {
	row, err := a.findExecution(ctx, actors.CallerFrom(ctx).UserID, r.ExecutionID)
	if err != nil {
		return subjects.Execution{}, err
	}
	if err := a.Guard.CheckGrant(ctx, row.Grant()); err != nil {
		return subjects.Execution{}, err
	}
	return a.control(ctx, r.ExecutionID, "", func(row engine.Row) (engine.ControlReply, error) { return a.engine.Resume(ctx, row) })
}

// control changes an execution of the caller's. Where it has ended already that is a conflict, unless it ended as wanted.
func (a *Actor) control(
	ctx context.Context, id string, wanted machine.Status, change func(engine.Row) (engine.ControlReply, error),
) (subjects.Execution, error) {
	row, err := a.findExecution(ctx, actors.CallerFrom(ctx).UserID, id)
	if err != nil {
		return subjects.Execution{}, err
	}
	reply := engine.ControlReply{Status: machine.Status(row.Status)}
	if !row.Ended() {
		reply, err = change(row)
		if engine.IsNotFound(err) { // it has ended meanwhile
			row, err = a.engine.Current(ctx, row.ID)
			reply.Status = machine.Status(row.Status)
		}
		if err != nil {
			return subjects.Execution{}, err
		}
	}
	if reply.Status.Ended() && reply.Status != wanted && !reply.Changed {
		return subjects.Execution{}, subjects.Errorf(subjects.CodeConflict, "the execution has ended: it is %s", reply.Status)
	}
	return a.describe(ctx, row.ID, row.UserID)
}
