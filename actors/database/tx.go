package database

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/uptrace/bun"
)

// Tx is an open transaction. Outside its store an actor only names it, to hand it on to a store's function.
type Tx = bun.Tx

// beginWait bounds the wait for a connection to write on, whatever the caller's deadline. Only two things take so long: a
// database in distress, and RunInTx called inside RunInTx with the context from outside, which waits for itself.
const beginWait = 20 * time.Second

var errBeginWait = fmt.Errorf("%w: no connection to write on within %v", ErrUnavailable, beginWait)

// txAttempts bounds how often RunInTx runs its function; the waits between add up to some 300 ms.
const txAttempts = 8

// Open is an open transaction together with the functions that run after its commit. It ends with Commit or Rollback.
type Transaction struct {
	db    *DB
	tx    bun.Tx
	end   context.CancelFunc // of the context that tx was begun with
	hooks []func()
	// uncached: the transaction writes no table that a RowCache reads, see DB.RunUncached.
	uncached bool
}

type openKey struct{}

// transaction finds the open transaction of ctx: that of RunInTx, or the one that a Held has begun.
func (db *DB) transaction(ctx context.Context) *Transaction {
	if o, ok := ctx.Value(openKey{}).(*Transaction); ok && o.db == db {
		return o
	}
	if h := db.HeldBy(ctx); h != nil {
		return h.open.Load()
	}
	return nil
}

// InTx reports whether ctx and tx are those that RunInTx passed to its function.
func (db *DB) InTx(ctx context.Context, tx bun.Tx) bool {
	o, ok := ctx.Value(openKey{}).(*Transaction)
	return ok && o.db == db && o.tx.Tx == tx.Tx
}

// InAny reports whether ctx belongs to an open transaction.
func (db *DB) InAny(ctx context.Context) bool { return db.transaction(ctx) != nil }

// Tx is the transaction itself, for statements.
func (o *Transaction) Tx() bun.Tx { return o.tx }

// RunInTx runs fn in one transaction and commits it when fn returns nil. The context given to fn is the transaction's:
// statements through DB, RunInTx (a savepoint), Outbox.Add and AfterCommit join it by that context.
//
// fn may run several times: a serialization failure, a deadlock or a busy file is retried, with a new transaction, some
// hundreds of milliseconds long. So what fn changes outside the database it must set, not add to. A connection lost
// while committing is not retried, since nobody knows whether the commit happened; it is ErrUnavailable.
//
// Where ctx carries a Held, fn runs in its transaction, which commits later (Held.Commit). Errors of fn are returned
// unchanged, those of the database through Classify.
func (db *DB) RunInTx(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	if o, ok := ctx.Value(openKey{}).(*Transaction); ok && o.db == db {
		return o.savepoint(ctx, fn)
	}
	if h := db.HeldBy(ctx); h != nil {
		return h.runInTx(ctx, fn)
	}
	return db.RunDetached(ctx, fn)
}

// RunUncached is RunInTx for tables of which no RowCache holds a row, such as an append-only call log: caches stay valid
// while it commits and after it. Inside another transaction it is RunInTx.
func (db *DB) RunUncached(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	if db.transaction(ctx) != nil || db.HeldBy(ctx) != nil {
		return db.RunInTx(ctx, fn)
	}
	o, err := db.OpenTx(ctx, ctx, fn)
	if err != nil {
		return err
	}
	o.uncached = true
	return o.Commit()
}

// Detached returns ctx outside its transaction and its Held: transactions begun with it commit at once, whether or not
// the surrounding one does. The surrounding transaction must not have written before: on SQLite, which has one writer,
// the detached one would wait for it.
func (db *DB) Detached(ctx context.Context) context.Context {
	if db.transaction(ctx) == nil && db.HeldBy(ctx) == nil {
		return ctx
	}
	return context.WithValue(context.WithValue(ctx, openKey{}, nil), heldKey{}, nil)
}

// AfterCommit runs fn once the transaction of ctx has been committed: never when it rolls back, and at once when ctx
// belongs to none. A crash between the commit and fn loses fn; what must not be lost goes through the Outbox.
func (db *DB) AfterCommit(ctx context.Context, fn func()) {
	if o := db.transaction(ctx); o != nil {
		o.hooks = append(o.hooks, fn)
		return
	}
	fn()
}

// RunDetached runs fn in a transaction of its own and commits it at once, also where ctx belongs to a transaction.
func (db *DB) RunDetached(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	o, err := db.OpenTx(ctx, ctx, fn)
	if err != nil {
		return err
	}
	return o.Commit()
}

// OpenTx begins a transaction that rolls back when life ends, and runs fn in it; retryable failures run fn again in a new
// transaction, up to txAttempts times. The caller commits or rolls back what it returns. A commit is not retried: only
// SQLite's can be busy, and only while a foreign process reads the file.
func (db *DB) OpenTx(ctx, life context.Context, fn func(ctx context.Context, tx bun.Tx) error) (*Transaction, error) {
	for attempt := 1; ; attempt++ {
		o, begun, err := db.tryTx(ctx, life, fn)
		if err == nil {
			return o, nil
		}
		again := IsRetryable(err) || !begun && isConnectionLost(err)
		if !again || attempt == txAttempts || ctx.Err() != nil {
			return nil, Classify(err)
		}
		if err := Backoff(ctx, time.Duration(1<<attempt)*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func (db *DB) tryTx(ctx, life context.Context, fn func(ctx context.Context, tx bun.Tx) error) (_ *Transaction, begun bool, err error) {
	o, err := db.beginTx(life)
	if err != nil {
		return nil, false, fmt.Errorf("beginning transaction: %w", err)
	}
	done := false
	defer func() {
		if !done {
			o.Rollback()
		}
	}()
	if err := fn(context.WithValue(ctx, openKey{}, o), o.tx); err != nil {
		return nil, true, err
	}
	done = true
	return o, true, nil
}

func (db *DB) beginTx(life context.Context) (*Transaction, error) {
	life, end := context.WithCancel(life)
	limit := time.AfterFunc(beginWait, end)
	tx, err := db.writer.BeginTx(life, nil)
	if late := !limit.Stop(); err != nil || late {
		if err == nil {
			_ = tx.Rollback()
		}
		end()
		if late {
			err = errBeginWait
		}
		return nil, err
	}
	return &Transaction{db: db, tx: tx, end: end}, nil
}

// Rollback undoes the transaction.
func (o *Transaction) Rollback() {
	_ = o.tx.Rollback()
	o.end()
}

// Commit makes the transaction durable and runs its AfterCommit functions. An error leaves the outcome unknown.
func (o *Transaction) Commit() error {
	defer o.end()
	counts := uint64(1)
	if o.uncached {
		counts = 0
	}
	o.db.commits.Add(counts)
	err := o.tx.Commit()
	o.db.commits.Add(counts)
	if err != nil {
		return fmt.Errorf("committing transaction: %w", Classify(err))
	}
	for _, hook := range o.hooks {
		hook()
	}
	return nil
}

// savepoint runs fn inside o such that an error of fn undoes fn's changes alone.
func (o *Transaction) savepoint(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	nested, err := o.tx.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("setting savepoint: %w", Classify(err))
	}
	outer, hooks, done := o.tx, len(o.hooks), false
	o.tx = nested
	defer func() {
		o.tx = outer
		if !done {
			o.hooks = o.hooks[:hooks]
			_ = nested.Rollback()
		}
	}()
	if err := fn(context.WithValue(ctx, openKey{}, o), nested); err != nil {
		return err
	}
	if err := nested.Commit(); err != nil {
		return fmt.Errorf("releasing savepoint: %w", Classify(err))
	}
	done = true
	return nil
}

// Backoff waits for d ± 50 %, or until ctx ends; it returns the cause of that end.
func Backoff(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Cleanup returns ctx without its cancellation, bounded by d: cleaning up must also run when the caller has gone.
func Cleanup(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.WithoutCancel(ctx), d, errors.New("cleaning up took too long"))
}
