package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// withExecution runs do on an execution under the partition's lock, and loads it first where it is evicted. ErrNoExecution where
// there is none, or it has ended and is not loaded any more. One that was loaded for do and not changed by it is evicted again.
func (p *partition) withExecution(ctx context.Context, id string, do func(h *execution)) error {
	loaded := false
	for {
		release, err := p.reserve(ctx, id, func(h *execution) {
			do(h)
			if loaded && h.unacked == 0 && !h.evictable {
				p.advance(h)
			}
		})
		if err != nil || release == nil {
			return err
		}
		err = p.load(ctx, id)
		release()
		if err != nil {
			return err
		}
		loaded = true
	}
}

// reserve runs do on a loaded execution, under the partition's lock; release is nil then. For any other it waits for the goroutine that loads or
// starts it, and then gives the caller the exclusive right to do so until release: a second copy must not be loaded.
func (p *partition) reserve(ctx context.Context, id string, do func(h *execution)) (release func(), err error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, errPartitionMoving
		}
		h := p.executions[id]
		if h != nil && !h.deciding {
			do(h)
			p.mu.Unlock()
			return nil, nil
		}
		loading := p.loading[id]
		if h != nil {
			loading = h.idle
		}
		if loading == nil {
			loading = make(chan struct{})
			p.loading[id] = loading
			p.mu.Unlock()
			return func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				delete(p.loading, id)
				close(loading)
			}, nil
		}
		p.mu.Unlock()
		select {
		case <-loading:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// reserveID reserves an id for one start, until release. ErrTaken where an execution has it: a loaded one, or one in SQL.
func (p *partition) reserveID(ctx context.Context, id string) (release func(), err error) {
	release, err = p.reserve(ctx, id, func(*execution) {})
	if err != nil {
		return nil, err
	}
	if release == nil {
		return nil, ErrTaken
	}
	found, err := p.e.store.exists(ctx, id)
	if err == nil && found {
		err = ErrTaken
	}
	if err != nil {
		release()
		return nil, database.Classify(err)
	}
	return release, nil
}

// load loads an evicted execution.
func (p *partition) load(ctx context.Context, id string) error {
	row, err := p.e.store.execution(ctx, id)
	if err != nil {
		return database.Classify(err)
	}
	if row.Ended() || row.Partition != p.number {
		return ErrNoExecution
	}
	h, err := p.e.loadFrom(ctx, row)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errPartitionMoving
	}
	h.waiter = p.admission.limiter.waiters[id]
	p.executions[id] = h
	if h.unrestorable != nil && p.running {
		p.quarantine(h, h.unrestorable)
	}
	return nil
}

// loadFrom makes a loaded execution of its row, by its snapshot or its history.
func (e *Engine) loadFrom(ctx context.Context, row Row) (*execution, error) {
	def, err := e.definition(ctx, row)
	if err != nil && !isUnrestorable(err) {
		return nil, err
	}
	h := newExecution(row, def)
	h.stored, h.complete, h.unrestorable = true, false, err
	h.suspended = row.Events == 0 && row.Status == subjects.ExecutionSuspended
	h.row.Evicted, h.row.Snapshot, h.row.DueAt, h.row.Listens = false, "", 0, false
	if h.unrestorable != nil {
		return h, nil //nolint:nilerr // the execution has the error, and is quarantined
	}
	var raw []json.RawMessage
	if row.Snapshot == "" && row.Events > 0 {
		if raw, err = e.store.history(ctx, row.ID); err != nil {
			return nil, err
		}
	}
	if failure := recovered(func() { err = e.restoreMachine(h, string(row.Snapshot), raw) }); failure != nil {
		err = failure
	}
	if err != nil {
		h.unrestorable = fmt.Errorf("restoring execution %s: %w", row.ID, err)
	}
	return h, nil
}

// restoreMachine makes an execution's machine of its snapshot, or of its history.
func (e *Engine) restoreMachine(h *execution, snapshot string, history []json.RawMessage) error {
	environment := e.environment(h.def, h.row.UserID)
	switch {
	case snapshot != "":
		x, err := machine.RestoreSnapshot(h.def, environment, []byte(snapshot))
		if err != nil {
			return err
		}
		h.setMachine(x)
		h.restoreExternal()
	case len(history) > 0:
		events, err := DecodeEvents(history)
		if err != nil {
			return err
		}
		x, err := machine.Restore(h.def, environment, events)
		if err != nil {
			return err
		}
		h.setMachine(x)
	}
	h.heavy = h.heavy || h.machine != nil && h.machine.Bytes() > lightBytes
	return nil
}

// unrestorableError is the error of an execution whose definition does not exist any more or cannot be read.
type unrestorableError struct{ error }

func isUnrestorable(err error) bool {
	var known unrestorableError
	return errors.As(err, &known)
}

// definition is the definition of an execution. An error that another attempt would give again is an unrestorableError.
func (e *Engine) definition(ctx context.Context, row Row) (*language.Workflow, error) {
	def, err := e.Definition(ctx, row.WorkflowID, row.Version)
	if code := subjects.CodeOf(err); err != nil && (code == subjects.CodeNotFound || code == subjects.CodeInvalid) {
		return &language.Workflow{}, unrestorableError{err}
	}
	return def, err
}
