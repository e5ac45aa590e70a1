package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Published is what a log serves below its prefix, by which anyone verifies it.
type Published struct {
	// Read returns a resource by its path: `checkpoint`, `base` of a ledger that was pruned, or one of C2SP tlog-tiles.
	// Its error is fs.ErrNotExist for one that is missing.
	Read func(path string) ([]byte, error)
	// Key is the log's verifier key.
	Key note.Verifier
	// Witnesses are those of which Quorum must have cosigned the checkpoint.
	Witnesses []note.Verifier
	Quorum    int
	// Earlier is a checkpoint from before; the log must have grown from its tree. Empty for none.
	Earlier []byte
}

// Verified is a verified log: its tree, the number of entries that were pruned, and the leaves of the others.
type Verified struct {
	Tree   tlog.Tree
	Base   int64
	Leaves [][leafBytes]byte
}

// Fault is the first thing that does not verify.
type Fault struct {
	// Path is the resource. Leaf is the number of the first leaf concerned; -1 if it is none in particular.
	Path string
	Leaf int64
	// Detail says what is wrong with it.
	Detail string
}

// Error implements error.
func (f *Fault) Error() string {
	if f.Leaf < 0 {
		return f.Path + ": " + f.Detail
	}
	return fmt.Sprintf("%s: entry %d: %s", f.Path, f.Leaf, f.Detail)
}

// Verify verifies a whole log offline: the checkpoint's signatures, every entry bundle and every tile. Of a log that was pruned it verifies what is
// left, and that this continues the signed base. A *Fault names what is wrong.
func (p Published) Verify() (Verified, error) {
	tree, err := p.checkpoint()
	if err != nil {
		return Verified{}, err
	}
	base, err := p.base(tree)
	if err != nil {
		return Verified{}, err
	}
	own, err := p.pruned(base)
	if err != nil {
		return Verified{}, err
	}
	leaves, err := p.leaves(base.N, tree.N)
	if err != nil {
		return Verified{}, err
	}
	root, err := rebuild(base.N, leaves, own)
	if err != nil {
		return Verified{}, err
	}
	if root != tree.Hash {
		return Verified{}, p.explain(base.N, tree, leaves)
	}
	for _, r := range resources(base.N, tree.N) {
		data, err := p.read(r)
		if err != nil {
			return Verified{}, err
		}
		if r.level == entriesLevel {
			continue
		}
		if want := own[[2]int64{int64(r.level), r.n}]; !bytes.Equal(data, want) {
			return Verified{}, &Fault{Path: r.path(), Leaf: firstLeaf(r, data, want), Detail: "the tile does not belong to the entries and the checkpoint"}
		}
	}
	return Verified{Tree: tree, Base: base.N, Leaves: leaves}, p.verifyEarlier(base, tree, leaves)
}

// checkpoint reads and verifies the checkpoint.
func (p Published) checkpoint() (tlog.Tree, error) {
	signed, err := p.Read("checkpoint")
	if err != nil {
		return tlog.Tree{}, &Fault{Path: "checkpoint", Leaf: -1, Detail: err.Error()}
	}
	tree, err := openCheckpoint(signed, p.Key, p.Witnesses, p.Quorum)
	if err != nil {
		return tlog.Tree{}, &Fault{Path: "checkpoint", Leaf: -1, Detail: err.Error()}
	}
	return tree, nil
}

// read reads a tile or bundle of its exact size. A full tile may stand for one that was partial.
func (p Published) read(r resource) ([]byte, error) {
	data, err := p.Read(r.path())
	if errors.Is(err, fs.ErrNotExist) && r.width < tileWidth {
		full := r
		full.width = tileWidth
		if whole, e := p.Read(full.path()); e == nil && len(whole) >= r.width*unit(r.level) {
			data, err = whole[:r.width*unit(r.level)], nil
		}
	}
	first := r.n * tileWidth << (tileHeight * max(0, r.level))
	if err != nil {
		return nil, &Fault{Path: r.path(), Leaf: first, Detail: err.Error()}
	}
	if len(data) != r.width*unit(r.level) {
		return nil, &Fault{Path: r.path(), Leaf: first, Detail: fmt.Sprintf("it has %d bytes in place of %d", len(data), r.width*unit(r.level))}
	}
	return data, nil
}

// leaves reads the leaves of all bundles from a base on.
func (p Published) leaves(base, size int64) ([][leafBytes]byte, error) {
	var leaves [][leafBytes]byte
	for _, r := range resources(base, size) {
		if r.level != entriesLevel {
			break
		}
		data, err := p.read(r)
		if err != nil {
			return nil, err
		}
		for i := range r.width {
			entry := data[i*bundledBytes:]
			if binary.BigEndian.Uint16(entry) != leafBytes {
				return nil, &Fault{Path: r.path(), Leaf: r.n*tileWidth + int64(i), Detail: "its length is not that of a hash"}
			}
			leaves = append(leaves, [leafBytes]byte(entry[2:bundledBytes]))
		}
	}
	return leaves, nil
}

// rebuildChunk bounds the memory that rebuild needs besides the tiles.
const rebuildChunk = 64 << 10

// rebuild computes the root and the tiles of leaves that follow a base, the tiles of which are given.
func rebuild(base int64, leaves [][leafBytes]byte, tiles map[[2]int64][]byte) (tlog.Hash, error) {
	read := tileReader(func(level int, n int64) ([]byte, error) { return tiles[[2]int64{int64(level), n}], nil })
	root, err := tlog.TreeHash(base, read.hashReader())
	if err != nil {
		return root, fmt.Errorf("computing the root of the base: %w", err)
	}
	for size := 0; size < len(leaves); size += rebuildChunk {
		chunk := leaves[size:min(len(leaves), size+rebuildChunk)]
		var changed []tile
		if root, changed, err = grow(read, base+int64(size), chunk); err != nil {
			return root, err
		}
		for _, t := range changed {
			tiles[[2]int64{int64(t.level), t.n}] = t.data
		}
	}
	return root, nil
}

// explain returns the fault of a log whose entries do not have the checkpoint's root. Where the tiles have it, the entry is named that differs
// from them.
func (p Published) explain(base int64, tree tlog.Tree, leaves [][leafBytes]byte) error {
	hashes := make([]tlog.Hash, 0, len(leaves))
	first := int64(-1)
	for _, r := range resources(base, tree.N) {
		if r.level != 0 {
			continue
		}
		data, err := p.read(r)
		if err != nil {
			return err
		}
		for i := range r.width {
			hash := tlog.Hash(data[i*tlog.HashSize : (i+1)*tlog.HashSize])
			if first < 0 && hash != tlog.RecordHash(leaves[len(hashes)][:]) {
				first = base + int64(len(hashes))
			}
			hashes = append(hashes, hash)
		}
	}
	if first < 0 {
		return &Fault{Path: "checkpoint", Leaf: -1, Detail: "its root is not that of the entries, with which the tiles agree: it is of another tree"}
	}
	bundle := resource{level: entriesLevel, n: first / tileWidth, width: int(min(tileWidth, tree.N-first/tileWidth*tileWidth))}
	if p.isRoot(base, tree, hashes) {
		return &Fault{Path: bundle.path(), Leaf: first, Detail: "the entry was changed: its hash is not that of the tile"}
	}
	bundle.level = 0
	return &Fault{Path: bundle.path(), Leaf: first, Detail: "the tile differs from the entry, and neither has the checkpoint's root"}
}

// isRoot reports whether leaf hashes that follow a base have a tree's root.
func (p Published) isRoot(base int64, tree tlog.Tree, hashes []tlog.Hash) bool {
	if base == 0 {
		return rootOf(hashes) == tree.Hash
	}
	lower, _, err := p.readPruned(base)
	if err != nil {
		return false
	}
	var row []tlog.Hash // of the nodes of level 8
	for n := range base / tileWidth {
		data := lower[[2]int64{1, n / tileWidth}]
		row = append(row, tlog.Hash(data[n%tileWidth*tlog.HashSize:][:tlog.HashSize]))
	}
	rest := hashes
	for ; len(rest) >= tileWidth; rest = rest[tileWidth:] {
		row = append(row, rootOf(rest[:tileWidth]))
	}
	return rootOver(row, rest) == tree.Hash
}

// rootOver is the root of a tree of full subtrees of level 8 and the hashes of leaves that follow them.
func rootOver(row, rest []tlog.Hash) tlog.Hash {
	if len(row) == 0 {
		return rootOf(rest)
	}
	count := len(row)
	if len(rest) > 0 {
		count++
	}
	if count == 1 {
		return row[0]
	}
	left := 1
	for left*2 < count {
		left *= 2
	}
	if left >= len(row) {
		return tlog.NodeHash(rootOf(row), rootOf(rest))
	}
	return tlog.NodeHash(rootOf(row[:left]), rootOver(row[left:], rest))
}

// rootOf is the root of a tree of leaf hashes (RFC 6962 §2.1).
func rootOf(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	left := 1
	for left*2 < len(hashes) {
		left *= 2
	}
	return tlog.NodeHash(rootOf(hashes[:left]), rootOf(hashes[left:]))
}

// firstLeaf is the first leaf below the first hash in which two tiles differ.
func firstLeaf(r resource, data, want []byte) int64 {
	i := int64(0)
	for (i+1)*tlog.HashSize <= int64(len(want)) && bytes.Equal(data[i*tlog.HashSize:(i+1)*tlog.HashSize], want[i*tlog.HashSize:(i+1)*tlog.HashSize]) {
		i++
	}
	return (r.n*tileWidth + i) << (tileHeight * r.level)
}

// verifyEarlier verifies that the log has grown from the tree of an earlier checkpoint.
func (p Published) verifyEarlier(base, tree tlog.Tree, leaves [][leafBytes]byte) error {
	if len(p.Earlier) == 0 {
		return nil
	}
	earlier, err := openCheckpoint(p.Earlier, p.Key, nil, 0)
	if err != nil {
		return &Fault{Path: "earlier checkpoint", Leaf: -1, Detail: err.Error()}
	}
	switch {
	case earlier.N > tree.N:
		return &Fault{Path: "checkpoint", Leaf: -1, Detail: fmt.Sprintf("its tree has %d entries, the earlier one had %d", tree.N, earlier.N)}
	case earlier.N < base.N:
		detail := fmt.Sprintf("its tree has %d entries, and the ledger begins at entry %d: it was pruned", earlier.N, base.N)
		return &Fault{Path: "earlier checkpoint", Leaf: -1, Detail: detail}
	}
	tiles, err := p.pruned(base)
	if err != nil {
		return err
	}
	root, err := rebuild(base.N, leaves[:earlier.N-base.N], tiles)
	if err != nil {
		return err
	}
	if root != earlier.Hash {
		detail := fmt.Sprintf("its first %d entries are not those of the earlier checkpoint: the log was forked", earlier.N)
		return &Fault{Path: "checkpoint", Leaf: -1, Detail: detail}
	}
	return nil
}

// NewVerifier returns the verifier of a log's verifier key.
func NewVerifier(vkey string) (note.Verifier, error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, errors.New("not the verifier key of a log: it must be name+id+key with the algorithm 1 (Ed25519)")
	}
	return v, nil
}
