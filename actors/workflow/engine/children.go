package engine

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

// DerivedID is the id of the execution that a named cause starts: the same each time.
func DerivedID(name string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("weft:execution:"+name)).String()
}

// ChildID is the id of the execution that a call of `run: workflow` starts: the same when the call is repeated after a crash, and a
// new one when its task is attempted again.
func ChildID(call *machine.Call) string { return DerivedID(call.Key + "#" + call.ID) }

// awaitedChild is the execution that a call starts and waits for; empty for any other call.
func awaitedChild(call *machine.Call) string {
	if call.Workflow == nil || !call.Workflow.Await {
		return ""
	}
	return ChildID(call)
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

// callOfChild is the call by which an execution waits for a child now; empty where it does not.
func (h *execution) callOfChild(child string) string {
	if !h.running() {
		return ""
	}
	return callOfChild(h.machine.Awaited(), child)
}

func callOfChild(calls []*machine.Call, child string) string {
	for _, call := range calls {
		if awaitedChild(call) == child {
			return call.ID
		}
	}
	return ""
}

// children keeps the executions of a partition and their children consistent across processes: a parent gets its child's result,
// a child that is no longer awaited is cancelled. An execution is not evicted while such work is pending for it.
type children struct{ p *partition }

// cancelAll cancels executions whose parent does not wait for them any more.
func (c children) cancelAll(ids []string) {
	for _, id := range ids {
		c.p.e.background.Go(func() { c.cancel(id) })
	}
}

// cancelAbandoned cancels a child that an execution, by its log, does not wait for any more.
func (c children) cancelAbandoned(h *execution, id string) {
	h.pendingCleanup++
	c.p.e.background.Go(func() {
		c.cancel(id)
		c.cleanupDone(h)
	})
}

// cleanupDone lets an execution be evicted that has no other cleanup pending.
func (c children) cleanupDone(h *execution) {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if h.pendingCleanup--; h.pendingCleanup == 0 && h.evictable && c.p.executions[h.row.ID] == h {
		c.p.unprojected[h.row.ID] = h
		c.p.e.projector.wake.Notify()
	}
}

// cancel returns once a child that is not awaited any more has ended, or the partition is closed.
func (c children) cancel(id string) {
	reach(crashChildAbandoned)
	c.retryUntilDone("cancelling a child", func(ctx context.Context) error {
		_, err := sendTo(ctx, c.p.e, id, cancelChildCommand(id))
		return err
	})
}

func cancelChildCommand(id string) cancelCommand {
	return cancelCommand{Execution: id, Reason: "the execution that waited for it has ended or does not wait any more"}
}

// mayBeOrphaned reports whether an execution is a child whose parent may not wait for it: its starter may have been paused and have
// lost the parent's partition, and the parent's next owner may have abandoned the call before the child existed.
func (c children) mayBeOrphaned(h *execution) bool { return h.row.ParentID != "" && !c.p.e.single }

// confirmAwaited cancels a child that its parent does not wait for. The child is not evicted before, so that an owner that takes
// over meanwhile asks again.
func (c children) confirmAwaited(h *execution) {
	c.retryUntilDone("asking whether a child is awaited", func(ctx context.Context) error {
		reply, err := sendTo(ctx, c.p.e, h.row.ParentID, awaitsChildCommand{Execution: h.row.ParentID, Child: h.row.ID})
		if err != nil && !IsNotFound(err) || reply.Awaits {
			return err
		}
		// The child is in this partition, and SQL may not have it yet.
		_, err = carryOut(ctx, c.p, cancelChildCommand(h.row.ID))
		return err
	})
	c.cleanupDone(h)
}

// awaitsChild reports whether an execution waits for a child, by its log: a negative answer is given once the log has what it rests on.
func (c children) awaitsChild(ctx context.Context, id, child string) (awaits bool, err error) {
	err = c.p.withExecution(ctx, id, func(h *execution) { awaits = h.callOfChild(child) != "" })
	if err == nil && !awaits {
		err = c.p.writer.barrier(ctx)
	}
	return awaits, err
}

// retryUntilDone repeats what must follow from the log until it succeeds or its target does not exist. When the partition is closed it
// stops, and the next owner does it. Each attempt is bounded, because the peer may hang.
func (c children) retryUntilDone(what string, do func(ctx context.Context) error) {
	for {
		ctx, cancel := context.WithTimeout(c.p.ctx, routeTimeout)
		err := do(ctx)
		cancel()
		if err == nil || IsNotFound(err) || c.p.ctx.Err() != nil {
			return
		}
		c.p.e.Log.Warn(what, zap.Int("partition", c.p.number), zap.Error(err))
		_ = wait.Until(c.p.ctx, nil, time.Duration(500+rand.IntN(500))*time.Millisecond)
	}
}

// resolveOrphans cancels the children that are not awaited any more and that the partition's previous owner has not cancelled: those
// of executions that have ended, and those that restored executions have abandoned. An execution that was evicted has none.
func (c children) resolveOrphans(restored []*execution) {
	c.retryUntilDone("looking for orphaned children", func(ctx context.Context) error {
		if err := c.p.e.FlushAll(ctx); err != nil { // children may be in any partition
			return err
		}
		if err := c.cancelUnawaited(ctx, restored); err != nil {
			return err
		}
		ids, err := c.p.e.store.orphans(ctx, c.p.number)
		if err != nil {
			return err
		}
		c.cancelAll(ids)
		return nil
	})
	var unconfirmed []*execution
	for _, h := range restored {
		if c.mayBeOrphaned(h) {
			unconfirmed = append(unconfirmed, h)
		} else {
			c.cleanupDone(h)
		}
	}
	for _, h := range unconfirmed { // one by one, because there may be many
		c.confirmAwaited(h)
	}
}

// cancelUnawaited cancels the children that restored executions do not wait for.
func (c children) cancelUnawaited(ctx context.Context, restored []*execution) error {
	parents := make([]string, len(restored))
	byID := map[string]*execution{}
	for i, h := range restored {
		parents[i], byID[h.row.ID] = h.row.ID, h
	}
	var rows []Row
	for part := range slices.Chunk(parents, rowsPerStatement) {
		more, err := c.p.e.store.liveChildren(ctx, part)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	c.p.mu.Lock()
	rows = slices.DeleteFunc(rows, func(child Row) bool {
		parent := byID[child.ParentID]
		c.p.awaitIdle(parent)
		return parent.callOfChild(child.ID) != ""
	})
	c.p.mu.Unlock()
	if err := c.p.writer.barrier(ctx); err != nil { // only what the log has is final
		return err
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	for _, child := range rows {
		c.cancelAbandoned(byID[child.ParentID], child.ID)
	}
	return nil
}

// completeParent completes the call of the execution that waits for a child which has ended. It retries until that is done; after
// a restart, completeParents does it for all.
func (c children) completeParent(row Row) {
	c.p.e.background.Go(func() {
		c.retryUntilDone("completing a parent's call", func(ctx context.Context) error {
			_, err := sendTo(ctx, c.p.e, row.ParentID, completeCommand{
				Execution: row.ParentID, Call: row.ParentCall, Output: outputOf(row), Error: FaultOfRow(row),
			})
			return err
		})
	})
}

// completeParents completes the calls that wait for executions which ended before this process took the partition over.
func (c children) completeParents() {
	c.retryUntilDone("looking for parents to complete", func(ctx context.Context) error {
		if err := c.p.e.FlushAll(ctx); err != nil { // parents may be in any partition
			return err
		}
		rows, err := c.p.e.store.uncompletedParents(ctx, c.p.number)
		if err != nil {
			return err
		}
		for _, row := range rows {
			c.completeParent(row)
		}
		return nil
	})
}

// CompleteCall ends an external call of an execution with an output, or with an error where fault is not nil. For a call that is
// over it does nothing; ErrNoExecution where the execution has ended.
func (e *Engine) CompleteCall(ctx context.Context, execution, call string, output json.RawMessage, fault *machine.Error) error {
	_, err := sendTo(ctx, e, execution, completeCommand{Execution: execution, Call: call, Output: output, Error: fault})
	return err
}

func outputOf(row Row) json.RawMessage {
	if row.Output == "" {
		return nil
	}
	return json.RawMessage(row.Output)
}

// FaultOfRow is the error that an execution which did not complete is to its parent; nil for one that completed.
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
