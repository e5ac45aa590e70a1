package database

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/uptrace/bun"
)

// Tx is an open transaction. Outside its store an actor only passes it on to functions of the store.
type Tx = bun.Tx

// beginTimeout bounds the wait for a connection to write on, also if the caller's deadline is later. It is reached only if the
// database is overloaded, or if RunInTx is called inside RunInTx with the outer context and so waits for itself.
const beginTimeout = 20 * time.Second

var errBeginTimeout = fmt.Errorf("%w: no connection to write on within %v", ErrUnavailable, beginTimeout)

const (
	// txAttempts bounds how often RunInTx runs its function. The delays between the attempts add up to about 250 ms.
	txAttempts   = 8
	txRetryDelay = 2 * time.Millisecond
)

// Transaction is an open transaction with the functions to run after its commit. It ends with Commit or Rollback.
type Transaction struct {
	db       *DB
	tx       bun.Tx
	lifetime context.Context    //nolint:containedctx // the transaction's: savepoints are set and rolled back under it
	end      context.CancelFunc // cancels lifetime
	endTurn  func()             // lets the next writer of SQLite begin
	hooks    []func()
	pending  []pendingValue // of batches
	// broken is set if a savepoint could not be rolled back. The whole transaction has then been rolled back.
	broken error
	// changed are the tables with a RowCache that the transaction has changed.
	changed []*cachedTable
}

type transactionKey struct{}

// transaction returns the open transaction of ctx, from RunInTx or a Held; nil if there is none.
func (db *DB) transaction(ctx context.Context) *Transaction {
	if o, ok := ctx.Value(transactionKey{}).(*Transaction); ok && o.db == db {
		return o
	}
	if h := db.HeldFrom(ctx); h != nil {
		return h.open.Load()
	}
	return nil
}

// InTx reports whether ctx and tx are the ones that RunInTx passed to its function.
func (db *DB) InTx(ctx context.Context, tx bun.Tx) bool {
	o, ok := ctx.Value(transactionKey{}).(*Transaction)
	return ok && o.db == db && o.tx.Tx == tx.Tx
}

// HasTx reports whether ctx belongs to an open transaction on db.
func (db *DB) HasTx(ctx context.Context) bool { return db.transaction(ctx) != nil }

// Tx returns the transaction for statements.
func (o *Transaction) Tx() bun.Tx { return o.tx }

// RunInTx runs fn in a transaction and commits it if fn returns nil. The context passed to fn is the transaction's: statements
// through DB, RunInTx (a savepoint), Outbox.Add and AfterCommit join the transaction by it.
//
// fn may run several times, because a serialization failure, a deadlock or a busy file is retried in a new transaction for some
// hundreds of milliseconds. So fn must not accumulate results outside the database. A connection lost during the commit is
// ErrUnavailable and not retried, because the transaction may have been committed.
//
// If ctx carries a Held, fn runs in its transaction, which Held.Commit commits later. Errors of fn are returned unchanged, those
// of the database through Classify.
func (db *DB) RunInTx(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	if o, ok := ctx.Value(transactionKey{}).(*Transaction); ok && o.db == db {
		return o.savepoint(ctx, fn)
	}
	if h := db.HeldFrom(ctx); h != nil {
		return h.runInTx(ctx, fn)
	}
	return db.RunDetached(ctx, fn)
}

// Detached returns ctx outside its transaction and its Held: transactions on it commit at once and independently of the
// surrounding one. No write transaction may be open on ctx: on SQLite, which has one writer, the detached transaction would wait
// for it until beginTimeout.
func (db *DB) Detached(ctx context.Context) context.Context {
	if db.transaction(ctx) == nil && db.HeldFrom(ctx) == nil {
		return ctx
	}
	return context.WithValue(context.WithValue(ctx, transactionKey{}, nil), heldKey{}, nil)
}

// AfterCommit runs fn after the transaction of ctx has been committed; not at all if it is rolled back; immediately if ctx
// belongs to no transaction. A crash between the commit and fn loses fn, so messages belong into the outbox instead.
func (db *DB) AfterCommit(ctx context.Context, fn func()) {
	if o := db.transaction(ctx); o != nil {
		o.hooks = append(o.hooks, fn)
		return
	}
	fn()
}

// RunDetached runs fn in its own transaction and commits it at once, also if ctx belongs to another transaction.
func (db *DB) RunDetached(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	o, err := db.OpenTx(ctx, ctx, fn)
	if err != nil {
		return err
	}
	return o.Commit()
}

// OpenTx begins a transaction that is rolled back when lifetime ends, and runs fn in it. After a retryable failure fn runs again
// in a new transaction, up to txAttempts times. The caller must commit the returned transaction or roll it back. A commit is not
// retried: only SQLite's can be busy, and only while another program reads the file.
func (db *DB) OpenTx(ctx, lifetime context.Context, fn func(ctx context.Context, tx bun.Tx) error) (*Transaction, error) {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.Multiplier = txRetryDelay, 2
	o, err := backoff.Retry(ctx, func() (*Transaction, error) {
		o, started, err := db.tryTx(ctx, lifetime, fn)
		if err == nil || IsRetryable(err) || !started && isConnectionLost(err) {
			return o, err
		}
		return nil, backoff.Permanent(err)
	}, backoff.WithBackOff(delays), backoff.WithMaxTries(txAttempts))
	return o, Classify(err)
}

// tryTx begins a transaction and runs fn in it. started reports whether the transaction has started.
func (db *DB) tryTx(ctx, lifetime context.Context, fn func(ctx context.Context, tx bun.Tx) error) (_ *Transaction, started bool, err error) {
	o, err := db.beginTx(lifetime)
	if err != nil {
		return nil, false, fmt.Errorf("beginning transaction: %w", err)
	}
	done := false
	defer func() {
		if !done {
			o.Rollback()
		}
	}()
	if err := fn(context.WithValue(ctx, transactionKey{}, o), o.tx); err != nil {
		return nil, true, err
	}
	if err := o.flush(ctx); err != nil {
		return nil, true, err
	}
	done = true
	return o, true, nil
}

func (db *DB) beginTx(lifetime context.Context) (*Transaction, error) {
	lifetime, end := context.WithCancel(lifetime)
	limit := time.AfterFunc(beginTimeout, end)
	endTurn := func() {}
	db.waiting.Add(1)
	if db.dialect == DialectSQLite && db.turn.Acquire(lifetime, 1) == nil {
		endTurn = sync.OnceFunc(func() { db.turn.Release(1) })
	}
	tx, err := db.writer.BeginTx(lifetime, nil)
	db.waiting.Add(-1)
	if late := !limit.Stop(); err != nil || late {
		if err == nil {
			_ = tx.Rollback()
		}
		endTurn()
		end()
		if late {
			err = errBeginTimeout
		}
		return nil, err
	}
	db.transactions.Add(1)
	return &Transaction{db: db, tx: tx, lifetime: lifetime, end: end, endTurn: endTurn}, nil
}

// Rollback rolls the transaction back.
func (o *Transaction) Rollback() {
	_ = o.tx.Rollback()
	o.endTurn()
	o.end()
}

// Commit commits the transaction and runs its AfterCommit functions. After an error it is unknown whether it was committed.
func (o *Transaction) Commit() error {
	defer o.end()
	defer o.endTurn()
	if o.broken != nil {
		return fmt.Errorf("committing transaction: %w", o.broken)
	}
	if err := o.flush(o.lifetime); err != nil {
		_ = o.tx.Rollback()
		return fmt.Errorf("committing transaction: %w", Classify(err))
	}
	committed, err := o.beginCommit()
	if err != nil {
		_ = o.tx.Rollback()
		return err
	}
	err = o.tx.Commit()
	o.endTurn()
	committed()
	if err != nil {
		return fmt.Errorf("committing transaction: %w", Classify(err))
	}
	for _, hook := range o.hooks {
		hook()
	}
	return nil
}

// savepoint runs fn in a savepoint of o, so that an error of fn undoes only fn's changes. The savepoint is set, released and rolled
// back under the transaction's context, because ctx may have ended when fn returns. If the rollback fails, the whole transaction
// is rolled back and Commit fails: SQLite ends a transaction by itself when a statement is interrupted, and later statements
// would be committed one by one.
func (o *Transaction) savepoint(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	if o.broken != nil {
		return fmt.Errorf("setting savepoint: %w", o.broken)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("setting savepoint: %w", context.Cause(ctx))
	}
	nested, err := o.tx.BeginTx(o.lifetime, nil)
	if err != nil {
		return fmt.Errorf("setting savepoint: %w", Classify(err))
	}
	outer, hooks, pending, done := o.tx, len(o.hooks), len(o.pending), false
	o.tx = nested
	defer func() {
		o.tx = outer
		if done {
			return
		}
		o.hooks, o.pending = o.hooks[:hooks], o.pending[:pending]
		if err := nested.Rollback(); err != nil && o.broken == nil {
			o.broken = fmt.Errorf("rolling back to a savepoint: %w", Classify(err))
			_ = nested.Tx.Rollback() // the whole transaction
		}
	}()
	if err := fn(context.WithValue(ctx, transactionKey{}, o), nested); err != nil {
		return err
	}
	if err := nested.Commit(); err != nil {
		return fmt.Errorf("releasing savepoint: %w", Classify(err))
	}
	done = true
	return nil
}

// InBatches runs remove in transactions of its own until it has removed fewer rows than size, which bounds how long another writer waits.
func (db *DB) InBatches(ctx context.Context, size int64, remove func(ctx context.Context, tx bun.Tx) (int64, error)) error {
	for n := size; n >= size; {
		err := db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
			n, err = remove(ctx, tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// CleanupContext returns ctx without its cancellation and with a timeout of d, for work that must also be done after the caller
// has given up.
func CleanupContext(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.WithoutCancel(ctx), d, errors.New("cleaning up took too long"))
}
