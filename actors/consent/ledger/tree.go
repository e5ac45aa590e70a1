package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// tileHeight is the height of a tile: it has up to 256 hashes (C2SP tlog-tiles, Merkle Tree).
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	// entriesLevel is the level under which entry bundles are stored beside the tiles.
	entriesLevel = -1
	// maxLevel is the highest level of a tile (C2SP tlog-tiles, Merkle Tree).
	maxLevel = 63
	// leafBytes is the length of a leaf: a SHA-256.
	leafBytes = tlog.HashSize
	// bundledBytes is the length of a leaf in a bundle: a big-endian uint16 length precedes it (C2SP tlog-tiles, Log entries).
	bundledBytes = 2 + leafBytes
)

// tile is a tile or an entry bundle. Its data is only ever extended, so that a tile of a smaller width is a prefix of it.
type tile struct {
	level int
	n     int64
	data  []byte
}

// unit is the number of bytes of one hash or entry of a tile.
func unit(level int) int {
	if level == entriesLevel {
		return bundledBytes
	}
	return tlog.HashSize
}

// tileReader returns the stored data of a tile; nil if it is not stored.
type tileReader func(level int, n int64) ([]byte, error)

// errNoTile is the error for a tile that the tree does not have.
var errNoTile = errors.New("the tree has no such tile")

// hashReader reads hashes of the tree from its tiles. The tiles are trusted: they are the log's own.
func (read tileReader) hashReader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			t := tlog.TileForIndex(tileHeight, index)
			data, err := read(t.L, t.N)
			if err != nil {
				return nil, err
			}
			if len(data) < t.W*tlog.HashSize {
				return nil, fmt.Errorf("%w: level %d, number %d, width %d", errNoTile, t.L, t.N, t.W)
			}
			if hashes[i], err = tlog.HashFromTile(t, data[:t.W*tlog.HashSize], index); err != nil {
				return nil, fmt.Errorf("reading a tile: %w", err)
			}
		}
		return hashes, nil
	})
}

// grow returns the root of a tree of some size after leaves were added, and the tiles and bundles that have changed.
func grow(read tileReader, size int64, leaves [][leafBytes]byte) (tlog.Hash, []tile, error) {
	known := map[int64]tlog.Hash{}
	stored := read.hashReader()
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			hash, found := known[index]
			if !found {
				one, err := stored.ReadHashes([]int64{index})
				if err != nil {
					return nil, err
				}
				hash = one[0]
			}
			hashes[i] = hash
		}
		return hashes, nil
	})
	next := tlog.StoredHashCount(size)
	for i, leaf := range leaves {
		hashes, err := tlog.StoredHashes(size+int64(i), leaf[:], reader)
		if err != nil {
			return tlog.Hash{}, nil, fmt.Errorf("adding a leaf: %w", err)
		}
		for _, hash := range hashes {
			known[next] = hash
			next++
		}
	}
	grown := size + int64(len(leaves))
	root, err := tlog.TreeHash(grown, reader)
	if err != nil {
		return tlog.Hash{}, nil, fmt.Errorf("computing the root: %w", err)
	}
	tiles, err := bundles(read, size, leaves)
	if err != nil {
		return tlog.Hash{}, nil, err
	}
	for _, t := range tlog.NewTiles(tileHeight, size, grown) {
		data, err := tlog.ReadTileData(t, reader)
		if err != nil {
			return tlog.Hash{}, nil, fmt.Errorf("building a tile: %w", err)
		}
		tiles = append(tiles, tile{level: t.L, n: t.N, data: data})
	}
	return root, tiles, nil
}

// bundles returns the entry bundles that leaves extend.
func bundles(read tileReader, size int64, leaves [][leafBytes]byte) ([]tile, error) {
	var list []tile
	for i, leaf := range leaves {
		index := size + int64(i)
		n := index / tileWidth
		if len(list) == 0 || list[len(list)-1].n != n {
			data, err := read(entriesLevel, n)
			if err != nil {
				return nil, err
			}
			if len(data) != int(index%tileWidth)*bundledBytes {
				return nil, fmt.Errorf("%w: entries %d has %d bytes", errNoTile, n, len(data))
			}
			list = append(list, tile{level: entriesLevel, n: n, data: append([]byte(nil), data...)})
		}
		last := &list[len(list)-1]
		last.data = append(binary.BigEndian.AppendUint16(last.data, leafBytes), leaf[:]...)
	}
	return list, nil
}

// resource is a tile or a bundle of some width, as its path names it.
type resource struct {
	level int
	n     int64
	width int
}

// path is the path of a resource below the log's prefix (C2SP tlog-tiles, Merkle Tree and Log entries).
func (r resource) path() string {
	level := "entries"
	if r.level != entriesLevel {
		level = strconv.Itoa(r.level)
	}
	number := fmt.Sprintf("%03d", r.n%1000)
	for n := r.n / 1000; n > 0; n /= 1000 {
		number = fmt.Sprintf("x%03d/%s", n%1000, number)
	}
	path := "tile/" + level + "/" + number
	if r.width != tileWidth {
		path += ".p/" + strconv.Itoa(r.width)
	}
	return path
}

// parsePath returns the resource that a path below `tile/` names; false for one that is not in the only valid form.
func parsePath(path string) (resource, bool) {
	level, rest, found := strings.Cut(path, "/")
	r := resource{width: tileWidth}
	if level == "entries" {
		r.level = entriesLevel
	} else if n, err := strconv.Atoi(level); err == nil && n <= maxLevel {
		r.level = n
	} else {
		return r, false
	}
	if number, width, partial := strings.Cut(rest, ".p/"); partial {
		rest = number
		var err error
		if r.width, err = strconv.Atoi(width); err != nil || r.width < 1 || r.width >= tileWidth {
			return r, false
		}
	}
	for element := range strings.SplitSeq(rest, "/") {
		digits := strings.TrimPrefix(element, "x")
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || len(digits) != 3 || r.n > 1<<50 {
			return r, false
		}
		r.n = r.n*1000 + int64(n)
	}
	return r, found && "tile/"+path == r.path()
}

// resources lists the tiles and bundles of a tree of some size, bundles first, the levels upwards. Those of bundles and of level 0 begin at a base, a
// multiple of tileWidth.
func resources(base, size int64) []resource {
	var list []resource
	for level, count := entriesLevel, size; count > 0; level++ {
		first := int64(0)
		if level < 1 {
			first = base / tileWidth
		}
		for n := first; n*tileWidth < count; n++ {
			list = append(list, resource{level: level, n: n, width: int(min(tileWidth, count-n*tileWidth))})
		}
		if level != entriesLevel {
			count /= tileWidth
		}
	}
	return list
}
