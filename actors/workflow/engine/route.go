package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// routeTimeout is how long a command waits for its partition to have an owner, within the caller's deadline.
	routeTimeout    = 5 * time.Second
	routeRetryDelay = 20 * time.Millisecond
	// awaitSlice bounds one request for the end of an execution to another process.
	awaitSlice = 20 * time.Second
	// commandTimeout bounds a command to another process, which may be paused or killed and then never answers.
	commandTimeout = awaitSlice + routeTimeout
)

// errHandover is the answer while a partition has no owner that can carry a command out. Another attempt finds the next owner.
var errPartitionMoving = &subjects.Error{Code: subjects.CodeUnavailable, Detail: "partition ownership is moving; retry", RetryAfter: time.Second}

// command is what a partition's owner is asked to do. Only the workflow actor's own processes may send one: they have
// checked what it says of users and consents.
type command[Reply any] interface {
	// operation is the command's name on the wire.
	operation() string
	handle(ctx context.Context, p *partition) (Reply, error)
}

// envelope is a command as it travels between processes.
type envelope struct {
	Operation string          `json:"operation"`
	Arguments json.RawMessage `json:"arguments"`
}

// send has the owner of a partition carry a command out, whichever process that is. While ownership is moving it retries.
func send[Reply any](ctx context.Context, e *Engine, number int, c command[Reply]) (Reply, error) {
	deadline := time.Now().Add(routeTimeout)
	for {
		reply, err := sendOnce(ctx, e, number, c)
		if !isMoving(err) || time.Now().After(deadline) {
			return reply, err
		}
		select {
		case <-time.After(routeRetryDelay):
		case <-ctx.Done():
			return reply, context.Cause(ctx)
		}
	}
}

// isMoving reports whether another attempt may find the partition's owner.
func isMoving(err error) bool {
	return errors.Is(err, errPartitionMoving) && !isOverload(err)
}

func sendOnce[Reply any](ctx context.Context, e *Engine, number int, c command[Reply]) (reply Reply, err error) {
	if p := e.partition(number); p != nil {
		return carryOut(ctx, p, c)
	}
	if e.Alone() {
		return reply, errPartitionMoving
	}
	arguments, err := json.Marshal(c)
	if err != nil {
		return reply, fmt.Errorf("encoding a command: %w", err)
	}
	data, err := json.Marshal(envelope{Operation: c.operation(), Arguments: arguments})
	if err != nil {
		return reply, fmt.Errorf("encoding a command: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	answer, err := e.Conn.Forward(ctx, subjects.WorkflowPartitionSubject(number), nats.Header{}, data)
	if err != nil {
		return reply, err
	}
	if err := json.Unmarshal(answer.Data, &reply); err != nil {
		return reply, fmt.Errorf("decoding a command's reply: %w", err)
	}
	return reply, nil
}

// sendTo has the owner of an execution carry a command out. An execution's id names its partition, except where its
// workflow has limits and the caller chose the id: then SQL names it, since before the start was answered.
func sendTo[Reply any](ctx context.Context, e *Engine, id string, c command[Reply]) (Reply, error) {
	reply, err := send(ctx, e, PartitionOf(id), c)
	if !IsNotFound(err) {
		return reply, err
	}
	row, failed := readExecution(ctx, e.DB.DB, id)
	if failed != nil || row.Partition == PartitionOf(id) {
		return reply, err
	}
	return send(ctx, e, row.Partition, c)
}

// sendAll has the owners of all partitions carry a command out, and returns the first error.
func sendAll[Reply any](ctx context.Context, e *Engine, c command[Reply]) error {
	errs := make(chan error, subjects.WorkflowPartitions)
	for number := range subjects.WorkflowPartitions {
		go func() {
			_, err := send(ctx, e, number, c)
			errs <- err
		}()
	}
	var first error
	for range subjects.WorkflowPartitions {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

// listen takes commands of other processes for a partition, until it is closed.
func (e *Engine) listen(p *partition) error {
	sub, err := e.Conn.Subscribe(subjects.WorkflowPartitionSubject(p.number), func(m *nats.Msg) {
		if !mesh.IsInbox(m.Reply) {
			return
		}
		e.background.Go(func() { e.answer(p, m) })
	})
	if err != nil {
		return fmt.Errorf("listening for commands to partition %d: %w", p.number, err)
	}
	context.AfterFunc(p.ctx, func() {
		if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			e.Log.Warn("closing a partition's subscription", zap.Error(err))
		}
	})
	return nil
}

func (e *Engine) answer(p *partition, m *nats.Msg) {
	ctx, cancel := context.WithTimeout(p.ctx, mesh.Timeout(m.Header, commandTimeout))
	defer cancel()
	out := &nats.Msg{Subject: m.Reply, Header: nats.Header{}}
	var err error
	if out.Data, err = receive(ctx, p, m.Data); err != nil {
		problem := subjects.ProblemOf(err, "", "")
		out.Header.Set(mesh.HeaderErrorCode, string(problem.Code))
		out.Data, err = json.Marshal(problem)
	}
	if err == nil {
		err = e.Conn.PublishMsg(out)
	}
	if err != nil {
		e.Log.Warn("answering a command", zap.Error(err))
	}
}

// receive decodes a command, carries it out and encodes its reply.
func receive(ctx context.Context, p *partition, data []byte) ([]byte, error) {
	var m envelope
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("decoding a command: %w", err)
	}
	switch m.Operation {
	case startCommand{}.operation():
		return receiveAs[startCommand](ctx, p, m.Arguments)
	case cancelCommand{}.operation():
		return receiveAs[cancelCommand](ctx, p, m.Arguments)
	case suspendCommand{}.operation():
		return receiveAs[suspendCommand](ctx, p, m.Arguments)
	case resumeCommand{}.operation():
		return receiveAs[resumeCommand](ctx, p, m.Arguments)
	case completeCommand{}.operation():
		return receiveAs[completeCommand](ctx, p, m.Arguments)
	case watchCommand{}.operation():
		return receiveAs[watchCommand](ctx, p, m.Arguments)
	case deliverCommand{}.operation():
		return receiveAs[deliverCommand](ctx, p, m.Arguments)
	case awaitCommand{}.operation():
		return receiveAs[awaitCommand](ctx, p, m.Arguments)
	case awaitsCallCommand{}.operation():
		return receiveAs[awaitsCallCommand](ctx, p, m.Arguments)
	case terminateCommand{}.operation():
		return receiveAs[terminateCommand](ctx, p, m.Arguments)
	case truncateCommand{}.operation():
		return receiveAs[truncateCommand](ctx, p, m.Arguments)
	case flushCommand{}.operation():
		return receiveAs[flushCommand](ctx, p, m.Arguments)
	case drainStartsCommand{}.operation():
		return receiveAs[drainStartsCommand](ctx, p, m.Arguments)
	}
	return nil, fmt.Errorf("unknown command %q", m.Operation)
}

func receiveAs[C command[Reply], Reply any](ctx context.Context, p *partition, arguments json.RawMessage) ([]byte, error) {
	var c C
	if err := json.Unmarshal(arguments, &c); err != nil {
		return nil, fmt.Errorf("decoding the arguments of %s: %w", c.operation(), err)
	}
	reply, err := carryOut(ctx, p, c)
	if err != nil {
		return nil, err
	}
	return json.Marshal(reply)
}

// carryOut runs a command on the partition of this process. If the partition was closed meanwhile, the next owner must run it.
func carryOut[Reply any](ctx context.Context, p *partition, c command[Reply]) (Reply, error) {
	reply, err := c.handle(ctx, p)
	if err != nil && p.ctx.Err() != nil {
		return reply, errPartitionMoving
	}
	return reply, err
}

// flush returns when SQL has what the partition's log had before the call.
func (p *partition) flush(ctx context.Context) error {
	if err := p.e.flush(ctx); err != nil {
		return database.Classify(err)
	}
	if p.ctx.Err() != nil { // then it was perhaps not among what was folded
		return errPartitionMoving
	}
	return nil
}

// confirm tells whether the partition is still this owner's, by its log: an owner that stood still may have been followed
// by another, and not know it.
func (p *partition) verifyOwnership(ctx context.Context) error {
	if p.e.Alone() {
		return nil
	}
	last, _, err := p.e.lastEntry(ctx, p.number)
	if err != nil {
		return err
	}
	if last.Owner != p.log.owner {
		go p.close(errFenced)
		return errPartitionMoving
	}
	return nil
}

// control hands an outcome to an execution and returns once that is in the log. An execution that waits for a slot is begun
// for it: what is asked of it needs none.
func (p *partition) control(ctx context.Context, id string, outcome machine.Outcome) (reply ControlReply, err error) {
	var done chan error
	var children []string
	err = p.withExecution(ctx, id, func(h *execution) {
		if h.finished {
			reply.Status = machine.Status(h.row.Status)
			return
		}
		if h.machine == nil {
			if h.waiter != nil && h.waiter.stage == stageWaiting {
				p.releaseLimits(h) // it is to end: it never goes on
			}
			p.startPending(h)
		}
		if h.machine == nil || h.broken {
			return
		}
		before := childrenOf(h)
		wait := make(chan error, 1)
		if p.decide(h, wait, outcome) {
			done, reply.Changed = wait, true
		}
		if reply.Status = h.machine.Status(); reply.Status.Ended() {
			children = before
		}
	})
	switch {
	case err == nil && done != nil:
		err = awaitLogged(ctx, done)
	case err == nil || IsNotFound(err):
		if lost := p.verifyOwnership(ctx); lost != nil {
			err = lost
		}
	}
	if err == nil {
		p.cancelChildren(children)
	}
	if err == nil && reply.Status == "" {
		err = errPartitionMoving
	}
	return reply, err
}

// received waits for a turn to be in the log.
func awaitLogged(ctx context.Context, done chan error) error {
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
func (p *partition) handleStart(ctx context.Context, c startCommand, wait chan Result, fresh bool) error {
	row := c.Row
	def, err := p.e.Definition(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return err
	}
	release := func() {}
	if !fresh {
		release, err = p.reserveID(ctx, row.ID)
	}
	var done chan error
	if err == nil {
		defer release()
		done, err = p.startFenced(ctx, c, def, wait)
	}
	if errors.Is(err, ErrTaken) { // by one that may be on its way into the log: who looks for it next is to find it there
		if failed := p.barrier(ctx); failed != nil {
			return failed
		}
	}
	if err != nil {
		return err
	}
	err = awaitLogged(context.WithoutCancel(ctx), done)
	if err == nil && PartitionOf(row.ID) != p.number {
		err = p.flush(ctx) // its id does not tell where it lives: SQL does
	}
	reach(crashBeforeAck)
	return err
}

// await returns what has become of an execution once it has ended.
func (p *partition) await(ctx context.Context, id string) (Result, error) {
	wait := make(chan Result, 1)
	err := p.withExecution(ctx, id, func(h *execution) {
		if h.finished {
			wait <- h.result()
			return
		}
		h.results = append(h.results, wait)
	})
	if IsNotFound(err) {
		row, err := readExecution(ctx, p.e.DB.DB, id)
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
