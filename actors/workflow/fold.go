package workflow

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
	"github.com/weftmesh/weft/subjects"
)

const (
	// foldEvery is the pause between two folds while there is something to fold.
	foldEvery = 100 * time.Millisecond
	// foldWithin bounds one fold.
	foldWithin = 20 * time.Second
	// foldRetry is the pause after a fold that failed.
	foldRetry = 250 * time.Millisecond
	// toldTogether bounds the executions that one event tells of.
	toldTogether = 200
)

// folder writes what partitions' logs say to SQL: rows, histories, and how far each log is folded, in one transaction.
// SQL is behind the log by a fold; who asks for a flush first reads what the log says.
type folder struct {
	wake chan struct{}
	// run is held by the fold under way.
	run sync.Mutex

	mu   sync.Mutex
	next *flushing
}

// flushing is a fold that has not begun: whoever asks until then shares it.
type flushing struct {
	done chan struct{}
	err  error
}

func newFolder() *folder { return &folder{wake: make(chan struct{}, 1)} }

// poke tells that there is something to fold.
func (f *folder) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// flush returns when everything that was acknowledged before the call is in SQL.
func (e *Engine) flush(ctx context.Context) error {
	f := e.folder
	f.mu.Lock()
	mine := f.next == nil
	if mine {
		f.next = &flushing{done: make(chan struct{})}
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.DB.Detached(ctx)), foldWithin)
	defer cancel()
	one.err = e.foldOwned(ctx)
	return one.err
}

// runFold folds until ctx ends.
func (e *Engine) runFold(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.folder.wake:
		}
		pause := foldEvery
		if err := e.flush(ctx); err != nil {
			e.Log.Warn("folding executions", zap.Error(err))
			e.folder.poke()
			pause = foldRetry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// foldOwned folds every partition of this process.
func (e *Engine) foldOwned(ctx context.Context) error {
	began := time.Now()
	var errs []error
	for _, p := range e.owned() {
		errs = append(errs, p.fold(ctx))
	}
	e.metrics.fold.Observe(time.Since(began).Seconds())
	return errors.Join(errs...)
}

// folding is what one fold takes from an execution.
type folding struct {
	h       *held
	row     executionRow
	fresh   []json.RawMessage
	touched uint64
	parked  bool
	// known: SQL has the execution, or may have it.
	known bool
	// ended: SQL learns with this fold that the execution has ended.
	ended bool
	// lapsed are calls whose questions are withdrawn.
	lapsed []string
	// ticket is what SQL is to have of its limits.
	ticket *ticketRow
}

// fold writes what a partition's log says to SQL. It takes all of it: what is folded and what is not is told by one number.
func (p *partition) fold(ctx context.Context) error {
	taken, applied := p.collect()
	if len(taken) == 0 {
		return nil
	}
	err := p.e.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		mine, err := advancePartition(ctx, tx, p.lot, p.log.owner, applied)
		if err != nil {
			return err
		}
		if !mine {
			return errLost
		}
		var fresh, known []executionRow
		var histories []historyRow
		var tickets []ticketRow
		for _, f := range taken {
			if f.ticket != nil {
				tickets = append(tickets, *f.ticket)
			}
			switch first := f.row.Events - int64(len(f.fresh)) + 1; {
			case len(f.fresh) == 0:
			case first == 1:
				f.row.History = joinEvents(f.fresh)
			default:
				histories = append(histories, historyRow{ExecutionID: f.row.ID, First: first, Events: joinEvents(f.fresh)})
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
			if err := storeTickets(ctx, tx, p.lot, tickets, p.e.Now()); err != nil {
				return err
			}
		}
		for _, f := range taken {
			if err := p.e.WithdrawApprovals(ctx, tx, f.row.ID, f.lapsed); err != nil {
				return err
			}
		}
		reach(crashFolding)
		return p.e.tellEnded(ctx, tx, taken)
	})
	reach(crashFolded)
	p.folded(taken, applied, err)
	if errors.Is(err, errLost) {
		p.lose(err)
		return nil
	}
	return err
}

// collect takes what is to be folded: everything up to one message of the log.
func (p *partition) collect() (taken []folding, applied uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone || len(p.dirty) == 0 {
		return nil, 0
	}
	taken = make([]folding, 0, len(p.dirty))
	for id, h := range p.dirty {
		f := folding{h: h, row: h.row, fresh: h.fresh, touched: h.touched, ended: h.finished, known: h.stored || p.doubtful}
		if h.ticket != nil {
			row := h.ticket.row(p.lot)
			f.ticket = &row
		}
		if h.resting && h.unacked == 0 && len(h.flying) == 0 && h.errands == 0 {
			row, err := h.park()
			if err != nil {
				p.e.Log.Error("parking an execution", zap.String("execution_id", id), zap.Error(err))
			} else {
				f.row, f.parked = row, true
			}
		}
		h.fresh, f.lapsed, h.lapsed = nil, h.lapsed, nil
		delete(p.dirty, id)
		taken = append(taken, f)
	}
	return taken, p.acked
}

// folded notes what is in SQL, or takes back what is not.
func (p *partition) folded(taken []folding, applied uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doubtful = err != nil
	for _, f := range taken {
		h := f.h
		if err != nil {
			h.fresh = append(f.fresh, h.fresh...)
			h.lapsed = append(f.lapsed, h.lapsed...)
			p.dirty[f.row.ID] = h
			continue
		}
		for _, event := range f.fresh {
			p.fresh -= len(event)
		}
		h.stored = true
		h.shorten()
		untouched := h.touched == f.touched && h.unacked == 0 && len(h.fresh) == 0
		switch {
		case f.ended, f.parked && untouched && h.resting:
			for _, w := range h.waiters {
				w <- ending{err: errHandover} // who waits asks again, and has it kept in memory
			}
			h.waiters = nil
			delete(p.held, f.row.ID)
			if due := moment(f.row.DueAt); f.row.DueAt > 0 && !due.After(p.horizon) {
				p.timers.add(due, f.row.ID) // those that far were read before this one was there
				p.timerChanged()
			}
		case h.broken && untouched:
			delete(p.held, f.row.ID)
			p.mend(f.row.ID)
		}
	}
	if err == nil && applied >= p.cut+p.e.Config.CutAfter {
		p.cut = applied
		go func() {
			if err := p.e.cutLog(p.ctx, p.lot, applied); err != nil && p.ctx.Err() == nil {
				p.e.Log.Warn("cutting a log", zap.Error(err))
			}
		}()
	}
	if err == nil && p.gone {
		return
	}
	if len(p.dirty) > 0 {
		p.e.folder.poke()
	}
}

// tellEnded tells the mesh of executions that have ended, a user's together.
func (e *Engine) tellEnded(ctx context.Context, tx database.Tx, taken []folding) error {
	by := map[string][]subjects.ExecutionEnded{}
	for _, f := range taken {
		if f.ended {
			by[f.row.UserID] = append(by[f.row.UserID], subjects.ExecutionEnded{
				ExecutionID: f.row.ID, WorkflowID: f.row.WorkflowID, Version: f.row.Version, Name: f.row.Name, Status: f.row.Status,
				Origin: f.row.Origin, EndedAt: moment(f.row.EndedAt),
			})
		}
	}
	for user, all := range by {
		for len(all) > 0 {
			part := all[:min(len(all), toldTogether)]
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
