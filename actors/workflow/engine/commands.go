package engine

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

// noReply is the reply of commands without a result.
type noReply struct{}

// ControlReply is the reply of the commands that change an execution.
type ControlReply struct {
	// Status is the execution's after the command.
	Status machine.Status `json:"status"`
	// Changed is false where the command found the execution ended.
	Changed bool `json:"changed,omitempty"`
}

// startCommand starts an execution.
type startCommand struct {
	Row Row `json:"row"`
	// Schedule is the id of the schedule that starts it; empty where none does.
	Schedule string `json:"schedule,omitempty"`
}

func (startCommand) operation() string { return "start" }

func (c startCommand) handle(ctx context.Context, p *partition) (noReply, error) {
	return noReply{}, p.handleStart(ctx, c, nil, false)
}

type cancelCommand struct {
	Execution string `json:"execution"`
	Reason    string `json:"reason,omitempty"`
}

func (cancelCommand) operation() string { return "cancel" }

func (c cancelCommand) handle(ctx context.Context, p *partition) (ControlReply, error) {
	return controller{p}.control(ctx, c.Execution, machine.Cancel(c.Reason, p.e.Now()))
}

type suspendCommand struct {
	Execution string `json:"execution"`
	Reason    string `json:"reason,omitempty"`
}

func (suspendCommand) operation() string { return "suspend" }

func (c suspendCommand) handle(ctx context.Context, p *partition) (ControlReply, error) {
	return controller{p}.suspend(ctx, c.Execution, c.Reason, true)
}

type resumeCommand struct {
	Execution string `json:"execution"`
}

func (resumeCommand) operation() string { return "resume" }

func (c resumeCommand) handle(ctx context.Context, p *partition) (ControlReply, error) {
	return controller{p}.suspend(ctx, c.Execution, "", false)
}

// completeCommand ends an external call: with Error where that is set, else with Output.
type completeCommand struct {
	Execution string          `json:"execution"`
	Call      string          `json:"call"`
	Output    json.RawMessage `json:"output,omitempty"`
	Error     *machine.Error  `json:"error,omitempty"`
}

func (completeCommand) operation() string { return "complete" }

func (c completeCommand) handle(ctx context.Context, p *partition) (ControlReply, error) {
	now := p.e.Now()
	if c.Error != nil {
		return controller{p}.control(ctx, c.Execution, machine.CallFault(c.Call, c.Error, now))
	}
	value, err := p.e.Output(c.Output)
	if err != nil {
		return ControlReply{}, err
	}
	return controller{p}.control(ctx, c.Execution, machine.CallDone(c.Call, value, now))
}

// watchCommand publishes an execution's history to the feed from now on.
type watchCommand struct {
	Execution string `json:"execution"`
}

func (watchCommand) operation() string { return "watch" }

func (c watchCommand) handle(ctx context.Context, p *partition) (noReply, error) {
	return noReply{}, controller{p}.watch(ctx, c.Execution)
}

// deliverCommand delivers a CloudEvent to a user's executions that listen for it.
type deliverCommand struct {
	UserID string        `json:"user_id"`
	Event  machine.Value `json:"event"`
}

type deliverReply struct {
	// Delivered counts the executions that consumed the event.
	Delivered int `json:"delivered"`
}

func (deliverCommand) operation() string { return "deliver" }

func (c deliverCommand) handle(ctx context.Context, p *partition) (reply deliverReply, err error) {
	event, ok := c.Event.V.(map[string]any)
	if !ok {
		return reply, errors.New("a delivery without an event")
	}
	if err := p.verifyOwnership(ctx); err != nil {
		return reply, err
	}
	reply.Delivered, err = controller{p}.deliver(ctx, c.UserID, event)
	return reply, err
}

// awaitCommand returns when an execution has ended.
type awaitCommand struct {
	Execution string `json:"execution"`
}

type awaitReply struct {
	Status machine.Status `json:"status"`
}

func (awaitCommand) operation() string { return "await" }

func (c awaitCommand) handle(ctx context.Context, p *partition) (awaitReply, error) {
	end, err := controller{p}.await(ctx, c.Execution)
	return awaitReply{Status: machine.Status(end.Row.Status)}, err
}

// awaitsChildCommand asks whether an execution waits for a child now.
type awaitsChildCommand struct {
	Execution string `json:"execution"`
	Child     string `json:"child"`
}

type awaitsChildReply struct {
	Awaits bool `json:"awaits"`
}

func (awaitsChildCommand) operation() string { return "awaits_child" }

func (c awaitsChildCommand) handle(ctx context.Context, p *partition) (reply awaitsChildReply, err error) {
	if err := p.verifyOwnership(ctx); err != nil {
		return reply, err
	}
	reply.Awaits, err = p.children.awaitsChild(ctx, c.Execution, c.Child)
	return reply, err
}

// terminateCommand ends all executions of a user, without compensation.
type terminateCommand struct {
	UserID string `json:"user_id"`
}

func (terminateCommand) operation() string { return "terminate" }

func (c terminateCommand) handle(ctx context.Context, p *partition) (noReply, error) {
	if err := p.verifyOwnership(ctx); err != nil {
		return noReply{}, err
	}
	return noReply{}, controller{p}.terminateUser(ctx, c.UserID)
}

// truncateCommand drops everything from the partition's log that SQL has.
type truncateCommand struct{}

func (truncateCommand) operation() string { return "truncate" }

func (c truncateCommand) handle(ctx context.Context, p *partition) (noReply, error) {
	if err := p.verifyOwnership(ctx); err != nil {
		return noReply{}, err
	}
	return noReply{}, p.truncateNow(ctx)
}

// flushCommand returns when SQL has what the partition's log had before.
type flushCommand struct{}

func (flushCommand) operation() string { return "flush" }

func (c flushCommand) handle(ctx context.Context, p *partition) (noReply, error) {
	if err := p.verifyOwnership(ctx); err != nil {
		return noReply{}, err
	}
	return noReply{}, p.flush(ctx)
}

// drainStartsCommand returns when the log has every start that a schedule was allowed before.
type drainStartsCommand struct{}

func (drainStartsCommand) operation() string { return "drain_starts" }

func (c drainStartsCommand) handle(ctx context.Context, p *partition) (noReply, error) {
	return noReply{}, p.drainScheduleStarts(ctx)
}
