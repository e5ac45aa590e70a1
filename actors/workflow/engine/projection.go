package engine

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

const (
	// projectionInterval is the pause between two projections while there is something to project.
	projectionInterval = 100 * time.Millisecond
	// projectionTimeout bounds one projection.
	projectionTimeout = 20 * time.Second
	// projectionRetryDelay is the pause after a projection that failed.
	projectionRetryDelay = 250 * time.Millisecond
)

// projector writes what the logs say to SQL: rows, histories, and the position of each log, in one transaction a partition. SQL is
// one projection behind the logs; flush brings it up to date.
type projector struct {
	wake wait.Signal
	// run holds a token during a projection.
	run chan struct{}

	mu sync.Mutex
	// next is the run that has not started; flushes requested before it starts share it.
	next *projectionRun
}

type projectionRun struct {
	done chan struct{}
	err  error
}

func newProjector() *projector {
	return &projector{wake: wait.NewSignal(), run: make(chan struct{}, 1)}
}

// flush returns when SQL has everything that was acknowledged before the call.
func (e *Engine) flush(ctx context.Context) error {
	pr := e.projector
	pr.mu.Lock()
	mine := pr.next == nil
	if mine {
		pr.next = &projectionRun{done: make(chan struct{})}
	}
	run := pr.next
	pr.mu.Unlock()
	if !mine {
		select {
		case <-run.done:
			return run.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	pr.run <- struct{}{}
	defer func() { <-pr.run }()
	pr.mu.Lock()
	pr.next = nil
	pr.mu.Unlock()
	defer close(run.done)
	// Others wait for this run too: neither this caller's cancellation nor its transaction may affect it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.store.detached(ctx)), projectionTimeout)
	defer cancel()
	run.err = e.projectAll(ctx)
	return run.err
}

// runProjector projects until ctx ends.
func (e *Engine) runProjector(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.projector.wake.C():
		}
		pause := projectionInterval
		if err := e.flush(ctx); err != nil {
			e.Log.Warn("projecting executions", zap.Error(err))
			e.projector.wake.Notify()
			pause = projectionRetryDelay
		}
		_ = wait.Until(ctx, nil, pause)
	}
}

// projectAll projects every partition of this process, in one transaction as far as it is not too large.
func (e *Engine) projectAll(ctx context.Context) error {
	start := time.Now()
	var errs []error
	var group projectionGroup
	for _, p := range e.owned() {
		x := projection{p}
		batch := x.collect()
		if len(batch.executions) == 0 {
			continue
		}
		if group.add(x, batch); group.bytes > e.batchBytes || batch.partial {
			errs = append(errs, group.project(ctx, e.store))
			group = projectionGroup{}
		}
		if batch.partial {
			errs = append(errs, x.project(ctx))
		}
	}
	errs = append(errs, group.project(ctx, e.store))
	e.metrics.projection.Observe(time.Since(start).Seconds())
	e.resumePaused()
	return errors.Join(errs...)
}

// projectedExecution is what one projection writes of an execution.
type projectedExecution struct {
	execution *execution
	row       Row
	events    []json.RawMessage
	revision  uint64
	evicted   bool
	// known: SQL has the execution, or may have it.
	known bool
	// ended: SQL gets the execution's end with this projection.
	ended bool
	// expired are calls whose approval requests are closed.
	expired []string
	// unstorable is set where SQL refuses the execution's data: it gets only that the execution ended with this fault.
	unstorable *machine.Error
	// limits is the row that counts it against its limits; nil where it has none.
	limits *LimitRow
}

// projectionGroup are batches of several partitions, which are written in one transaction.
type projectionGroup struct {
	projections []projection
	batches     []projectionBatch
	bytes       int
}

func (g *projectionGroup) add(p projection, batch projectionBatch) {
	g.projections, g.batches, g.bytes = append(g.projections, p), append(g.batches, batch), g.bytes+batch.bytes
}

// project writes the batches. If one of them is refused, or has another owner, each is written in a transaction of its own.
func (g *projectionGroup) project(ctx context.Context, s store) error {
	var err error
	if len(g.batches) > 1 {
		err = s.project(ctx, g.batches...)
	}
	if len(g.batches) == 1 || isRefused(err) || errors.Is(err, errFenced) {
		var errs []error
		for i, p := range g.projections {
			errs = append(errs, p.projectBatch(ctx, g.batches[i]))
		}
		return errors.Join(errs...)
	}
	if len(g.batches) > 0 {
		reach(crashProjected)
	}
	for i, p := range g.projections {
		p.onProjected(g.batches[i], err)
	}
	return err
}

// projectionBatch is what one projection writes of a partition in one transaction.
type projectionBatch struct {
	number int
	owner  string
	// sequence is the log's message up to which it is projected.
	sequence   uint64
	executions []projectedExecution
	// bytes is the size of their data.
	bytes int
	// partial: there is more up to sequence, which is the position before the projection then.
	partial bool
}

// projection writes a partition's log to SQL.
type projection struct{ *partition }

// maxBatchBytes is the size of the data past which a projection is continued in another transaction, in bytes.
const maxBatchBytes = 8 << 20

// project writes the partition's log to SQL, up to one message of it. The position in the log moves with the last of its transactions.
func (p projection) project(ctx context.Context) error {
	for {
		batch := p.collect()
		if len(batch.executions) == 0 {
			return nil
		}
		if err := p.projectBatch(ctx, batch); err != nil || !batch.partial {
			return err
		}
	}
}

func (p projection) projectBatch(ctx context.Context, batch projectionBatch) error {
	err := p.e.store.project(ctx, batch)
	if isRefused(err) {
		p.findUnstorable(ctx, batch)
		err = p.e.store.project(ctx, batch)
	}
	reach(crashProjected)
	p.onProjected(batch, err)
	if errors.Is(err, errFenced) {
		p.close(err)
		return nil
	}
	return err
}

// collect takes what is to be projected: everything up to one message of the log.
func (p projection) collect() projectionBatch {
	p.mu.Lock()
	defer p.mu.Unlock()
	batch := projectionBatch{number: p.number, owner: p.writer.owner(), sequence: p.logged}
	if p.closed || len(p.unprojected) == 0 {
		return batch
	}
	batch.executions = make([]projectedExecution, 0, len(p.unprojected))
	for id, h := range p.unprojected {
		p.mu.yield()
		x := projectedExecution{
			execution: h, row: h.row, events: h.unprojected, revision: h.revision, ended: h.finished, known: h.stored || h.maybeStored,
		}
		if h.waiter != nil {
			row := h.waiter.row(p.number)
			x.limits = &row
		}
		if h.evictable && !h.deciding && h.unacked == 0 && len(h.inFlight) == 0 && h.pendingCleanup == 0 {
			var row Row
			var err error
			if failure := recovered(func() { row, err = h.evict() }); failure != nil {
				err = failure
			}
			if err != nil {
				p.quarantine(h, err)
			} else {
				x.row, x.evicted = row, true
			}
		}
		h.unprojected, x.expired, h.expired = nil, h.expired, nil
		delete(p.unprojected, id)
		batch.executions = append(batch.executions, x)
		if batch.bytes += x.size(); batch.bytes > p.e.batchBytes && len(p.unprojected) > 0 {
			batch.partial, batch.sequence = true, p.projected
			break
		}
	}
	return batch
}

// size is the size of an execution's data, in bytes.
func (x *projectedExecution) size() int {
	return len(x.row.Input) + len(x.row.Output) + len(x.row.Snapshot) + rawBytes(x.events)
}

// onProjected records what SQL has now, or takes back what it does not have.
func (p projection) onProjected(batch projectionBatch, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range batch.executions {
		x := &batch.executions[i]
		h := x.execution
		if err != nil && p.closed {
			p.projectedBytes(x.row.UserID, x.events)
			continue
		}
		if err != nil {
			h.unprojected = append(x.events, h.unprojected...)
			h.expired = append(x.expired, h.expired...)
			h.maybeStored = true
			p.unprojected[x.row.ID] = h
			continue
		}
		p.projectedBytes(x.row.UserID, x.events)
		h.stored = true
		h.dropProjected()
		if x.unstorable != nil {
			p.endUnstorable(x)
		}
		p.unload(x)
	}
	if err == nil && !batch.partial {
		p.projected = batch.sequence
	}
	if err == nil && batch.sequence >= p.truncatedBefore+p.e.Config.CutAfter {
		p.truncatedBefore = batch.sequence
		go func() {
			if err := p.e.log.truncate(p.ctx, p.number, batch.sequence); err != nil && p.ctx.Err() == nil {
				p.e.Log.Warn("truncating a log", zap.Error(err))
			}
		}()
	}
	if p.closed {
		return
	}
	if len(p.unprojected) > 0 {
		p.e.projector.wake.Notify()
	}
}

// unload removes an execution from memory that SQL has whole: one that has ended or is evicted.
func (p projection) unload(x *projectedExecution) {
	h := x.execution
	unchanged := h.revision == x.revision && h.unacked == 0 && len(h.unprojected) == 0
	if x.ended || x.evicted && unchanged && h.evictable {
		for _, w := range h.results {
			w <- Result{Err: errPartitionMoving} // the waiter asks again, which keeps the execution loaded
		}
		h.results = nil
		p.hold(h, 0)
		delete(p.executions, x.row.ID)
		if p.listenerReads > 0 {
			p.evictedDuringReads[x.row.ID] = x.row.UserID
		}
		if due := machine.Moment(x.row.DueAt); x.row.DueAt > 0 && !due.After(p.timersUntil) {
			evictedTimers{p.partition}.add(x.row.ID, x.row.DueAt) // timers up to then were read before this one was in SQL
		}
	}
}
