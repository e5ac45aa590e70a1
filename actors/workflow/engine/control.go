package engine

import (
	"context"
	"errors"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// flush returns when SQL has everything that the partition's log had before the call.
func (p *partition) flush(ctx context.Context) error {
	if err := p.e.flush(ctx); err != nil {
		return database.Classify(err)
	}
	if p.ctx.Err() != nil { // closed meanwhile: it may have been left out of the projection
		return errPartitionMoving
	}
	return nil
}

// verifyOwnership checks by the log that the partition is still this owner's. Appends are fenced, reads are not: an owner that
// was paused may have been replaced without noticing.
func (p *partition) verifyOwnership(ctx context.Context) error {
	if p.e.single {
		return nil
	}
	last, _, err := lastEntry(ctx, p.e.log, p.number)
	if err != nil {
		return err
	}
	if last.Owner != p.writer.owner() {
		go p.close(errFenced)
		return errPartitionMoving
	}
	return nil
}

// controller carries out the commands for the executions of a partition.
type controller struct{ *partition }

// controlled is what control has done to an execution.
type controlled struct {
	reply ControlReply
	// logged is set where something was decided. unlogged: the execution has a transition that the log may not get.
	logged   chan error
	unlogged bool
	// children are those that the execution waited for before it ended.
	children []string
	// done is closed when the rest is known.
	done chan struct{}
}

// control applies an outcome to an execution and returns once that is in the log. An execution that waits for a slot is started
// first: control needs no slot.
func (p controller) control(ctx context.Context, id string, outcome machine.Outcome) (ControlReply, error) {
	c := &controlled{done: make(chan struct{})}
	if outcome.Ends() {
		defer pacing(p).hurryToEnd(id)()
	}
	err := p.whenIdle(ctx, id, func(h *execution) (again bool) { return p.controlIdle(h, outcome, c) })
	if err == nil {
		select {
		case <-c.done:
		case <-ctx.Done():
			return ControlReply{}, errNotLogged(ctx)
		}
	}
	switch {
	case err == nil && c.logged != nil:
		err = awaitLogged(ctx, c.logged)
	case err == nil && c.unlogged: // by a transition that the log may not get
		err = p.writer.barrier(ctx)
	case err == nil || IsNotFound(err):
		if moved := p.verifyOwnership(ctx); moved != nil {
			err = moved
		}
	}
	if err == nil {
		p.children.cancelAll(c.children)
	}
	if err == nil && c.reply.Status == "" {
		err = errPartitionMoving
	}
	return c.reply, err
}

// controlIdle applies an outcome to an execution that is not deciding. again: it is deciding now, and must be called again afterwards.
func (p controller) controlIdle(h *execution, outcome machine.Outcome, c *controlled) (again bool) {
	if h.finished || h.quarantined() {
		c.reply.Status, c.unlogged = machine.Status(h.row.Status), h.unacked > 0
		if h.quarantined() {
			c.reply.Status = machine.Faulted
		}
		close(c.done)
		return false
	}
	if h.isPending() {
		if h.isWaiting() {
			p.releaseLimits(h) // it is about to end, and never counts
		}
		p.startPending(h)
	}
	if h.deciding || outcome.EndsCall() && h.running() && p.fireOverdue(h) && h.deciding { // the result comes too late for a deadline that has passed
		return true
	}
	if !h.running() {
		close(c.done)
		return false
	}
	before := childrenOf(h)
	if outcome.Resumes() {
		h.resumedAt = p.e.Now()
	}
	logged := make(chan error, 1)
	p.decide(h, followUp{logged: logged, then: func(decided bool) {
		defer close(c.done)
		if decided {
			c.logged, c.reply.Changed = logged, true
		}
		c.unlogged = h.unacked > 0
		switch {
		case h.machine != nil:
			c.reply.Status = h.machine.Status()
		case h.quarantined():
			c.reply.Status = machine.Faulted
		}
		if c.reply.Status.Ended() {
			c.children = before
		}
	}}, outcome)
	return false
}

// whenIdle is withExecution for what may find an execution that starts to decide by it: it is repeated afterwards.
func (p *partition) whenIdle(ctx context.Context, id string, do func(h *execution) (again bool)) error {
	for {
		again := false
		if err := p.withExecution(ctx, id, func(h *execution) { again = do(h) }); err != nil || !again {
			return err
		}
	}
}

// suspend halts an execution or, where on is false, resumes it. One that waits for its workflow's limits has nothing to halt: it
// leaves its queue, and joins it again when it is resumed.
func (p controller) suspend(ctx context.Context, id, reason string, on bool) (reply ControlReply, err error) {
	outcome := machine.Resume(p.e.Now())
	if on {
		outcome = machine.Suspend(reason, p.e.Now())
	}
	var logged chan error
	err = p.withExecution(ctx, id, func(h *execution) {
		if !h.isWaiting() || h.finished {
			return
		}
		logged = make(chan error, 1)
		p.enqueue(h, transition{Suspend: &on}, nil, logged)
		reply.Status = h.suspendPending(on)
		if p.admission.limiter.dequeue(h.waiter); on {
			p.admitFrom(p.admission.limiter.sameQueue(h.waiter), nil)
			return
		}
		p.admission.limiter.enqueue(h.waiter)
		p.recheck(h)
	})
	if err == nil && logged != nil {
		return reply, awaitLogged(ctx, logged)
	}
	return p.control(ctx, id, outcome)
}

// awaitLogged waits until a transition is in the log, or cannot get there any more.
func awaitLogged(ctx context.Context, logged chan error) error {
	select {
	case err := <-logged:
		return err
	case <-ctx.Done():
		return errNotLogged(ctx)
	}
}

func errNotLogged(ctx context.Context) error {
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Reason: subjects.ReasonLogStalled, Detail: "the history cannot be written right now",
		RetryAfter: subjects.RetrySoon, Cause: context.Cause(ctx),
	}
}

// handleStart starts an execution and returns once that is in the log. fresh: its id is new, so that no start with it can have
// come before.
func (p *partition) handleStart(ctx context.Context, c startCommand, wait chan Result, fresh bool) error {
	row := c.Row
	def, err := p.e.Definition(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return err
	}
	if err := p.e.active.admit(ctx, row.UserID); err != nil {
		p.e.metrics.refused.WithLabelValues("user").Inc()
		return err
	}
	// Revocations wait until the function has returned.
	return p.e.Guarded(ctx, row, func(ctx context.Context, live func() bool) (err error) {
		release := func() {}
		if !fresh {
			release, err = p.reserveID(ctx, row.ID)
		}
		var logged chan error
		if err == nil {
			defer release()
			logged, err = p.startFenced(ctx, c, def, wait, live)
		}
		if errors.Is(err, ErrTaken) { // the other start may still be pending, and the caller must find it in the log
			if failed := p.writer.barrier(ctx); failed != nil {
				return failed
			}
		}
		if err != nil {
			return err
		}
		err = awaitLogged(context.WithoutCancel(ctx), logged)
		if err == nil && PartitionOf(row.ID) != p.number {
			err = p.flush(ctx) // the id does not name the partition, SQL does
		}
		reach(crashBeforeAck)
		return err
	})
}

// await returns an execution's result once it has ended.
func (p controller) await(ctx context.Context, id string) (Result, error) {
	wait := make(chan Result, 1)
	err := p.withExecution(ctx, id, func(h *execution) {
		if h.finished {
			wait <- h.result()
			return
		}
		h.results = append(h.results, wait)
	})
	if IsNotFound(err) {
		row, err := p.e.store.execution(ctx, id)
		if err != nil {
			return Result{}, database.Classify(err)
		}
		if row.Partition != p.number {
			return Result{}, ErrNoExecution
		}
		return Result{Row: row}, nil
	}
	if err != nil {
		return Result{}, err
	}
	select {
	case end := <-wait:
		return end, end.Err
	case <-ctx.Done():
		return Result{}, context.Cause(ctx)
	}
}
