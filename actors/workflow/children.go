package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// derivedID is the id of the execution that something with a name of its own starts: the same whenever it is asked for.
func derivedID(name string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("weft:execution:"+name)).String()
}

// startChild starts a child workflow under the call's key. One that is waited for is completed by its end: see
// partition.tellParent.
func (a *Actor) startChild(ctx context.Context, row executionRow, call *machine.Call) (output any, begun bool, err error) {
	child := call.Workflow
	workflowID, version, err := workflowNamed(ctx, a.DB.DB, row.UserID, child.Namespace, child.Name, child.Version)
	if err != nil {
		return nil, false, err
	}
	input := language.Canonical(child.Input)
	if child.Input == nil {
		input = []byte("{}")
	}
	if len(input) > a.config.MaxInput {
		return nil, false, machine.NewError(machine.TypeValidation, fmt.Sprintf("the input has %d bytes, the limit is %d", len(input), a.config.MaxInput))
	}
	o := order{
		userID: row.UserID, workflowID: workflowID, version: version, executionID: derivedID(call.Key), input: string(input),
		origin: "workflow:" + row.ID,
	}
	if child.Await {
		o.parent, o.parentCall = row.ID, call.ID
	}
	started, _, err := a.begin(ctx, o, nil)
	if err != nil {
		return nil, false, err
	}
	if !child.Await {
		return map[string]any{"execution_id": started.ID}, false, nil
	}
	if !started.ended() {
		return nil, true, nil
	}
	if fault := faultOfRow(started); fault != nil {
		return nil, false, fault
	}
	output, err = a.output(json.RawMessage(started.Output))
	return output, false, err
}

// childrenOf are the executions that an execution waits for now; a suspended one still does.
func childrenOf(h *held) (ids []string) {
	if h.x == nil {
		return nil
	}
	for _, call := range h.x.Awaited() {
		if call.Workflow != nil && call.Workflow.Await {
			ids = append(ids, derivedID(call.Key))
		}
	}
	return ids
}

// cancelChildren ends executions whose parent does not wait for them any more.
func (p *partition) cancelChildren(ids []string) {
	for _, id := range ids {
		p.a.calls.Go(func() {
			ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
			defer cancel()
			_, err := p.a.askFor(ctx, id, command{Op: opCancel, Reason: "the execution that waited for it has ended or gone on"})
			if err != nil && !isNotFound(err) && p.ctx.Err() == nil {
				p.a.Log.Warn("cancelling a child", zap.String("execution_id", id), zap.Error(err))
			}
		})
	}
}

// cancelOrphans ends the children of executions that have ended, where who owned those has died before it could.
func (p *partition) cancelOrphans() {
	err := p.flush(p.ctx)
	var ids []string
	if err == nil {
		ids, err = orphanedChildren(p.ctx, p.a.DB.DB, p.lot)
	}
	if err != nil && p.ctx.Err() == nil {
		p.a.Log.Warn("looking for children whose parents have ended", zap.Error(err))
	}
	p.cancelChildren(ids)
}

// publish makes an event known that an execution emits.
func (a *Actor) publish(ctx context.Context, row executionRow, event map[string]any) error {
	depth := depthOf(row.Origin) + 1
	if depth > maxDepth {
		return machine.NewError(machine.TypeRuntime, fmt.Sprintf("events have started executions that emit events, more than %d in a row", maxDepth))
	}
	_, _, err := a.route(ctx, row.UserID, event, depth, eventEmitted)
	if err != nil && subjects.CodeOf(err) == subjects.CodeInternal {
		return fmt.Errorf("delivering an event: %w", err)
	}
	return err
}
