package database

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/uptrace/bun"
)

// Held is a transaction that spans several calls of RunInTx: the first one with its context begins the transaction, later
// ones are savepoints in it, reads through DB with that context see its writes, and Commit ends it. Statements of one Held
// run one at a time.
type Held struct {
	db *DB
	// token is the right to use the transaction.
	token chan struct{}
	open  atomic.Pointer[Transaction]
	life  context.Context //nolint:containedctx // of the transaction, which ends with Close and not with a caller's context
	end   context.CancelFunc
}

type heldKey struct{}

// Hold returns a context whose transactions are one, and its Held. Close must be called.
func (db *DB) Hold(ctx context.Context) (context.Context, *Held) {
	h := &Held{db: db, token: make(chan struct{}, 1)}
	h.life, h.end = context.WithCancel(context.WithoutCancel(ctx))
	h.token <- struct{}{}
	return context.WithValue(ctx, heldKey{}, h), h
}

// HeldBy finds the Held of ctx that uses db; nil where there is none.
func (db *DB) HeldBy(ctx context.Context) *Held {
	if h, ok := ctx.Value(heldKey{}).(*Held); ok && h.db == db {
		return h
	}
	return nil
}

// Begun reports whether the transaction has begun and not ended.
func (h *Held) Begun() bool { return h.open.Load() != nil }

// Close rolls the transaction back, unless Commit has ended it, and releases its resources.
func (h *Held) Close() {
	defer h.end()
	if o := h.open.Swap(nil); o != nil {
		o.Rollback()
	}
}

// Commit runs last in the transaction, or in a new one where none has begun, and commits. An error of last rolls back.
func (h *Held) Commit(ctx context.Context, last func(ctx context.Context, tx bun.Tx) error) error {
	if err := h.Acquire(ctx); err != nil {
		return err
	}
	defer h.Release()
	o := h.open.Swap(nil)
	if o == nil {
		return h.db.RunDetached(ctx, last)
	}
	if err := last(ctx, o.tx); err != nil {
		o.Rollback()
		return Classify(err)
	}
	return o.Commit()
}

// runInTx is RunInTx inside the Held: it begins the transaction, or sets a savepoint in it.
func (h *Held) runInTx(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	if err := h.Acquire(ctx); err != nil {
		return err
	}
	defer h.Release()
	if o := h.open.Load(); o != nil {
		return o.savepoint(ctx, fn)
	}
	// Cancellation of the caller must end the wait for a connection, but not roll back the transaction once it has begun.
	stop := context.AfterFunc(ctx, h.end)
	o, err := h.db.OpenTx(ctx, h.life, fn)
	if !stop() {
		if o != nil {
			o.Rollback()
		}
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	h.open.Store(o)
	return nil
}

// Acquire waits for the exclusive right to use the transaction, at most until ctx ends. Release gives it back.
func (h *Held) Acquire(ctx context.Context) error {
	select {
	case <-h.token:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the held transaction: %w", context.Cause(ctx))
	}
}

// Release gives back what Acquire took.
func (h *Held) Release() { h.token <- struct{}{} }
