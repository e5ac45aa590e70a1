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

// keyedCall is one run of a handler under an idempotency key. The transaction that the handler's first RunInTx begins stays open
// until the handler has returned, and is committed together with the answer.
type keyedCall struct {
	store             *Store
	id, caller, owner string
	record            record
	held              *database.Held
}

type keyedCallKey struct{}

// cleanupTimeout bounds the last commit of a call, and the release of its reservation, if the caller has given up.
const cleanupTimeout = leaseGrace

// errStepAfterWrite is a programming error in a handler.
var errStepAfterWrite = errors.New("a step inside an open transaction: every transaction before a step must be a step too")

// Keyed reports whether ctx belongs to a call under an idempotency key whose changes are in db.
func Keyed(ctx context.Context, db *database.DB) bool { return callFrom(ctx, db) != nil }

// callFrom returns the keyed call that ctx belongs to and that uses db, or nil.
func callFrom(ctx context.Context, db *database.DB) *keyedCall {
	held := db.HeldFrom(ctx)
	if k, ok := ctx.Value(keyedCallKey{}).(*keyedCall); ok && held != nil && k.held == held {
		return k
	}
	return nil
}

// run calls the handler, and then stores the answer in the reservation or releases it.
func (k *keyedCall) run(ctx context.Context, call func(ctx context.Context) (Answer, error), redact []string) (Answer, error) {
	stored := false
	heldCtx, held := k.store.cfg.DB.Hold(ctx)
	k.held = held
	defer func() {
		held.Close()
		if stored {
			return
		}
		cleanup, cancel := database.CleanupContext(ctx, cleanupTimeout)
		defer cancel()
		if err := k.store.release(cleanup, k); err != nil {
			k.store.cfg.Log.Warn("idempotency key not released; its lease will expire", zap.Error(err))
		}
	}()
	answer, callErr := call(context.WithValue(heldCtx, keyedCallKey{}, k))
	if callErr != nil && answer.empty() {
		return answer, callErr
	}
	if err := k.commit(ctx, Answer{Header: answer.Header, Body: redactJSON(answer.Body, redact)}); err != nil {
		return Answer{}, errors.Join(err, callErr)
	}
	stored = true
	return answer, callErr
}

// commit stores the answer and commits it, together with the handler's changes if there are any.
func (k *keyedCall) commit(ctx context.Context, answer Answer) error {
	cleanup, cancel := database.CleanupContext(ctx, cleanupTimeout)
	defer cancel()
	return k.held.Commit(cleanup, func(ctx context.Context, tx bun.Tx) error {
		k.record.Answer = &answer
		return k.store.put(ctx, tx, k, k.record)
	})
}

// Step runs fn in a transaction that is committed at once, also in a keyed call, and records its result under name: a retry of the
// call, after a crash or a transient error, gets the recorded result and does not run fn again. Handlers use it if they change the
// database and then do something slow, or something that needs the change to be visible to others (see Store). In a call without a
// key it is RunInTx.
//
// The result must survive a round trip through JSON. In a keyed call, Step fails without running fn if the call has an open
// transaction: every transaction before a step must be a step too, and no step may be inside RunInTx.
func Step[T any](ctx context.Context, db *database.DB, name string, fn func(ctx context.Context, tx bun.Tx) (T, error)) (result T, err error) {
	k := callFrom(ctx, db)
	if k == nil {
		err = db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
			result, err = fn(ctx, tx)
			return err
		})
		return result, err
	}
	if db.HasTx(ctx) {
		return result, fmt.Errorf("running step %q: %w", name, errStepAfterWrite)
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
		return k.store.put(ctx, tx, k, next)
	})
	if err != nil {
		return result, err
	}
	k.record = next
	return result, nil
}
