package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/mod/sumdb/tlog"
)

// base reads and verifies the base of a log that was pruned; an empty tree if it was not.
func (p Published) base(tree tlog.Tree) (tlog.Tree, error) {
	const path = "base"
	signed, err := p.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		root, err := tlog.TreeHash(0, nil)
		if err != nil {
			return tlog.Tree{}, fmt.Errorf("computing the empty root: %w", err)
		}
		return tlog.Tree{Hash: root}, nil
	}
	if err != nil {
		return tlog.Tree{}, &Fault{Path: path, Leaf: -1, Detail: err.Error()}
	}
	base, err := openCheckpoint(signed, p.Key, nil, 0)
	if err == nil && (base.N%tileWidth != 0 || base.N > tree.N) {
		err = fmt.Errorf("%w: its size is %d, of a tree of %d", errCheckpoint, base.N, tree.N)
	}
	if err != nil {
		return tlog.Tree{}, &Fault{Path: path, Leaf: -1, Detail: err.Error()}
	}
	return base, nil
}

// readPruned reads what the tiles have of the entries before a base, which is not verified, and lists those tiles as they were then.
func (p Published) readPruned(base int64) (tiles map[[2]int64][]byte, read []resource, err error) {
	tiles = map[[2]int64][]byte{}
	for _, r := range resources(0, base) {
		if r.level < 1 {
			continue
		}
		if tiles[[2]int64{int64(r.level), r.n}], err = p.readGrown(r); err != nil {
			return nil, nil, err
		}
		read = append(read, r)
	}
	return tiles, read, nil
}

// pruned is readPruned of the tree of a base, which the tiles must have. The error names the first tile that differs from the one above it, or the
// last one.
func (p Published) pruned(base tlog.Tree) (map[[2]int64][]byte, error) {
	tiles, read, err := p.readPruned(base.N)
	if err != nil || base.N == 0 {
		return tiles, err
	}
	root, err := tlog.TreeHash(base.N, tileReader(func(level int, n int64) ([]byte, error) { return tiles[[2]int64{int64(level), n}], nil }).hashReader())
	if err != nil {
		return nil, fmt.Errorf("computing the root of the base: %w", err)
	}
	if root == base.Hash {
		return tiles, nil
	}
	last := read[0]
	for _, r := range read {
		if r.level == 1 {
			last = r
		}
		if above := tiles[[2]int64{int64(r.level) + 1, r.n / tileWidth}]; r.width == tileWidth {
			hash := rootOf(hashesOf(tiles[[2]int64{int64(r.level), r.n}]))
			if !bytes.Equal(hash[:], above[r.n%tileWidth*tlog.HashSize:][:tlog.HashSize]) {
				last = r
				break
			}
		}
	}
	first := last.n * tileWidth << (tileHeight * last.level)
	return nil, &Fault{Path: p.pathOf(last), Leaf: first, Detail: "the tile does not belong to the base"}
}

// readGrown reads the part of a tile that a smaller tree has, from the tile of the present tree.
func (p Published) readGrown(r resource) ([]byte, error) {
	data, err := p.Read(p.pathOf(r))
	if err == nil && len(data) < r.width*tlog.HashSize {
		err = fmt.Errorf("it has %d bytes in place of %d at least", len(data), r.width*tlog.HashSize)
	}
	if err != nil {
		return nil, &Fault{Path: p.pathOf(r), Leaf: r.n * tileWidth << (tileHeight * r.level), Detail: err.Error()}
	}
	return data[:r.width*tlog.HashSize], nil
}

// pathOf is the path of a tile in the present tree, in which it may be wider than in a smaller one.
func (p Published) pathOf(r resource) string {
	tree, err := p.checkpoint()
	if err != nil {
		return r.path()
	}
	count := tree.N >> (tileHeight * r.level)
	r.width = int(min(tileWidth, count-r.n*tileWidth))
	return r.path()
}

func hashesOf(data []byte) []tlog.Hash {
	hashes := make([]tlog.Hash, len(data)/tlog.HashSize)
	for i := range hashes {
		hashes[i] = tlog.Hash(data[i*tlog.HashSize : (i+1)*tlog.HashSize])
	}
	return hashes
}

// Paths returns the size of a checkpoint's tree and the paths of its tiles and entry bundles that a log with a base has; without a base, of all. It does
// not verify the checkpoints.
func Paths(checkpoint, base []byte) (size int64, paths []string, err error) {
	tree, err := unverified(checkpoint)
	if err != nil {
		return 0, nil, err
	}
	var from tlog.Tree
	if len(base) > 0 {
		if from, err = unverified(base); err != nil {
			return 0, nil, err
		}
	}
	for _, r := range resources(from.N, tree.N) {
		paths = append(paths, r.path())
	}
	return tree.N, paths, nil
}

// unverified reads the tree of a checkpoint without verifying it.
func unverified(checkpoint []byte) (tlog.Tree, error) {
	text, _, found := bytes.Cut(checkpoint, []byte("\n\n"))
	if !found {
		return tlog.Tree{}, errCheckpoint
	}
	return parseTree(string(text) + "\n")
}
