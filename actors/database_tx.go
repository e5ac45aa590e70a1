package actors

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

// txScope is one open transaction and what waits for its commit.
type txScope struct {
	db    *DB
	tx    bun.Tx
	end   context.CancelFunc // of the context that tx was begun with
	hooks []func()
	aside bool // see DB.RunAside
}

type txScopeKey struct{}

// openScope finds the transaction that ctx belongs to: RunInTx's own, or the one a keyed call holds open.
func (db *DB) openScope(ctx context.Context) *txScope {
	if s, ok := ctx.Value(txScopeKey{}).(*txScope); ok && s.db == db {
		return s
	}
	if k := db.keyedCall(ctx); k != nil {
		return k.scope.Load()
	}
	return nil
}

// RunInTx runs fn in one transaction and commits it when fn returns nil. The context given to fn is the transaction's:
// statements through DB, RunInTx (a savepoint), Outbox.Add and AfterCommit join it by that context.
//
// fn may run several times: a serialization failure, a deadlock or a busy file is retried, with a new transaction, some
// hundreds of milliseconds long. So what fn changes outside the database it must set, not add to. A connection lost
// while committing is not retried, since nobody knows whether the commit happened; it is ErrUnavailable.
//
// Inside Idempotency.Do (a keyed call) the changes become durable together with the stored answer, once the handler has
// returned: see Idempotency for what follows from that. Errors of fn come back as they are, those of the database
// through DatabaseError.
func (db *DB) RunInTx(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	if s, ok := ctx.Value(txScopeKey{}).(*txScope); ok && s.db == db {
		return s.savepoint(ctx, fn)
	}
	if k := db.keyedCall(ctx); k != nil {
		return k.runInTx(ctx, fn)
	}
	return db.commitTx(ctx, fn)
}

// RunAside is RunInTx for writes to tables of which no RowCache holds a row, such as a log that grows with every call:
// reads from memory go on while it commits and after it. Inside another transaction it is RunInTx.
func (db *DB) RunAside(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	if db.openScope(ctx) != nil || db.keyedCall(ctx) != nil {
		return db.RunInTx(ctx, fn)
	}
	s, err := db.openTx(ctx, ctx, fn)
	if err != nil {
		return err
	}
	s.aside = true
	return s.commit()
}

// Apart is ctx outside of its transaction, and of the keyed call that it belongs to: its own transactions are committed at
// once. It is for what stays, or what others go on with, whatever becomes of the caller. Nothing may be written in the
// transaction before it: on SQLite, which has one writer, the one would wait for the other.
func (db *DB) Apart(ctx context.Context) context.Context {
	if db.openScope(ctx) == nil && db.keyedCall(ctx) == nil {
		return ctx
	}
	return context.WithValue(context.WithValue(ctx, txScopeKey{}, nil), keyedCallKey{}, nil)
}

// AfterCommit runs fn once the transaction of ctx has been committed: never when it rolls back, and at once when ctx
// belongs to none. A crash between the commit and fn loses fn; what must not be lost goes through the Outbox.
func (db *DB) AfterCommit(ctx context.Context, fn func()) {
	if s := db.openScope(ctx); s != nil {
		s.hooks = append(s.hooks, fn)
		return
	}
	fn()
}

// commitTx is RunInTx where ctx is in no transaction and no keyed call.
func (db *DB) commitTx(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	s, err := db.openTx(ctx, ctx, fn)
	if err != nil {
		return err
	}
	return s.commit()
}

// openTx begins a transaction that lives as long as life, and runs fn in it until fn succeeds or retrying ends. Only
// SQLite's commit can be busy, and there only when a foreign process reads the file; so the commit is not retried.
func (db *DB) openTx(ctx, life context.Context, fn func(ctx context.Context, tx bun.Tx) error) (*txScope, error) {
	for attempt := 1; ; attempt++ {
		s, begun, err := db.tryTx(ctx, life, fn)
		if err == nil {
			return s, nil
		}
		again := isRetryable(err) || !begun && isConnectionLost(err)
		if !again || attempt == txAttempts || ctx.Err() != nil {
			return nil, DatabaseError(err)
		}
		if err := sleepCtx(ctx, time.Duration(1<<attempt)*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func (db *DB) tryTx(ctx, life context.Context, fn func(ctx context.Context, tx bun.Tx) error) (_ *txScope, begun bool, err error) {
	s, err := db.beginTx(life)
	if err != nil {
		return nil, false, fmt.Errorf("beginning transaction: %w", err)
	}
	done := false
	defer func() {
		if !done {
			s.rollback()
		}
	}()
	if err := fn(context.WithValue(ctx, txScopeKey{}, s), s.tx); err != nil {
		return nil, true, err
	}
	done = true
	return s, true, nil
}

func (db *DB) beginTx(life context.Context) (*txScope, error) {
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
	return &txScope{db: db, tx: tx, end: end}, nil
}

func (s *txScope) rollback() {
	_ = s.tx.Rollback()
	s.end()
}

func (s *txScope) commit() error {
	defer s.end()
	counts := uint64(1)
	if s.aside {
		counts = 0
	}
	s.db.commits.Add(counts)
	err := s.tx.Commit()
	s.db.commits.Add(counts)
	if err != nil {
		return fmt.Errorf("committing transaction: %w", DatabaseError(err))
	}
	for _, hook := range s.hooks {
		hook()
	}
	return nil
}

// savepoint runs fn inside s such that an error of fn undoes fn's changes alone.
func (s *txScope) savepoint(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	nested, err := s.tx.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("setting savepoint: %w", DatabaseError(err))
	}
	outer, hooks, done := s.tx, len(s.hooks), false
	s.tx = nested
	defer func() {
		s.tx = outer
		if !done {
			s.hooks = s.hooks[:hooks]
			_ = nested.Rollback()
		}
	}()
	if err := fn(context.WithValue(ctx, txScopeKey{}, s), nested); err != nil {
		return err
	}
	if err := nested.Commit(); err != nil {
		return fmt.Errorf("releasing savepoint: %w", DatabaseError(err))
	}
	done = true
	return nil
}

// sleepCtx waits for d, give or take a half, or until ctx ends, whose error it returns.
func sleepCtx(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// detached is ctx without its end, but for d: what is begun must be tidied up also when the caller is gone.
func detached(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.WithoutCancel(ctx), d, errors.New("tidying up took too long"))
}
