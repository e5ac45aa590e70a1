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
	// Read returns a resource by its path: `checkpoint`, or one of C2SP tlog-tiles. Its error is fs.ErrNotExist for one that is missing.
	Read func(path string) ([]byte, error)
	// Key is the log's verifier key.
	Key note.Verifier
	// Witnesses are those of which Quorum must have cosigned the checkpoint.
	Witnesses []note.Verifier
	Quorum    int
	// Earlier is a checkpoint from before; the log must have grown from its tree. Empty for none.
	Earlier []byte
}

// Verified is a verified log: its tree and the leaves.
type Verified struct {
	Tree   tlog.Tree
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

// Verify verifies a whole log offline: the checkpoint's signatures, every entry bundle and every tile. A *Fault names what is wrong.
func (p Published) Verify() (Verified, error) {
	tree, err := p.checkpoint()
	if err != nil {
		return Verified{}, err
	}
	leaves, err := p.leaves(tree.N)
	if err != nil {
		return Verified{}, err
	}
	own := map[[2]int64][]byte{}
	root, err := rebuild(leaves, own)
	if err != nil {
		return Verified{}, err
	}
	if root != tree.Hash {
		return Verified{}, p.explain(tree, leaves)
	}
	for _, r := range resources(tree.N) {
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
	return Verified{Tree: tree, Leaves: leaves}, p.verifyEarlier(tree, leaves)
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

// leaves reads the leaves of all bundles.
func (p Published) leaves(size int64) ([][leafBytes]byte, error) {
	var leaves [][leafBytes]byte
	for _, r := range resources(size) {
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

// rebuild computes the root and the tiles of leaves.
func rebuild(leaves [][leafBytes]byte, tiles map[[2]int64][]byte) (tlog.Hash, error) {
	read := tileReader(func(level int, n int64) ([]byte, error) { return tiles[[2]int64{int64(level), n}], nil })
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		return root, fmt.Errorf("computing the empty root: %w", err)
	}
	for size := 0; size < len(leaves); size += rebuildChunk {
		chunk := leaves[size:min(len(leaves), size+rebuildChunk)]
		var changed []tile
		if root, changed, err = grow(read, int64(size), chunk); err != nil {
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
func (p Published) explain(tree tlog.Tree, leaves [][leafBytes]byte) error {
	hashes := make([]tlog.Hash, 0, len(leaves))
	first := int64(-1)
	for _, r := range resources(tree.N) {
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
				first = int64(len(hashes))
			}
			hashes = append(hashes, hash)
		}
	}
	if first < 0 {
		return &Fault{Path: "checkpoint", Leaf: -1, Detail: "its root is not that of the entries, with which the tiles agree: it is of another tree"}
	}
	bundle := resource{level: entriesLevel, n: first / tileWidth, width: int(min(tileWidth, tree.N-first/tileWidth*tileWidth))}
	if rootOf(hashes) == tree.Hash {
		return &Fault{Path: bundle.path(), Leaf: first, Detail: "the entry was changed: its hash is not that of the tile"}
	}
	bundle.level = 0
	return &Fault{Path: bundle.path(), Leaf: first, Detail: "the tile differs from the entry, and neither has the checkpoint's root"}
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
func (p Published) verifyEarlier(tree tlog.Tree, leaves [][leafBytes]byte) error {
	if len(p.Earlier) == 0 {
		return nil
	}
	earlier, err := openCheckpoint(p.Earlier, p.Key, nil, 0)
	if err != nil {
		return &Fault{Path: "earlier checkpoint", Leaf: -1, Detail: err.Error()}
	}
	if earlier.N > tree.N {
		return &Fault{Path: "checkpoint", Leaf: -1, Detail: fmt.Sprintf("its tree has %d entries, the earlier one had %d", tree.N, earlier.N)}
	}
	root, err := rebuild(leaves[:earlier.N], map[[2]int64][]byte{})
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

// Paths returns the size of a checkpoint's tree and the paths of its tiles and entry bundles. It does not verify the checkpoint.
func Paths(checkpoint []byte) (size int64, paths []string, err error) {
	text, _, found := bytes.Cut(checkpoint, []byte("\n\n"))
	if !found {
		return 0, nil, errCheckpoint
	}
	tree, err := parseTree(string(text) + "\n")
	if err != nil {
		return 0, nil, err
	}
	for _, r := range resources(tree.N) {
		paths = append(paths, r.path())
	}
	return tree.N, paths, nil
}
