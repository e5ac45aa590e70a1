package engine

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"github.com/weftmesh/weft/subjects"
)

// probePoll is the time between two looks at what a probe waits for.
const probePoll = 5 * time.Millisecond

// Probe returns nil if every partition has an owner, and each of those that this process owns writes its log and serves commands. Its error
// names the partition of which that is not known when ctx ends.
func (e *Engine) Probe(ctx context.Context) error {
	if err := e.awaitOwners(ctx); err != nil {
		return err
	}
	owned := e.owned()
	errs := make([]error, len(owned))
	var all sync.WaitGroup
	for i, p := range owned {
		all.Go(func() { errs[i] = probePartition(ctx, p) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// awaitOwners waits until every partition has an owner that this process knows of; a hand-over takes a moment.
func (e *Engine) awaitOwners(ctx context.Context) error {
	for {
		missing := e.unowned()
		if missing < 0 || e.Stopping() {
			return nil
		}
		if wait.Until(ctx, nil, probePoll) != nil {
			return standstill(ctx, missing, "has no owner")
		}
	}
}

// unowned is the first partition without an owner; -1 if there is none.
func (e *Engine) unowned() int {
	owners := map[int]bool{}
	for _, numbers := range e.assignments() {
		for _, number := range numbers {
			owners[number] = true
		}
	}
	for number := range subjects.WorkflowPartitions {
		if !owners[number] {
			return number
		}
	}
	return -1
}

// probePartition takes the partition's lock and appends a barrier to its log.
func probePartition(ctx context.Context, p *partition) error {
	for !p.mu.TryLock() {
		if wait.Until(ctx, nil, probePoll) != nil {
			return standstill(ctx, p.number, "does not move")
		}
	}
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return nil
	}
	err := p.writer.barrier(ctx)
	if err == nil || errors.Is(err, errPartitionMoving) {
		return nil
	}
	return standstill(ctx, p.number, "cannot write its log")
}

func standstill(ctx context.Context, number int, what string) error {
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Detail: "partition " + strconv.Itoa(number) + " " + what, RetryAfter: subjects.RetrySoon, Cause: context.Cause(ctx),
	}
}
