package actors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"

	"github.com/uptrace/bun"
	"go.uber.org/zap"
)

// keyedCall is one run of a handler under an idempotency key. Its transaction, once a RunInTx has opened it, lives until
// the handler has returned, and is committed with the answer.
type keyedCall struct {
	idem      *Idempotency
	id, owner string
	record    idempotencyRecord
	turn      chan struct{} // holds one token: the right to use the transaction
	scope     atomic.Pointer[txScope]
	life      context.Context // of the transaction; ends with the call, not with its deadline
	end       context.CancelFunc
}

type keyedCallKey struct{}

// tidyTime bounds the last commit, and the freeing of a reservation, of a call whose caller may be gone.
const tidyTime = leaseGrace

// errStepAfterWrite is a mistake in a handler.
var errStepAfterWrite = errors.New("a step after an open write: make every transaction before a step a step too")

func newKeyedCall(ctx context.Context, i *Idempotency, id, owner string, record idempotencyRecord) *keyedCall {
	k := &keyedCall{idem: i, id: id, owner: owner, record: record, turn: make(chan struct{}, 1)}
	k.life, k.end = context.WithCancel(context.WithoutCancel(ctx))
	k.turn <- struct{}{}
	return k
}

// keyedCall finds the keyed call that ctx belongs to and that uses db.
func (db *DB) keyedCall(ctx context.Context) *keyedCall {
	if k, ok := ctx.Value(keyedCallKey{}).(*keyedCall); ok && k.idem.cfg.DB == db {
		return k
	}
	return nil
}

// Keyed tells whether ctx belongs to a call under an idempotency key.
func (db *DB) Keyed(ctx context.Context) bool { return db.keyedCall(ctx) != nil }

// run calls the handler and settles the reservation: stored with the answer, or freed.
func (k *keyedCall) run(ctx context.Context, call func(ctx context.Context) (Answer, error), redact []string) (Answer, error) {
	settled := false
	defer func() {
		defer k.end()
		if settled {
			return
		}
		if s := k.scope.Swap(nil); s != nil {
			s.rollback()
		}
		tidy, cancel := detached(ctx, tidyTime)
		defer cancel()
		if err := k.idem.free(tidy, k.id, k.owner, len(k.record.Steps) > 0); err != nil {
			k.idem.cfg.Log.Warn("idempotency key not freed, it ends with its lease", zap.Error(err))
		}
	}()
	answer, callErr := call(context.WithValue(ctx, keyedCallKey{}, k))
	if callErr != nil && answer.empty() {
		return answer, callErr
	}
	if err := k.commit(ctx, Answer{Header: answer.Header, Body: redactJSON(answer.Body, redact)}); err != nil {
		return Answer{}, errors.Join(err, callErr)
	}
	settled = true
	return answer, callErr
}

// commit makes the answer durable, in the open transaction where there is one.
func (k *keyedCall) commit(ctx context.Context, answer Answer) error {
	tidy, cancel := detached(ctx, tidyTime)
	defer cancel()
	if err := k.take(tidy); err != nil {
		return err
	}
	defer k.give()
	k.record.Answer = &answer
	s := k.scope.Swap(nil)
	if s == nil {
		return k.idem.cfg.DB.commitTx(tidy, func(ctx context.Context, tx bun.Tx) error {
			return k.idem.store(ctx, tx, k.id, k.owner, k.record)
		})
	}
	if err := k.idem.store(tidy, s.tx, k.id, k.owner, k.record); err != nil {
		s.rollback()
		return DatabaseError(err)
	}
	return s.commit()
}

// runInTx is RunInTx inside the call: it opens the transaction, or sets a savepoint in it.
func (k *keyedCall) runInTx(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	if err := k.take(ctx); err != nil {
		return err
	}
	defer k.give()
	if s := k.scope.Load(); s != nil {
		return s.savepoint(ctx, fn)
	}
	// The caller's end must stop the wait for a connection, and must not roll back what is open after that.
	stop := context.AfterFunc(ctx, k.end)
	s, err := k.idem.cfg.DB.openTx(ctx, k.life, fn)
	if !stop() {
		if s != nil {
			s.rollback()
		}
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	k.scope.Store(s)
	return nil
}

// take waits for the right to use the transaction, which is one statement's at a time.
func (k *keyedCall) take(ctx context.Context) error {
	select {
	case <-k.turn:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the call's transaction: %w", context.Cause(ctx))
	}
}

func (k *keyedCall) give() { k.turn <- struct{}{} }

// Step runs fn in a transaction that is committed at once, also in a keyed call, and remembers there under name that it
// was: a retry of that call, after a crash or a passing error, gets the remembered result and does not run fn again. It
// is for handlers that change the database and then do what takes long or must be seen by others (see Idempotency).
// In a call without a key it is RunInTx.
//
// The result must survive JSON. A keyed call makes every transaction that comes before a step a step too, and none
// inside RunInTx; else Step fails and runs nothing.
func Step[T any](ctx context.Context, db *DB, name string, fn func(ctx context.Context, tx bun.Tx) (T, error)) (result T, err error) {
	k := db.keyedCall(ctx)
	if k == nil {
		err = db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
			result, err = fn(ctx, tx)
			return err
		})
		return result, err
	}
	if db.openScope(ctx) != nil {
		return result, fmt.Errorf("making step %q: %w", name, errStepAfterWrite)
	}
	if err := k.take(ctx); err != nil {
		return result, err
	}
	defer k.give()
	if done, ok := k.record.Steps[name]; ok {
		if err := json.Unmarshal(done, &result); err != nil {
			return result, fmt.Errorf("recalling step %q: %w", name, err)
		}
		return result, nil
	}
	next := k.record
	err = db.commitTx(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		if result, err = fn(ctx, tx); err != nil {
			return err
		}
		encoded, err := json.Marshal(result)
		if err != nil {
			return fmt.Errorf("remembering step %q: %w", name, err)
		}
		next.Steps = maps.Clone(k.record.Steps)
		if next.Steps == nil {
			next.Steps = map[string]json.RawMessage{}
		}
		next.Steps[name] = encoded
		return k.idem.store(ctx, tx, k.id, k.owner, next)
	})
	if err != nil {
		return result, err
	}
	k.record = next
	return result, nil
}
