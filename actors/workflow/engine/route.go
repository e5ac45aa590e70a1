package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

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

// errPartitionMoving is the error of a command while its partition has no owner that can carry it out. Another attempt finds the next
// owner.
var errPartitionMoving = &subjects.Error{
	Code: subjects.CodeUnavailable, Reason: subjects.ReasonPartitionMoving, Detail: "partition ownership is moving; retry", RetryAfter: subjects.RetrySoon,
}

// command is a request to the owner of a partition. Only processes of the workflow actor may send one: they check users and consents
// before.
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

// isMoving reports whether another attempt may find the partition's owner: it is moving, or the process that had it is not reached.
func isMoving(err error) bool {
	return subjects.CodeOf(err) == subjects.CodeUnavailable && !isOverload(err)
}

func sendOnce[Reply any](ctx context.Context, e *Engine, number int, c command[Reply]) (reply Reply, err error) {
	if p := e.partition(number); p != nil {
		return carryOut(ctx, p, c)
	}
	if e.single {
		return reply, errPartitionMoving
	}
	arguments, err := subjects.Encode(c)
	if err != nil {
		return reply, fmt.Errorf("encoding a command: %w", err)
	}
	data, err := subjects.Encode(envelope{Operation: c.operation(), Arguments: arguments})
	if err != nil {
		return reply, fmt.Errorf("encoding a command: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	answer, err := e.bus.request(ctx, number, data)
	if err != nil {
		return reply, err
	}
	if err := json.Unmarshal(answer, &reply); err != nil {
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
	row, failed := e.store.execution(ctx, id)
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
	case awaitsChildCommand{}.operation():
		return receiveAs[awaitsChildCommand](ctx, p, m.Arguments)
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
	return subjects.Encode(reply)
}

// carryOut runs a command on the partition of this process. If the partition was closed meanwhile, the next owner must run it.
func carryOut[Reply any](ctx context.Context, p *partition, c command[Reply]) (Reply, error) {
	reply, err := c.handle(ctx, p)
	if err != nil && p.ctx.Err() != nil {
		return reply, errPartitionMoving
	}
	return reply, err
}
