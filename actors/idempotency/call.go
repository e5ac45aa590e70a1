package idempotency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/uptrace/bun"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
)

// keyedCall is one run of a handler under an idempotency key. The transaction that its RunInTx begins is held open until the
// handler has returned, and commits together with the answer.
type keyedCall struct {
	store     *Store
	id, owner string
	record    record
	held      *database.Held
}

type keyedCallKey struct{}

// cleanupTime bounds the last commit, and the release of a reservation, of a call whose caller may have gone.
const cleanupTime = leaseGrace

// errStepAfterWrite is a programming error in a handler.
var errStepAfterWrite = errors.New("a step after an open write: make every transaction before a step a step too")

// Keyed reports whether ctx belongs to a call under an idempotency key whose changes are in db.
func Keyed(ctx context.Context, db *database.DB) bool { return callOf(ctx, db) != nil }

// callOf finds the keyed call that ctx belongs to and that uses db.
func callOf(ctx context.Context, db *database.DB) *keyedCall {
	held := db.HeldBy(ctx)
	if k, ok := ctx.Value(keyedCallKey{}).(*keyedCall); ok && held != nil && k.held == held {
		return k
	}
	return nil
}

// run calls the handler and settles the reservation: stored with the answer, or released.
func (k *keyedCall) run(ctx context.Context, call func(ctx context.Context) (Answer, error), redact []string) (Answer, error) {
	settled := false
	inside, held := k.store.cfg.DB.Hold(ctx)
	k.held = held
	defer func() {
		held.Close()
		if settled {
			return
		}
		cleanup, cancel := database.Cleanup(ctx, cleanupTime)
		defer cancel()
		if err := k.store.release(cleanup, k.id, k.owner, len(k.record.Steps) > 0); err != nil {
			k.store.cfg.Log.Warn("idempotency key not released, its lease will expire", zap.Error(err))
		}
	}()
	answer, callErr := call(context.WithValue(inside, keyedCallKey{}, k))
	if callErr != nil && answer.empty() {
		return answer, callErr
	}
	if err := k.commit(ctx, Answer{Header: answer.Header, Body: redactJSON(answer.Body, redact)}); err != nil {
		return Answer{}, errors.Join(err, callErr)
	}
	settled = true
	return answer, callErr
}

// commit makes the answer durable, in the held transaction where one has begun.
func (k *keyedCall) commit(ctx context.Context, answer Answer) error {
	cleanup, cancel := database.Cleanup(ctx, cleanupTime)
	defer cancel()
	return k.held.Commit(cleanup, func(ctx context.Context, tx bun.Tx) error {
		k.record.Answer = &answer
		return k.store.put(ctx, tx, k.id, k.owner, k.record)
	})
}

// Step runs fn in a transaction that commits at once, also in a keyed call, and records its result under name: a retry of
// that call, after a crash or a transient error, gets the recorded result and does not run fn again. Handlers use it when
// they change the database and then do something slow, or something that others must see (see Store). In a call without a
// key it is RunInTx.
//
// The result must survive JSON. In a keyed call every transaction before a step must be a step too, and none may be inside
// RunInTx; otherwise Step fails and runs nothing.
func Step[T any](ctx context.Context, db *database.DB, name string, fn func(ctx context.Context, tx bun.Tx) (T, error)) (result T, err error) {
	k := callOf(ctx, db)
	if k == nil {
		err = db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
			result, err = fn(ctx, tx)
			return err
		})
		return result, err
	}
	if db.InAny(ctx) {
		return result, fmt.Errorf("making step %q: %w", name, errStepAfterWrite)
	}
	if err := k.held.Acquire(ctx); err != nil {
		return result, err
	}
	defer k.held.Release()
	if done, ok := k.record.Steps[name]; ok {
		if err := json.Unmarshal(done, &result); err != nil {
			return result, fmt.Errorf("decoding the result of step %q: %w", name, err)
		}
		return result, nil
	}
	next := k.record
	err = db.RunDetached(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		if result, err = fn(ctx, tx); err != nil {
			return err
		}
		encoded, err := json.Marshal(result)
		if err != nil {
			return fmt.Errorf("encoding the result of step %q: %w", name, err)
		}
		next.Steps = maps.Clone(k.record.Steps)
		if next.Steps == nil {
			next.Steps = map[string]json.RawMessage{}
		}
		next.Steps[name] = encoded
		return k.store.put(ctx, tx, k.id, k.owner, next)
	})
	if err != nil {
		return result, err
	}
	k.record = next
	return result, nil
}
