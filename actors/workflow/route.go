package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// routeWithin is how long a command waits for a partition to have an owner, where its caller gives it so long.
	routeWithin = 5 * time.Second
	routePause  = 20 * time.Millisecond
	// awaitSlice is how long one wait for an end is asked of another process.
	awaitSlice = 20 * time.Second
	// obeyWithin is how long another process has for a command. One that stood still and was killed does not answer at all.
	obeyWithin = awaitSlice + routeWithin
)

// command is what a partition's owner is asked to do. Only the workflow actor's own processes can ask: what a command
// says of users and consents they have checked.
type command struct {
	Op commandOp `json:"op"`
	// Execution is the execution's id.
	Execution string `json:"execution,omitempty"`
	// Start is what opStart begins, Schedule what starts it where it is a schedule that may be paused meanwhile.
	Start    *executionRow `json:"start,omitempty"`
	Schedule string        `json:"schedule,omitempty"`
	// Reason is given for opCancel and opSuspend.
	Reason string `json:"reason,omitempty"`
	// Call, Output and Error are what came of an external call.
	Call   string          `json:"call,omitempty"`
	Output json.RawMessage `json:"output,omitempty"`
	Error  *machine.Error  `json:"error,omitempty"`
	// Event is a CloudEvent for a user's executions.
	UserID string        `json:"user_id,omitempty"`
	Event  machine.Value `json:"event,omitzero"`
}

// commandOp names what a command asks for.
type commandOp string

const (
	opStart    commandOp = "start"
	opCancel   commandOp = "cancel"
	opSuspend  commandOp = "suspend"
	opResume   commandOp = "resume"
	opWatch    commandOp = "watch"
	opComplete commandOp = "complete"
	opDeliver  commandOp = "deliver"
	opAwait    commandOp = "await"
	opFlush    commandOp = "flush"
	opDrain    commandOp = "drain"
	opWaits    commandOp = "waits"
	opForget   commandOp = "forget"
	opCut      commandOp = "cut"
)

// result of a command.
type commandReply struct {
	// Status is the execution's after the command, where it has one.
	Status machine.Status `json:"status,omitempty"`
	// Taken: the command has changed the execution, rather than found it ended. Of opWaits: it waits for the call.
	Taken bool `json:"taken,omitempty"`
	// Delivered counts the executions that took an event.
	Delivered int `json:"delivered,omitempty"`
}

// ask has a partition's owner carry a command out, whichever process that is. A partition that is changing hands is
// waited for.
func (a *Actor) ask(ctx context.Context, lot int, c command) (commandReply, error) {
	deadline := time.Now().Add(routeWithin)
	for {
		reply, err := a.askOnce(ctx, lot, c)
		if !handedOver(err) || time.Now().After(deadline) {
			return reply, err
		}
		select {
		case <-time.After(routePause):
		case <-ctx.Done():
			return reply, context.Cause(ctx)
		}
	}
}

// handedOver tells that another try may find the owner.
func handedOver(err error) bool {
	return errors.Is(err, errHandover) && !refused(err)
}

func (a *Actor) askOnce(ctx context.Context, lot int, c command) (commandReply, error) {
	if p := a.partition(lot); p != nil {
		return p.obeyed(ctx, c)
	}
	if a.alone() {
		return commandReply{}, errHandover
	}
	data, err := json.Marshal(c)
	if err != nil {
		return commandReply{}, fmt.Errorf("encoding a command: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, obeyWithin)
	defer cancel()
	answer, err := a.Conn.Forward(ctx, subjects.WorkflowPartitionSubject(lot), nats.Header{}, data)
	if err != nil {
		return commandReply{}, err
	}
	var reply commandReply
	if err := json.Unmarshal(answer.Data, &reply); err != nil {
		return commandReply{}, fmt.Errorf("decoding a command's reply: %w", err)
	}
	return reply, nil
}

// listen takes commands of other processes for a partition, until it is lost.
func (a *Actor) listen(p *partition) error {
	sub, err := a.Conn.Subscribe(subjects.WorkflowPartitionSubject(p.lot), func(m *nats.Msg) {
		if !mesh.IsInbox(m.Reply) {
			return
		}
		a.calls.Go(func() { a.answer(p, m) })
	})
	if err != nil {
		return fmt.Errorf("listening for commands to partition %d: %w", p.lot, err)
	}
	context.AfterFunc(p.ctx, func() {
		if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			a.Log.Warn("closing a partition's subscription", zap.Error(err))
		}
	})
	return nil
}

func (a *Actor) answer(p *partition, m *nats.Msg) {
	ctx, cancel := context.WithTimeout(p.ctx, mesh.Timeout(m.Header, obeyWithin))
	defer cancel()
	var c command
	var reply commandReply
	err := json.Unmarshal(m.Data, &c)
	if err == nil {
		reply, err = p.obeyed(ctx, c)
	}
	out := &nats.Msg{Subject: m.Reply, Header: nats.Header{}}
	if err != nil {
		problem := subjects.ProblemOf(err, "", "")
		out.Header.Set(mesh.HeaderErrorCode, string(problem.Code))
		out.Data, err = json.Marshal(problem)
	} else {
		out.Data, err = json.Marshal(reply)
	}
	if err == nil {
		err = a.Conn.PublishMsg(out)
	}
	if err != nil {
		a.Log.Warn("answering a command", zap.Error(err))
	}
}

// obeyed carries a command out. What was cut short because the partition was lost is for the next owner.
func (p *partition) obeyed(ctx context.Context, c command) (commandReply, error) {
	reply, err := p.obey(ctx, c)
	if err != nil && p.ctx.Err() != nil {
		return reply, errHandover
	}
	return reply, err
}

// obey carries a command out.
func (p *partition) obey(ctx context.Context, c command) (reply commandReply, err error) {
	now := p.a.Now()
	switch c.Op {
	case opDeliver, opFlush, opForget, opCut, opWaits:
		// What the log does not refuse, an owner that stood still would do on what it knew then.
		if err := p.confirm(ctx); err != nil {
			return reply, err
		}
	}
	switch c.Op {
	case opStart:
		if c.Start == nil {
			return reply, errors.New("a start without an execution")
		}
		return reply, p.startAsked(ctx, c, nil, false)
	case opCancel:
		return p.control(ctx, c.Execution, machine.Cancel(c.Reason, now))
	case opSuspend:
		return p.suspend(ctx, c, true)
	case opResume:
		return p.suspend(ctx, c, false)
	case opComplete:
		outcome := machine.CallFault(c.Call, c.Error, now)
		if c.Error == nil {
			value, err := p.a.output(c.Output)
			if err != nil {
				return reply, err
			}
			outcome = machine.CallDone(c.Call, value, now)
		}
		return p.control(ctx, c.Execution, outcome)
	case opWatch:
		return reply, p.watch(ctx, c.Execution)
	case opDeliver:
		event, ok := c.Event.V.(map[string]any)
		if !ok {
			return reply, errors.New("a delivery without an event")
		}
		reply.Delivered, err = p.deliver(ctx, c.UserID, event)
		return reply, err
	case opAwait:
		end, err := p.await(ctx, c.Execution)
		if err == nil {
			reply.Status = machine.Status(end.row.Status)
		}
		return reply, err
	case opWaits:
		reply.Taken, err = p.waitsFor(ctx, c.Execution, c.Call)
		return reply, err
	case opForget:
		return reply, p.endAll(ctx, c.UserID)
	case opCut:
		return reply, p.cutNow(ctx)
	case opFlush:
		return reply, p.flush(ctx)
	case opDrain:
		return reply, p.drain(ctx)
	}
	return reply, fmt.Errorf("there is no command %q", c.Op)
}

// flush returns when SQL has what the partition's log had before the call.
func (p *partition) flush(ctx context.Context) error {
	if err := p.a.flush(ctx); err != nil {
		return actors.DatabaseError(err)
	}
	if p.ctx.Err() != nil { // then it was perhaps not among what was folded
		return errHandover
	}
	return nil
}

// confirm tells whether the partition is still this owner's, by its log: an owner that stood still may have been followed
// by another, and not know it.
func (p *partition) confirm(ctx context.Context) error {
	if p.a.alone() {
		return nil
	}
	last, _, err := p.a.lastEntry(ctx, p.lot)
	if err != nil {
		return err
	}
	if last.Owner != p.log.owner {
		go p.lose(errLost)
		return errHandover
	}
	return nil
}

// control hands an outcome to an execution and returns once that is in the log. An execution that waits for a slot is begun
// for it: what is asked of it needs none.
func (p *partition) control(ctx context.Context, id string, outcome machine.Outcome) (reply commandReply, err error) {
	var done chan error
	var children []string
	err = p.with(ctx, id, func(h *held) {
		if h.finished {
			reply.Status = machine.Status(h.row.Status)
			return
		}
		if h.x == nil {
			if h.ticket != nil && h.ticket.stage == stageWaiting {
				p.freeGates(h) // it is to end: it never goes on
			}
			p.start(h)
		}
		if h.x == nil || h.broken {
			return
		}
		before := childrenOf(h)
		wait := make(chan error, 1)
		if p.decide(h, wait, outcome) {
			done, reply.Taken = wait, true
		}
		if reply.Status = h.x.Status(); reply.Status.Ended() {
			children = before
		}
	})
	switch {
	case err == nil && done != nil:
		err = received(ctx, done)
	case err == nil || isNotFound(err):
		if lost := p.confirm(ctx); lost != nil {
			err = lost
		}
	}
	if err == nil {
		p.cancelChildren(children)
	}
	if err == nil && reply.Status == "" {
		err = errHandover
	}
	return reply, err
}

// received waits for a turn to be in the log.
func received(ctx context.Context, done chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "the history cannot be written right now", RetryAfter: time.Second, Cause: context.Cause(ctx),
		}
	}
}

// startAsked begins an execution and returns once that is in the log. fresh: its id is new, so that it can be no repetition.
func (p *partition) startAsked(ctx context.Context, c command, wait chan ending, fresh bool) error {
	row := *c.Start
	def, err := p.a.definition(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return err
	}
	release := func() {}
	if !fresh {
		release, err = p.claim(ctx, row.ID)
	}
	var done chan error
	if err == nil {
		defer release()
		done, err = p.beginAllowed(ctx, c, def, wait)
	}
	if errors.Is(err, errTaken) { // by one that may be on its way into the log: who looks for it next is to find it there
		if failed := p.logged(ctx); failed != nil {
			return failed
		}
	}
	if err != nil {
		return err
	}
	err = received(context.WithoutCancel(ctx), done)
	if err == nil && lotOf(row.ID) != p.lot {
		err = p.flush(ctx) // its id does not tell where it lives: SQL does
	}
	reach(crashBeforeAck)
	return err
}

// await returns what has become of an execution once it has ended.
func (p *partition) await(ctx context.Context, id string) (ending, error) {
	wait := make(chan ending, 1)
	err := p.with(ctx, id, func(h *held) {
		if h.finished {
			wait <- h.ending()
			return
		}
		h.waiters = append(h.waiters, wait)
	})
	if isNotFound(err) {
		row, err := readExecution(ctx, p.a.DB.DB, id)
		if err != nil {
			return ending{}, actors.DatabaseError(err)
		}
		if row.Lot != p.lot {
			return ending{}, errNoExecution
		}
		return ending{row: row}, nil
	}
	if err != nil {
		return ending{}, err
	}
	select {
	case end := <-wait:
		return end, end.err
	case <-ctx.Done():
		return ending{}, context.Cause(ctx)
	}
}

// deliver hands an event to a user's executions that listen, in memory and parked, and tells how many took it.
func (p *partition) deliver(ctx context.Context, userID string, event map[string]any) (taken int, err error) {
	ids, err := listeningExecutions(ctx, p.a.DB.DB, p.lot, userID)
	if err != nil {
		return 0, actors.DatabaseError(err)
	}
	candidates := map[string]bool{}
	for _, id := range ids {
		candidates[id] = true
	}
	p.mu.Lock()
	for id, h := range p.held {
		if h.row.UserID == userID && h.x != nil && !h.finished && len(h.x.Listeners()) > 0 {
			candidates[id] = true
		}
	}
	p.mu.Unlock()
	var waits []chan error
	for id := range candidates {
		err := p.with(ctx, id, func(h *held) {
			done := make(chan error, 1)
			switch {
			case h.finished:
			case p.decide(h, done, machine.EventArrived(event, p.a.Now())):
				waits = append(waits, done)
			case h.unacked == 0 && !h.resting:
				p.advance(h) // it was brought into memory for nothing
			}
		})
		if err != nil && !isNotFound(err) {
			return taken, err
		}
	}
	for _, done := range waits {
		if err := received(ctx, done); err != nil {
			return taken, err
		}
		taken++
	}
	return taken, nil
}

// deliver hands a CloudEvent to every execution of a user that listens for it, wherever it is. Its numbers are as
// language.Decode gives them; it is not changed any more.
func (a *Actor) deliver(ctx context.Context, userID string, event map[string]any) (taken int, err error) {
	for lot := range subjects.WorkflowPartitions {
		reply, err := a.ask(ctx, lot, command{Op: opDeliver, UserID: userID, Event: machine.ValueOf(event)})
		if err != nil {
			return taken, err
		}
		taken += reply.Delivered
	}
	return taken, nil
}

// completeCall ends an external call of an execution: with an output, or with an error. Completing one that is over
// changes nothing; errNoExecution where the execution has ended.
func (a *Actor) completeCall(ctx context.Context, execution, call string, output json.RawMessage, fault *machine.Error) error {
	_, err := a.askFor(ctx, execution, command{Op: opComplete, Call: call, Output: output, Error: fault})
	return err
}

// tellParent completes the call of the execution that waits for a child which has ended, and does not give up: after a
// restart, those that were not told are told again.
func (p *partition) tellParent(row executionRow) {
	p.a.calls.Go(func() {
		p.insist("telling a parent", func(ctx context.Context) error {
			return p.a.completeCall(ctx, row.ParentID, row.ParentCall, outputOf(row), faultOfRow(row))
		})
	})
}

// tellParents tells the parents of what ended before this process had the partition.
func (p *partition) tellParents() {
	rows, err := untoldParents(p.ctx, p.a.DB.DB, p.lot)
	if err != nil {
		p.a.Log.Warn("looking for parents to tell", zap.Error(err))
		return
	}
	for _, row := range rows {
		p.tellParent(row)
	}
}

func outputOf(row executionRow) json.RawMessage {
	if row.Output == "" {
		return nil
	}
	return json.RawMessage(row.Output)
}

// faultOfRow is the error that an execution which did not complete is for its parent.
func faultOfRow(row executionRow) *machine.Error {
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
