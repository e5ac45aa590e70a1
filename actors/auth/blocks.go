package auth

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// blocks keeps the bucket auth_blocked: the accounts for which nothing may start in any process. It follows the database: an
// account is blocked while it is disabled, and from its deletion until none of its access tokens can be valid. Blocks are
// written before the change in the database and removed after it (deny before allow).
type blocks struct {
	actors.Deps

	accessTTL time.Duration
	bucket    *kv.Bucket[subjects.BlockedAccount]
}

const (
	// blockReconcileInterval is the time between two comparisons of the bucket with the database.
	blockReconcileInterval = time.Minute
	// blockGrace is the age at which a block without a cause in the database is removed: the call that wrote it must have
	// failed.
	blockGrace = time.Minute
	// releaseTimeout bounds the release of a block after a failed call.
	releaseTimeout = 5 * time.Second
)

func openBlocks(ctx context.Context, deps actors.Deps, accessTTL time.Duration) (*blocks, error) {
	bucket, err := kv.Open[subjects.BlockedAccount](ctx, deps.Conn.JS, kv.AuthBlocked)
	return &blocks{Deps: deps, accessTTL: accessTTL, bucket: bucket}, err
}

// block blocks an account. When it returns, no process starts anything for the account or accepts one of its access tokens.
func (b *blocks) block(ctx context.Context, userID string) error {
	revision, err := b.bucket.Put(ctx, kv.EncodeKey(userID), subjects.BlockedAccount{Since: b.Now().UTC()})
	if err != nil {
		return err
	}
	return mesh.RaiseBarrier(ctx, b.Conn, mesh.Barrier{Kind: mesh.BarrierAccount, Revision: revision, UserID: userID})
}

// release unblocks an account that the database has and that is not disabled. When it returns, every process knows.
func (b *blocks) release(ctx context.Context, userID string) error {
	// Read before the account: a block that is written after that has another revision, and stays.
	found, err := b.bucket.Get(ctx, kv.EncodeKey(userID))
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	u, err := userByID(ctx, b.DB.DB, userID)
	if isNotFound(err) || err == nil && u.Disabled {
		return nil
	}
	if err != nil {
		return err
	}
	err = b.bucket.DeleteRevision(ctx, found.Key, found.Revision)
	if errors.Is(err, kv.ErrConflict) || errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return mesh.RaiseBarrier(ctx, b.Conn, mesh.Barrier{Kind: mesh.BarrierAccount, UserID: userID})
}

// releaseAfter releases a block after a call that failed. What fails again, reconcile repairs.
func (b *blocks) releaseAfter(ctx context.Context, userID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := b.release(ctx, userID); err != nil {
		b.Log.Warn("unblocking an account after a failed call", zap.Error(err))
	}
}

// expire lets the block of a deleted account end when none of its access tokens can be valid.
func (b *blocks) expire(ctx context.Context, userID string) error {
	_, err := b.bucket.PutTTL(ctx, kv.EncodeKey(userID), subjects.BlockedAccount{Since: b.Now().UTC(), Deleted: true}, b.accessTTL+revokedMargin)
	return err
}

// run repairs what calls that failed or were killed have left, until ctx ends.
func (b *blocks) run(ctx context.Context) error {
	return wait.Repeat(ctx, blockReconcileInterval, b.reconcile)
}

// reconcile blocks the disabled accounts that are not blocked, and removes blocks without a cause.
func (b *blocks) reconcile(ctx context.Context) error {
	disabled, err := disabledUsers(ctx, b.DB.DB)
	if err != nil {
		return err
	}
	for _, id := range disabled {
		if b.Verifier.Blocked().Has(id) {
			continue
		}
		if err := b.block(ctx, id); err != nil {
			return err
		}
		b.releaseAfter(ctx, id) // it may have been enabled meanwhile
	}
	keys, err := b.bucket.Keys(ctx, ">")
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := b.reconcileBlock(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// reconcileBlock removes a block whose account is enabled, and lets one expire whose account and erasure are gone.
func (b *blocks) reconcileBlock(ctx context.Context, key string) error {
	found, err := b.bucket.Get(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	parts, err := kv.DecodeKey(key)
	if err != nil || found.Value.Deleted || b.Now().Sub(found.Value.Since) < blockGrace {
		return err
	}
	_, err = userByID(ctx, b.DB.DB, parts[0])
	if err == nil {
		return b.release(ctx, parts[0])
	}
	if !isNotFound(err) {
		return err
	}
	open, err := hasOpenErasure(ctx, b.DB.DB, parts[0])
	if err != nil || open {
		return err
	}
	return b.expire(ctx, parts[0])
}
