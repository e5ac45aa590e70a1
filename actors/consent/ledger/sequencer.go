package ledger

import (
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
	// batchEntries bounds the entries that one commit adds.
	batchEntries = 1000
	// standbyPoll is the interval at which a process that is not the sequencer looks whether there is one.
	standbyPoll = 2 * time.Second
	// retryDelay is the delay after an error.
	retryDelay = time.Second
)

// Run adds the entries of the stream to the tree until ctx ends. Any number of processes may run it: one of them is the sequencer, the others
// stand by, and one of these takes over when entries are left for longer than standbyPoll.
func (l *Ledger) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := l.follow(ctx)
		if errors.Is(err, errFenced) {
			err = l.standBy(ctx)
		}
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("the ledger's sequencer has stopped; it starts again", zap.Error(err))
			_ = wait.Sleep(ctx, retryDelay)
		}
	}
	return nil
}

// standBy returns nil once entries have been left for a whole interval.
func (l *Ledger) standBy(ctx context.Context) error {
	last := int64(-1)
	for {
		if err := wait.Sleep(ctx, standbyPoll); err != nil {
			return err
		}
		state, err := l.store.state(ctx)
		if err != nil {
			return err
		}
		stream, err := l.JS.Stream(ctx, subjects.Ledger.Name)
		if err != nil {
			return fmt.Errorf("looking at the ledger's stream: %w", err)
		}
		if left := stream.CachedInfo().State.LastSeq; left > 0 && int64(left) > state.Sequence && state.Sequence == last {
			return nil
		}
		last = state.Sequence
		l.grown.notify() // another process may have added what is waited for
	}
}

// follow adds entries as they arrive. Its error is errFenced where another process has done so.
func (l *Ledger) follow(ctx context.Context) error {
	state, err := l.store.state(ctx)
	if err != nil {
		return err
	}
	consumer, err := l.JS.OrderedConsumer(ctx, subjects.Ledger.Name, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: uint64(state.Sequence) + 1,
	})
	if err != nil {
		return fmt.Errorf("reading the ledger's stream: %w", err)
	}
	messages := make(chan jetstream.Msg, batchEntries)
	reading, err := consumer.Consume(func(m jetstream.Msg) {
		select {
		case messages <- m:
		case <-ctx.Done():
		}
	}, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		l.Log.Debug("reading the ledger's stream", zap.Error(err))
	}))
	if err != nil {
		return fmt.Errorf("reading the ledger's stream: %w", err)
	}
	defer reading.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-reading.Closed():
			return errors.New("the consumer of the ledger's stream was closed")
		case first := <-messages:
			batch := []jetstream.Msg{first}
			for len(batch) < batchEntries {
				select {
				case m := <-messages:
					batch = append(batch, m)
					continue
				default:
				}
				break
			}
			if state, err = l.add(ctx, state, batch); err != nil {
				return err
			}
		}
	}
}

// add commits the entries of a batch, and returns the new state. An entry that the tree has already, because the outbox has published it twice,
// is not added again.
func (l *Ledger) add(ctx context.Context, state stateRow, batch []jetstream.Msg) (stateRow, error) {
	var ids []string
	var rows []leafRow
	var leaves [][leafBytes]byte
	seen := map[string]bool{}
	for _, m := range batch {
		info, err := m.Metadata()
		if err != nil {
			return state, fmt.Errorf("reading an entry's position: %w", err)
		}
		sequence := int64(info.Sequence.Stream)
		if sequence <= state.Sequence {
			continue
		}
		id, valid := l.EntryID(m.Data())
		if err := l.JS.VerifyMessage(m); err != nil || !valid {
			l.Log.Error("a message of the ledger's stream is no entry of the consent actor", zap.Int64("sequence", sequence), zap.Error(err))
			continue
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		ids = append(ids, id)
		rows = append(rows, leafRow{EntryID: id, Sequence: sequence})
		leaves = append(leaves, leafOf(m.Data()))
	}
	next := state
	if info, err := batch[len(batch)-1].Metadata(); err == nil {
		next.Sequence = max(next.Sequence, int64(info.Sequence.Stream))
	}
	if len(ids) > 0 {
		known, err := l.store.known(ctx, ids)
		if err != nil {
			return state, err
		}
		rows, leaves = withoutKnown(rows, leaves, known)
	}
	return l.commit(ctx, state, next, rows, leaves)
}

// withoutKnown removes the leaves of entries that the tree has.
func withoutKnown(rows []leafRow, leaves [][leafBytes]byte, known map[string]bool) ([]leafRow, [][leafBytes]byte) {
	n := 0
	for i := range rows {
		if !known[rows[i].EntryID] {
			rows[n], leaves[n] = rows[i], leaves[i]
			n++
		}
	}
	return rows[:n], leaves[:n]
}

// publishes reports whether a commit publishes its checkpoint.
func (l *Ledger) publishes() bool { return l.Quorum == 0 && l.key.signer != nil }

// commit writes the grown tree, fenced by the old state.
func (l *Ledger) commit(ctx context.Context, old, next stateRow, rows []leafRow, leaves [][leafBytes]byte) (stateRow, error) {
	var tiles []tile
	if len(leaves) > 0 {
		root, changed, err := grow(l.tiles(ctx), old.Size, leaves)
		if err != nil {
			return old, err
		}
		tiles = changed
		next.Size, next.Root = old.Size+int64(len(leaves)), root[:]
		for i := range rows {
			rows[i].Leaf = old.Size + int64(i)
		}
		if l.publishes() {
			signed, err := l.key.sign(tlog.Tree{N: next.Size, Hash: root})
			if err != nil {
				return old, err
			}
			next.Checkpoint, next.CheckpointSize = string(signed), next.Size
		}
	}
	err := l.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := l.store.commit(ctx, tx, old, next, l.publishes()); err != nil || len(leaves) == 0 {
			return err
		}
		if err := l.store.putTiles(ctx, tx, tiles); err != nil {
			return err
		}
		return l.store.addLeaves(ctx, tx, rows)
	})
	if err != nil {
		return old, err
	}
	if len(leaves) > 0 {
		l.Grown(next.Size, len(leaves))
		l.grown.notify()
		l.cosign.Notify()
	}
	return next, nil
}
