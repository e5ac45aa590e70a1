package ledger

import (
	"context"
	"encoding/json"
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
		if left := stream.CachedInfo().State.LastSeq; left > 0 && int64(left) != state.Sequence && state.Sequence == last {
			return nil
		}
		last = state.Sequence
	}
}

// received is what the sequencer keeps of a message of the stream. One that is no entry has no id.
type received struct {
	id       string
	sequence int64
	leaf     [leafBytes]byte
}

// receive reads a message. What the consent actor has not published is no entry, now and ever after.
func (l *Ledger) receive(m jetstream.Msg) received {
	r := received{leaf: leafOf(m.Data())}
	info, err := m.Metadata()
	if err == nil {
		r.sequence = int64(info.Sequence.Stream)
		err = l.JS.VerifyMessage(m)
	}
	if err == nil {
		r.id, err = entryID(m.Data())
	}
	if err != nil {
		l.Log.Error("a message of the ledger's stream is no entry of the consent actor", zap.Int64("sequence", r.sequence), zap.Error(err))
	}
	return r
}

// entryID returns the member "id" of an entry.
func entryID(data []byte) (string, error) {
	var entry struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(data, &entry) != nil || entry.ID == "" || len(entry.ID) > 36 {
		return "", errors.New("it has no id")
	}
	return entry.ID, nil
}

// begin returns the state to continue from. It publishes the checkpoint of a tree that has grown while none could be signed. Where the stream
// has lost entries, it is read from its beginning: those that the tree has are not added again.
func (l *Ledger) begin(ctx context.Context) (stateRow, error) {
	state, err := l.store.state(ctx)
	if err != nil {
		return state, err
	}
	stream, err := l.JS.Stream(ctx, subjects.Ledger.Name)
	if err != nil {
		return state, fmt.Errorf("looking at the ledger's stream: %w", err)
	}
	next := state
	if last := int64(stream.CachedInfo().State.LastSeq); last < state.Sequence {
		l.Log.Error("the ledger's stream has lost entries", zap.Int64("last", last), zap.Int64("read", state.Sequence))
		next.Sequence = 0
	}
	publish := l.publishes() && state.CheckpointSize < state.Size
	if publish {
		signed, err := l.key.sign(state.tree())
		if err != nil {
			return state, err
		}
		next.Checkpoint, next.CheckpointSize = string(signed), state.Size
	}
	if !publish && next.Sequence == state.Sequence {
		return state, nil
	}
	return next, l.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return l.store.commit(ctx, tx, state, next, publish) })
}

// follow adds entries as they arrive. Its error is errFenced where another process has done so.
func (l *Ledger) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a message may be waiting for its place in the channel
	state, err := l.begin(ctx)
	if err != nil {
		return err
	}
	consumer, err := l.JS.OrderedConsumer(ctx, subjects.Ledger.Name, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: uint64(state.Sequence) + 1,
	})
	if err != nil {
		return fmt.Errorf("reading the ledger's stream: %w", err)
	}
	arrived := make(chan received, batchEntries)
	reading, err := consumer.Consume(func(m jetstream.Msg) {
		select {
		case arrived <- l.receive(m):
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
		case first := <-arrived:
			batch := []received{first}
			for len(batch) < batchEntries && len(arrived) > 0 {
				batch = append(batch, <-arrived)
			}
			if state, err = l.add(ctx, state, batch); err != nil {
				return err
			}
		}
	}
}

// errWentBack is the error where the stream was replaced by a shorter one. begin finds out what is left.
var errWentBack = errors.New("the ledger's stream went back")

// add commits the entries of a batch, and returns the new state. An entry that the tree has already, because the outbox has published it twice,
// is not added again.
func (l *Ledger) add(ctx context.Context, state stateRow, batch []received) (stateRow, error) {
	next := state
	var ids []string
	for _, r := range batch {
		if r.sequence <= next.Sequence {
			return state, errWentBack
		}
		next.Sequence = r.sequence
		if r.id != "" {
			ids = append(ids, r.id)
		}
	}
	known, err := l.store.known(ctx, ids)
	if err != nil {
		return state, err
	}
	var rows []leafRow
	var leaves [][leafBytes]byte
	for _, r := range batch {
		if r.id == "" || known[r.id] {
			continue
		}
		known[r.id] = true
		rows = append(rows, leafRow{EntryID: r.id, Leaf: state.Size + int64(len(rows)), Sequence: r.sequence})
		leaves = append(leaves, r.leaf)
	}
	return l.commit(ctx, state, next, rows, leaves)
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
		l.cosign.Notify()
	}
	return next, nil
}
