package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

const (
	// pruneInterval is the interval between two looks for what is older than subjects.LedgerKept.
	pruneInterval = 24 * time.Hour
	// pruneTiles bounds the bundles that one transaction deletes: 65,536 entries.
	pruneTiles = 256
)

// RunPruning prunes the entries that are older than subjects.LedgerKept, once a day, until ctx ends. Any number of processes may run it.
func (l *Ledger) RunPruning(ctx context.Context) error {
	return wait.Repeat(ctx, pruneInterval, func(ctx context.Context) error {
		if err := l.Prune(ctx, l.Now().Add(-subjects.LedgerKept)); err != nil && ctx.Err() == nil {
			l.Log.Warn("pruning the ledger; the next run retries", zap.Error(err))
		}
		return nil
	})
}

// Prune deletes the entries from before a time, in whole bundles (C2SP tlog-tiles, Pruning). What it deletes is proven first: that every bundle
// belongs to its tile, and each tile to the tree of the checkpoint that is served. The signed checkpoint of the deleted tree is kept in the same
// transaction, as the base from which the log can be verified. All proofs that were given remain valid, and all proofs of later entries and trees can
// still be made. Without the log's key it does nothing. The stream's entries end by their own age, later.
func (l *Ledger) Prune(ctx context.Context, before time.Time) error {
	if l.key.signer == nil {
		return nil
	}
	for ctx.Err() == nil {
		state, err := l.store.state(ctx)
		if err != nil {
			return err
		}
		base, err := l.baseAt(ctx, state, before)
		if err != nil || base <= state.Base {
			return err
		}
		next := state
		next.Base = min(base, state.Base+pruneTiles*tileWidth)
		if next.BaseCheckpoint, err = l.proveBase(ctx, state, next.Base); err != nil {
			return err
		}
		err = l.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return l.store.prune(ctx, tx, state.Base, next) })
		if errors.Is(err, errFenced) {
			return nil
		}
		if err != nil {
			return err
		}
		l.Log.Info("pruned the ledger", zap.Int64("from", state.Base), zap.Int64("base", next.Base))
	}
	return nil
}

// baseAt returns the largest number of whole bundles, in entries, that the served tree has and whose entries are all from before a time. The order
// of entries is that of their times.
func (l *Ledger) baseAt(ctx context.Context, state stateRow, before time.Time) (int64, error) {
	stream, err := l.JS.Stream(ctx, subjects.Ledger.Name)
	if err != nil {
		return 0, fmt.Errorf("looking at the ledger's stream: %w", err)
	}
	low, high := state.Base/tileWidth, state.CheckpointSize/tileWidth
	for low < high {
		middle := (low + high + 1) / 2
		rows, err := l.store.leaves(ctx, middle*tileWidth-1, 1)
		if err != nil || len(rows) == 0 {
			return 0, err
		}
		m, err := stream.GetMsg(ctx, uint64(rows[0].Sequence))
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return 0, fmt.Errorf("reading an entry of the ledger's stream: %w", err)
		}
		if err != nil || m.Time.Before(before) { // one that the stream has no more is older than it keeps
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low * tileWidth, nil
}

// errNotProven is the error for entries that the tree does not prove.
var errNotProven = errors.New("the ledger is not pruned, because what would be deleted does not verify")

// proveBase proves what is between the base of a state and another one, and returns the signed checkpoint of the tree that ends there.
func (l *Ledger) proveBase(ctx context.Context, state stateRow, base int64) (string, error) {
	reader := l.tiles(ctx).hashReader()
	for n := state.Base / tileWidth; n < base/tileWidth; n++ {
		if err := l.proveBundle(ctx, n); err != nil {
			return "", err
		}
	}
	root, err := tlog.TreeHash(base, reader)
	if err != nil {
		return "", fmt.Errorf("computing the base's root: %w", err)
	}
	proof, err := tlog.ProveTree(state.Size, base, reader)
	if err == nil {
		err = tlog.CheckTree(proof, state.Size, state.tree().Hash, base, root)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNotProven, err)
	}
	signed, err := l.key.sign(tlog.Tree{N: base, Hash: root})
	return string(signed), err
}

// proveBundle proves that a full bundle belongs to its tile, and the tile to the one above it.
func (l *Ledger) proveBundle(ctx context.Context, n int64) error {
	bundle, err := l.store.tile(ctx, entriesLevel, n)
	if err != nil {
		return err
	}
	data, err := l.store.tile(ctx, 0, n)
	if err != nil {
		return err
	}
	above, err := l.store.tile(ctx, 1, n/tileWidth)
	if err != nil {
		return err
	}
	place := int(n%tileWidth) * tlog.HashSize
	if len(bundle) != tileWidth*bundledBytes || len(data) != tileWidth*tlog.HashSize || len(above) < place+tlog.HashSize {
		return fmt.Errorf("%w: tile %d is incomplete", errNotProven, n)
	}
	hashes := make([]tlog.Hash, tileWidth)
	for i := range hashes {
		hashes[i] = tlog.RecordHash(bundle[i*bundledBytes+2 : (i+1)*bundledBytes])
		if !bytes.Equal(hashes[i][:], data[i*tlog.HashSize:(i+1)*tlog.HashSize]) {
			return fmt.Errorf("%w: entry %d", errNotProven, n*tileWidth+int64(i))
		}
	}
	if root := rootOf(hashes); !bytes.Equal(root[:], above[place:place+tlog.HashSize]) {
		return fmt.Errorf("%w: tile %d", errNotProven, n)
	}
	return nil
}

// errNoBase is the error for a ledger that was never pruned.
var errNoBase = subjects.Errorf(subjects.CodeNotFound, "the ledger has all its entries")

// Base returns the signed checkpoint of the entries that were pruned. The error has code not_found if there are none.
func (l *Ledger) Base(ctx context.Context) (string, error) {
	state, err := l.store.state(ctx)
	if err == nil && state.Base == 0 {
		err = errNoBase
	}
	return state.BaseCheckpoint, err
}
