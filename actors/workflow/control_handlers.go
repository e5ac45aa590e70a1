package workflow

import (
	"context"
	"strings"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// lower is an id as it is kept: UUIDs may be written in capitals.
func lower(id string) string { return strings.ToLower(id) }

func (a *Actor) cancel(ctx context.Context, r subjects.ExecutionControlRequest) (subjects.Execution, error) {
	return a.control(ctx, r.ExecutionID, machine.Cancelled, command{Op: opCancel, Reason: r.Reason})
}

func (a *Actor) suspend(ctx context.Context, r subjects.ExecutionControlRequest) (subjects.Execution, error) {
	return a.control(ctx, r.ExecutionID, "", command{Op: opSuspend, Reason: r.Reason})
}

func (a *Actor) resume(ctx context.Context, r subjects.ExecutionRequest) (subjects.Execution, error) {
	row, err := a.findExecution(ctx, actors.CallerFrom(ctx).UserID, r.ExecutionID)
	if err != nil {
		return subjects.Execution{}, err
	}
	if err := a.Guard.CheckGrant(ctx, row.grant()); err != nil {
		return subjects.Execution{}, err
	}
	return a.control(ctx, r.ExecutionID, "", command{Op: opResume})
}

// control has an execution's owner do what its user asks for. harmless is the end at which asking again is no conflict.
func (a *Actor) control(ctx context.Context, id string, harmless machine.Status, c command) (subjects.Execution, error) {
	row, err := a.findExecution(ctx, actors.CallerFrom(ctx).UserID, id)
	if err != nil {
		return subjects.Execution{}, err
	}
	status, taken := machine.Status(row.Status), false
	if !row.ended() {
		c.Execution = row.ID
		reply, err := a.ask(ctx, row.Lot, c)
		switch {
		case isNotFound(err): // it has ended meanwhile
			if row, err = a.current(ctx, row.ID); err != nil {
				return subjects.Execution{}, err
			}
			status = machine.Status(row.Status)
		case err != nil:
			return subjects.Execution{}, err
		default:
			status, taken = reply.Status, reply.Taken
		}
	}
	if status.Ended() && status != harmless && !taken {
		return subjects.Execution{}, subjects.Errorf(subjects.CodeConflict, "the execution has ended: it is %s", status)
	}
	return a.describe(ctx, row.ID, row.UserID)
}
