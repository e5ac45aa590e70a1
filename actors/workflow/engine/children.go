package engine

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

// derivedID is the id of the execution that something with a name of its own starts: the same whenever it is asked for.
func DerivedID(name string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("weft:execution:"+name)).String()
}

// awaitedChild is the execution that a call starts and waits for; empty where it is no such call.
func awaitedChild(call *machine.Call) string {
	if call.Workflow == nil || !call.Workflow.Await {
		return ""
	}
	return DerivedID(call.Key)
}

// childrenOf are the executions that an execution waits for now; a suspended one still does.
func childrenOf(h *execution) (ids []string) {
	if h.machine == nil {
		return nil
	}
	for _, call := range h.machine.Awaited() {
		if id := awaitedChild(call); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// waitsFor tells whether an execution waits for a call now.
func (h *execution) awaits(call string) bool {
	return h.machine != nil && !h.finished && containsCall(h.machine.Awaited(), call)
}

// cancelChildren ends executions whose parent does not wait for them any more.
func (p *partition) cancelChildren(ids []string) {
	for _, id := range ids {
		p.e.background.Go(func() { p.cancelChild(id) })
	}
}

// giveUpChild ends a child that an execution, whose log says so, does not wait for any more.
func (p *partition) cancelAbandonedChild(h *execution, id string) {
	h.pendingCleanup++
	p.e.background.Go(func() {
		p.cancelChild(id)
		p.cleanupDone(h)
	})
}

// errandDone lets an execution be parked that has no other errand.
func (p *partition) cleanupDone(h *execution) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.pendingCleanup--; h.pendingCleanup == 0 && h.evictable && p.executions[h.row.ID] == h {
		p.unprojected[h.row.ID] = h
		p.e.projector.notify()
	}
}

// cancelChild returns once a child has ended that its parent does not wait for any more, or the partition is lost.
func (p *partition) cancelChild(id string) {
	reach(crashChildAbandoned)
	p.retryUntilDone("cancelling a child", func(ctx context.Context) error {
		_, err := sendTo(ctx, p.e, id, cancelChildCommand(id))
		return err
	})
}

func cancelChildCommand(id string) cancelCommand {
	return cancelCommand{Execution: id, Reason: "the execution that waited for it has ended or gone on"}
}

// unconfirmed tells that an execution may have been begun in vain: whoever began it had stood still meanwhile, and the next
// owner of the execution that was to wait for it gave it up, and could not find it yet.
func (p *partition) mayBeOrphaned(h *execution) bool { return h.row.ParentID != "" && !p.e.Alone() }

// confirmChild cancels a child that was begun in vain. The child is not parked before, so that whoever follows this owner in the
// middle of it asks again.
func (p *partition) confirmAwaited(h *execution) {
	p.retryUntilDone("asking whether a child is waited for", func(ctx context.Context) error {
		waits, err := sendTo(ctx, p.e, h.row.ParentID, awaitsCallCommand{Execution: h.row.ParentID, Call: h.row.ParentCall})
		if err != nil && !IsNotFound(err) || waits.Awaits {
			return err
		}
		// It is this owner's, and SQL need not know it yet.
		_, err = carryOut(ctx, p, cancelChildCommand(h.row.ID))
		return err
	})
	p.cleanupDone(h)
}

// waitsFor tells whether an execution waits for a call, by its log.
func (p *partition) waitsFor(ctx context.Context, id, call string) (waits bool, err error) {
	err = p.withExecution(ctx, id, func(h *execution) { waits = h.awaits(call) })
	if err == nil && !waits {
		err = p.barrier(ctx) // else it may wait for it still, by what is in the log
	}
	return waits, err
}

// insist does what follows from the log until it is done, or there is nothing to be done, or the partition is lost: then it
// is for the next owner. No try is waited for long: who is asked may stand still, and another has what it had by now.
func (p *partition) retryUntilDone(what string, do func(ctx context.Context) error) {
	for {
		ctx, cancel := context.WithTimeout(p.ctx, routeTimeout)
		err := do(ctx)
		cancel()
		if err == nil || IsNotFound(err) || p.ctx.Err() != nil {
			return
		}
		p.e.Log.Warn(what, zap.Int("partition", p.number), zap.Error(err))
		select {
		case <-time.After(time.Duration(500+rand.IntN(500)) * time.Millisecond):
		case <-p.ctx.Done():
			return
		}
	}
}

// cancelOrphans ends children that nobody waits for any more, where who owned their parents has died before it could: those of
// executions that have ended, and those that restored ones have given up. One that was parked before has none.
func (p *partition) resolveOrphans(restored []*execution) {
	p.retryUntilDone("looking for children that nobody waits for", func(ctx context.Context) error {
		if err := p.e.FlushAll(ctx); err != nil { // theirs may be any partition's
			return err
		}
		if err := p.cancelAbandonedChildren(ctx, restored); err != nil {
			return err
		}
		ids, err := orphanedChildren(ctx, p.e.DB.DB, p.number)
		if err != nil {
			return err
		}
		p.cancelChildren(ids)
		return nil
	})
	var unconfirmed []*execution
	for _, h := range restored {
		if p.mayBeOrphaned(h) {
			unconfirmed = append(unconfirmed, h)
		} else {
			p.cleanupDone(h)
		}
	}
	for _, h := range unconfirmed { // one by one: there may be many
		p.confirmAwaited(h)
	}
}

// giveUpOrphans ends the children that restored executions do not wait for.
func (p *partition) cancelAbandonedChildren(ctx context.Context, restored []*execution) error {
	parents := make([]string, len(restored))
	by := map[string]*execution{}
	for i, h := range restored {
		parents[i], by[h.row.ID] = h.row.ID, h
	}
	var children []Row
	for part := range slices.Chunk(parents, rowsPerStatement) {
		rows, err := liveChildren(ctx, p.e.DB.DB, part)
		if err != nil {
			return err
		}
		children = append(children, rows...)
	}
	p.mu.Lock()
	children = slices.DeleteFunc(children, func(child Row) bool { return by[child.ParentID].awaits(child.ParentCall) })
	p.mu.Unlock()
	if err := p.barrier(ctx); err != nil { // else they may be waited for, by what is in the log
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, child := range children {
		p.cancelAbandonedChild(by[child.ParentID], child.ID)
	}
	return nil
}

// completeCall ends an external call of an execution: with an output, or with an error. Completing one that is over
// changes nothing; errNoExecution where the execution has ended.
func (e *Engine) CompleteCall(ctx context.Context, execution, call string, output json.RawMessage, fault *machine.Error) error {
	_, err := sendTo(ctx, e, execution, completeCommand{Execution: execution, Call: call, Output: output, Error: fault})
	return err
}

// tellParent completes the call of the execution that waits for a child which has ended, and does not give up: after a
// restart, those that were not told are told again.
func (p *partition) completeParent(row Row) {
	p.e.background.Go(func() {
		p.retryUntilDone("telling a parent", func(ctx context.Context) error {
			return p.e.CompleteCall(ctx, row.ParentID, row.ParentCall, outputOf(row), FaultOfRow(row))
		})
	})
}

// tellParents tells the parents of what ended before this process had the partition.
func (p *partition) completeParents() {
	rows, err := uncompletedParents(p.ctx, p.e.DB.DB, p.number)
	if err != nil {
		p.e.Log.Warn("looking for parents to tell", zap.Error(err))
		return
	}
	for _, row := range rows {
		p.completeParent(row)
	}
}

func outputOf(row Row) json.RawMessage {
	if row.Output == "" {
		return nil
	}
	return json.RawMessage(row.Output)
}

// faultOfRow is the error that an execution which did not complete is for its parent.
func FaultOfRow(row Row) *machine.Error {
	switch machine.Status(row.Status) {
	case machine.Completed:
		return nil
	case machine.Cancelled:
		return machine.NewError(machine.TypeRuntime, "the child workflow was cancelled")
	}
	var fault machine.Error
	if json.Unmarshal([]byte(row.Error), &fault) != nil || fault.Type == "" {
		return machine.NewError(machine.TypeRuntime, "the child workflow has faulted")
	}
	fault.Instance = ""
	return &fault
}
