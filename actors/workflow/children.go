package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
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
	// Whoever gives the call up cancels the child, and is to find it: its start is not cut short.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.config.StepTimeout)
	defer cancel()
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

// awaitedChild is the execution that a call starts and waits for; empty where it is no such call.
func awaitedChild(call *machine.Call) string {
	if call.Workflow == nil || !call.Workflow.Await {
		return ""
	}
	return derivedID(call.Key)
}

// childrenOf are the executions that an execution waits for now; a suspended one still does.
func childrenOf(h *held) (ids []string) {
	if h.x == nil {
		return nil
	}
	for _, call := range h.x.Awaited() {
		if id := awaitedChild(call); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// waitsFor tells whether an execution waits for a call now.
func (h *held) waitsFor(call string) bool {
	return h.x != nil && !h.finished && among(h.x.Awaited(), call)
}

// cancelChildren ends executions whose parent does not wait for them any more.
func (p *partition) cancelChildren(ids []string) {
	for _, id := range ids {
		p.a.calls.Go(func() { p.cancelChild(id) })
	}
}

// giveUpChild ends a child that an execution, whose log says so, does not wait for any more.
func (p *partition) giveUpChild(h *held, id string) {
	h.errands++
	p.a.calls.Go(func() {
		p.cancelChild(id)
		p.errandDone(h)
	})
}

// errandDone lets an execution be parked that has no other errand.
func (p *partition) errandDone(h *held) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.errands--; h.errands == 0 && h.resting && p.held[h.row.ID] == h {
		p.dirty[h.row.ID] = h
		p.a.folder.poke()
	}
}

// cancelChild returns once a child has ended that its parent does not wait for any more, or the partition is lost.
func (p *partition) cancelChild(id string) {
	reach(crashGivenUp)
	p.insist("cancelling a child", func(ctx context.Context) error {
		_, err := p.a.askFor(ctx, id, cancelOfChild(id))
		return err
	})
}

func cancelOfChild(id string) command {
	return command{Op: opCancel, Execution: id, Reason: "the execution that waited for it has ended or gone on"}
}

// unconfirmed tells that an execution may have been begun in vain: whoever began it had stood still meanwhile, and the next
// owner of the execution that was to wait for it gave it up, and could not find it yet.
func (p *partition) unconfirmed(h *held) bool { return h.row.ParentID != "" && !p.a.alone() }

// confirmChild cancels a child that was begun in vain. The child is not parked before, so that whoever follows this owner in the
// middle of it asks again.
func (p *partition) confirmChild(h *held) {
	p.insist("asking whether a child is waited for", func(ctx context.Context) error {
		waits, err := p.a.askFor(ctx, h.row.ParentID, command{Op: opWaits, Call: h.row.ParentCall})
		if err != nil && !isNotFound(err) || waits.Taken {
			return err
		}
		// It is this owner's, and SQL need not know it yet.
		_, err = p.obeyed(ctx, cancelOfChild(h.row.ID))
		return err
	})
	p.errandDone(h)
}

// waitsFor tells whether an execution waits for a call, by its log.
func (p *partition) waitsFor(ctx context.Context, id, call string) (waits bool, err error) {
	err = p.with(ctx, id, func(h *held) { waits = h.waitsFor(call) })
	if err == nil && !waits {
		err = p.logged(ctx) // else it may wait for it still, by what is in the log
	}
	return waits, err
}

// insist does what follows from the log until it is done, or there is nothing to be done, or the partition is lost: then it
// is for the next owner. No try is waited for long: who is asked may stand still, and another has what it had by now.
func (p *partition) insist(what string, do func(ctx context.Context) error) {
	for {
		ctx, cancel := context.WithTimeout(p.ctx, routeWithin)
		err := do(ctx)
		cancel()
		if err == nil || isNotFound(err) || p.ctx.Err() != nil {
			return
		}
		p.a.Log.Warn(what, zap.Int("partition", p.lot), zap.Error(err))
		select {
		case <-time.After(time.Duration(500+rand.IntN(500)) * time.Millisecond):
		case <-p.ctx.Done():
			return
		}
	}
}

// cancelOrphans ends children that nobody waits for any more, where who owned their parents has died before it could: those of
// executions that have ended, and those that restored ones have given up. One that was parked before has none.
func (p *partition) cancelOrphans(restored []*held) {
	p.insist("looking for children that nobody waits for", func(ctx context.Context) error {
		if err := p.a.flushAll(ctx); err != nil { // theirs may be any partition's
			return err
		}
		if err := p.giveUpOrphans(ctx, restored); err != nil {
			return err
		}
		ids, err := orphanedChildren(ctx, p.a.DB.DB, p.lot)
		if err != nil {
			return err
		}
		p.cancelChildren(ids)
		return nil
	})
	var unconfirmed []*held
	for _, h := range restored {
		if p.unconfirmed(h) {
			unconfirmed = append(unconfirmed, h)
		} else {
			p.errandDone(h)
		}
	}
	for _, h := range unconfirmed { // one by one: there may be many
		p.confirmChild(h)
	}
}

// giveUpOrphans ends the children that restored executions do not wait for.
func (p *partition) giveUpOrphans(ctx context.Context, restored []*held) error {
	parents := make([]string, len(restored))
	by := map[string]*held{}
	for i, h := range restored {
		parents[i], by[h.row.ID] = h.row.ID, h
	}
	var children []executionRow
	for part := range slices.Chunk(parents, foldRows) {
		rows, err := liveChildren(ctx, p.a.DB.DB, part)
		if err != nil {
			return err
		}
		children = append(children, rows...)
	}
	p.mu.Lock()
	children = slices.DeleteFunc(children, func(child executionRow) bool { return by[child.ParentID].waitsFor(child.ParentCall) })
	p.mu.Unlock()
	if err := p.logged(ctx); err != nil { // else they may be waited for, by what is in the log
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, child := range children {
		p.giveUpChild(by[child.ParentID], child.ID)
	}
	return nil
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
