package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

const (
	// foldEvery is the pause between two folds while there is something to fold.
	projectionInterval = 100 * time.Millisecond
	// foldWithin bounds one fold.
	projectionTimeout = 20 * time.Second
	// foldRetry is the pause after a fold that failed.
	projectionRetryDelay = 250 * time.Millisecond
	// toldTogether bounds the executions that one event tells of.
	endedPerEvent = 200
)

// folder writes what partitions' logs say to SQL: rows, histories, and how far each log is folded, in one transaction.
// SQL is behind the log by a fold; who asks for a flush first reads what the log says.
type projector struct {
	wake chan struct{}
	// run is held by the fold under way.
	run sync.Mutex

	mu   sync.Mutex
	next *projectionRun
}

// flushing is a fold that has not begun: whoever asks until then shares it.
type projectionRun struct {
	done chan struct{}
	err  error
}

func newProjector() *projector { return &projector{wake: make(chan struct{}, 1)} }

// poke tells that there is something to fold.
func (f *projector) notify() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// flush returns when everything that was acknowledged before the call is in SQL.
func (e *Engine) flush(ctx context.Context) error {
	f := e.projector
	f.mu.Lock()
	mine := f.next == nil
	if mine {
		f.next = &projectionRun{done: make(chan struct{})}
	}
	one := f.next
	f.mu.Unlock()
	if !mine {
		select {
		case <-one.done:
			return one.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	f.run.Lock()
	defer f.run.Unlock()
	f.mu.Lock()
	f.next = nil
	f.mu.Unlock()
	defer close(one.done)
	// Others wait for it too: it does not end with this caller, nor with the caller's transaction.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.DB.Detached(ctx)), projectionTimeout)
	defer cancel()
	one.err = e.projectAll(ctx)
	return one.err
}

// runFold folds until ctx ends.
func (e *Engine) runProjector(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.projector.wake:
		}
		pause := projectionInterval
		if err := e.flush(ctx); err != nil {
			e.Log.Warn("folding executions", zap.Error(err))
			e.projector.notify()
			pause = projectionRetryDelay
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// foldOwned folds every partition of this process.
func (e *Engine) projectAll(ctx context.Context) error {
	began := time.Now()
	var errs []error
	for _, p := range e.owned() {
		errs = append(errs, p.project(ctx))
	}
	e.metrics.projection.Observe(time.Since(began).Seconds())
	return errors.Join(errs...)
}

// folding is what one fold takes from an execution.
type projectedExecution struct {
	execution *execution
	row       Row
	events    []json.RawMessage
	revision  uint64
	evicted   bool
	// known: SQL has the execution, or may have it.
	known bool
	// ended: SQL learns with this fold that the execution has ended.
	ended bool
	// lapsed are calls whose questions are withdrawn.
	expired []string
	// ticket is what SQL is to have of its limits.
	limits *LimitRow
}

// fold writes what a partition's log says to SQL. It takes all of it: what is folded and what is not is told by one number.
func (p *partition) project(ctx context.Context) error {
	taken, applied := p.collect()
	if len(taken) == 0 {
		return nil
	}
	err := p.e.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		mine, err := advancePartition(ctx, tx, p.number, p.log.owner, applied)
		if err != nil {
			return err
		}
		if !mine {
			return errFenced
		}
		var fresh, known []Row
		var histories []HistoryRow
		var tickets []LimitRow
		for _, f := range taken {
			if f.limits != nil {
				tickets = append(tickets, *f.limits)
			}
			switch first := f.row.Events - int64(len(f.events)) + 1; {
			case len(f.events) == 0:
			case first == 1:
				f.row.History = joinEvents(f.events)
			default:
				histories = append(histories, HistoryRow{ExecutionID: f.row.ID, First: first, Events: joinEvents(f.events)})
			}
			if f.known {
				known = append(known, f.row)
			} else {
				fresh = append(fresh, f.row)
			}
		}
		if err := storeExecutions(ctx, tx, fresh, known, histories); err != nil {
			return err
		}
		if len(tickets) > 0 {
			if err := storeLimitRows(ctx, tx, p.number, tickets, p.e.Now()); err != nil {
				return err
			}
		}
		for _, f := range taken {
			if err := p.e.WithdrawApprovals(ctx, tx, f.row.ID, f.expired); err != nil {
				return err
			}
		}
		reach(crashProjecting)
		return p.e.publishEnded(ctx, tx, taken)
	})
	reach(crashProjected)
	p.onProjected(taken, applied, err)
	if errors.Is(err, errFenced) {
		p.close(err)
		return nil
	}
	return err
}

// collect takes what is to be folded: everything up to one message of the log.
func (p *partition) collect() (taken []projectedExecution, applied uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.unprojected) == 0 {
		return nil, 0
	}
	taken = make([]projectedExecution, 0, len(p.unprojected))
	for id, h := range p.unprojected {
		f := projectedExecution{execution: h, row: h.row, events: h.unprojected, revision: h.revision, ended: h.finished, known: h.stored || p.outcomeUnknown}
		if h.waiter != nil {
			row := h.waiter.row(p.number)
			f.limits = &row
		}
		if h.evictable && h.unacked == 0 && len(h.inFlight) == 0 && h.pendingCleanup == 0 {
			row, err := h.evict()
			if err != nil {
				p.e.Log.Error("parking an execution", zap.String("execution_id", id), zap.Error(err))
			} else {
				f.row, f.evicted = row, true
			}
		}
		h.unprojected, f.expired, h.expired = nil, h.expired, nil
		delete(p.unprojected, id)
		taken = append(taken, f)
	}
	return taken, p.logged
}

// folded notes what is in SQL, or takes back what is not.
func (p *partition) onProjected(taken []projectedExecution, applied uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcomeUnknown = err != nil
	for _, f := range taken {
		h := f.execution
		if err != nil {
			h.unprojected = append(f.events, h.unprojected...)
			h.expired = append(f.expired, h.expired...)
			p.unprojected[f.row.ID] = h
			continue
		}
		for _, event := range f.events {
			p.unprojectedBytes -= len(event)
		}
		h.stored = true
		h.dropProjected()
		untouched := h.revision == f.revision && h.unacked == 0 && len(h.unprojected) == 0
		switch {
		case f.ended, f.evicted && untouched && h.evictable:
			for _, w := range h.results {
				w <- Result{Err: errPartitionMoving} // who waits asks again, and has it kept in memory
			}
			h.results = nil
			delete(p.executions, f.row.ID)
			if due := machine.Moment(f.row.DueAt); f.row.DueAt > 0 && !due.After(p.timersUntil) {
				p.timers.add(due, f.row.ID) // those that far were read before this one was there
				p.wakeTimers()
			}
		case h.broken && untouched:
			delete(p.executions, f.row.ID)
			p.cancelUnwritable(f.row.ID)
		}
	}
	if err == nil && applied >= p.truncatedBefore+p.e.Config.CutAfter {
		p.truncatedBefore = applied
		go func() {
			if err := p.e.truncateLog(p.ctx, p.number, applied); err != nil && p.ctx.Err() == nil {
				p.e.Log.Warn("cutting a log", zap.Error(err))
			}
		}()
	}
	if err == nil && p.closed {
		return
	}
	if len(p.unprojected) > 0 {
		p.e.projector.notify()
	}
}

// tellEnded tells the mesh of executions that have ended, a user's together.
func (e *Engine) publishEnded(ctx context.Context, tx database.Tx, taken []projectedExecution) error {
	by := map[string][]subjects.ExecutionEnded{}
	for _, f := range taken {
		if f.ended {
			by[f.row.UserID] = append(by[f.row.UserID], subjects.ExecutionEnded{
				ExecutionID: f.row.ID, WorkflowID: f.row.WorkflowID, Version: f.row.Version, Name: f.row.Name, Status: f.row.Status,
				Origin: f.row.Origin.String(), EndedAt: machine.Moment(f.row.EndedAt),
			})
		}
	}
	for user, all := range by {
		for len(all) > 0 {
			part := all[:min(len(all), endedPerEvent)]
			all = all[len(part):]
			id := part[0].ExecutionID
			data, err := json.Marshal(subjects.ExecutionsFinished.New(id, user, e.Now(), subjects.ExecutionsEnded{Executions: part}))
			if err != nil {
				return fmt.Errorf("encoding an event: %w", err)
			}
			err = e.Outbox.Add(ctx, tx, outbox.Message{
				ID: "finished." + id, Subject: subjects.ExecutionsFinished.Subject, Key: user, Data: data,
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
