package database

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/uptrace/bun"
)

// Held is a transaction that spans several calls of RunInTx. The first call with its context begins the transaction, later
// calls are savepoints in it, reads through DB with that context see its writes, and Commit commits it. Calls from several
// goroutines run one at a time.
type Held struct {
	db *DB
	// token is held by the goroutine that uses the transaction.
	token    chan struct{}
	open     atomic.Pointer[Transaction]
	lifetime context.Context //nolint:containedctx // the transaction's: it ends with Close, not with a caller's context
	end      context.CancelFunc
}

type heldKey struct{}

// Hold returns a context in which all transactions on db are one, and its Held. It begins nothing before the first RunInTx. The
// caller must call Close.
func (db *DB) Hold(ctx context.Context) (context.Context, *Held) {
	h := &Held{db: db, token: make(chan struct{}, 1)}
	h.lifetime, h.end = context.WithCancel(context.WithoutCancel(ctx))
	h.token <- struct{}{}
	return context.WithValue(ctx, heldKey{}, h), h
}

// HeldFrom returns the Held on db that ctx belongs to, or nil.
func (db *DB) HeldFrom(ctx context.Context) *Held {
	if h, ok := ctx.Value(heldKey{}).(*Held); ok && h.db == db {
		return h
	}
	return nil
}

// Close rolls the transaction back, unless Commit has ended it, and releases its resources.
func (h *Held) Close() {
	defer h.end()
	if o := h.open.Swap(nil); o != nil {
		o.Rollback()
	}
}

// Commit runs last in the transaction, or in a new one if none is open, and commits. An error of last rolls everything back.
// After Commit, RunInTx begins a new transaction.
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

// runInTx runs fn in the transaction, which it begins if necessary, or in a savepoint of it.
func (h *Held) runInTx(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	if err := h.Acquire(ctx); err != nil {
		return err
	}
	defer h.Release()
	if o := h.open.Load(); o != nil {
		return o.savepoint(ctx, fn)
	}
	// The caller's cancellation must end the wait for a connection and this first fn, but not the transaction afterwards.
	stop := context.AfterFunc(ctx, h.end)
	o, err := h.db.OpenTx(ctx, h.lifetime, fn)
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

// Acquire waits until no other goroutine uses the transaction, or until ctx ends. Release must follow.
func (h *Held) Acquire(ctx context.Context) error {
	select {
	case <-h.token:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the held transaction: %w", context.Cause(ctx))
	}
}

// Release lets the next goroutine use the transaction.
func (h *Held) Release() { h.token <- struct{}{} }
