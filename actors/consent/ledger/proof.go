package ledger

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/weftmesh/weft/subjects"
)

// Inclusion proves that the tree of a checkpoint has an entry (RFC 6962 §2.1.1).
type Inclusion struct {
	Index      int64
	Size       int64
	Hashes     []tlog.Hash
	Checkpoint string
}

// Text is the proof in the form of C2SP tlog-proof, which can be verified offline.
func (p Inclusion) Text() string {
	var text strings.Builder
	fmt.Fprintf(&text, "c2sp.org/tlog-proof@v1\nindex %d\n", p.Index)
	for _, hash := range p.Hashes {
		text.WriteString(base64.StdEncoding.EncodeToString(hash[:]) + "\n")
	}
	text.WriteString("\n" + p.Checkpoint)
	return text.String()
}

// ProveEntry proves that the tree of the served checkpoint has an entry. The error has code not_found where it does not.
func (l *Ledger) ProveEntry(ctx context.Context, entryID string) (Inclusion, error) {
	leaf, err := l.store.leaf(ctx, entryID)
	if err != nil {
		return Inclusion{}, err
	}
	checkpoint, size, err := l.Checkpoint(ctx)
	if err != nil {
		return Inclusion{}, err
	}
	if leaf.Leaf >= size {
		return Inclusion{}, errNoEntry // witnesses have not cosigned it yet
	}
	proof, err := tlog.ProveRecord(size, leaf.Leaf, l.tiles(ctx).hashReader())
	if err != nil {
		return Inclusion{}, fmt.Errorf("proving an entry: %w", err)
	}
	return Inclusion{Index: leaf.Leaf, Size: size, Hashes: proof, Checkpoint: checkpoint}, nil
}

// ProveTree proves that the tree of one size is a prefix of the tree of another (RFC 6962 §2.1.2). size 0 is that of the served checkpoint,
// which is the largest allowed.
func (l *Ledger) ProveTree(ctx context.Context, from, size int64) ([]tlog.Hash, int64, error) {
	state, err := l.store.state(ctx)
	if err != nil {
		return nil, 0, err
	}
	served, first := state.CheckpointSize, max(1, state.Base)
	if size == 0 {
		size = served
	}
	switch {
	case size > served || size < 1:
		return nil, 0, subjects.InvalidField("size", "must be between 1 and %d, the size of the served checkpoint", served)
	case from < first || from > size:
		return nil, 0, subjects.InvalidField("from", "must be between %d, where the ledger begins, and %d", first, size)
	}
	proof, err := tlog.ProveTree(size, from, l.tiles(ctx).hashReader())
	if err != nil {
		return nil, 0, fmt.Errorf("proving a tree: %w", err)
	}
	return proof, size, nil
}
