package ledger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// log is a published log in memory, grown in steps of several sizes.
type log struct {
	key       Key
	verifier  string
	published map[string][]byte
	leaves    [][leafBytes]byte
}

func newLog(t *testing.T, size int) *log {
	t.Helper()
	secret, verifier, err := newKey("example.com/ledger")
	if err != nil {
		t.Fatal(err)
	}
	key, err := openKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	l := &log{key: key, verifier: verifier}
	for i := range size {
		l.leaves = append(l.leaves, sha256.Sum256(fmt.Append(nil, i)))
	}
	l.publish(t, l.leaves)
	return l
}

// publish grows a tree of the leaves in steps of random sizes and publishes it.
func (l *log) publish(t *testing.T, leaves [][leafBytes]byte) {
	t.Helper()
	tiles := map[[2]int64][]byte{}
	read := tileReader(func(level int, n int64) ([]byte, error) { return tiles[[2]int64{int64(level), n}], nil })
	random := rand.New(rand.NewPCG(1, uint64(len(leaves))))
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for size := 0; size < len(leaves); {
		step := min(1+random.IntN(400), len(leaves)-size)
		var changed []tile
		if root, changed, err = grow(read, int64(size), leaves[size:size+step]); err != nil {
			t.Fatal(err)
		}
		for _, c := range changed {
			if old := tiles[[2]int64{int64(c.level), c.n}]; !bytes.Equal(c.data[:len(old)], old) {
				t.Fatalf("tile %d/%d was changed, not extended", c.level, c.n)
			}
			tiles[[2]int64{int64(c.level), c.n}] = c.data
		}
		size += step
	}
	l.published = map[string][]byte{}
	for _, r := range resources(0, int64(len(leaves))) {
		l.published[r.path()] = tiles[[2]int64{int64(r.level), r.n}]
	}
	if l.published["checkpoint"], err = l.key.sign(tlog.Tree{N: int64(len(leaves)), Hash: root}); err != nil {
		t.Fatal(err)
	}
}

func (l *log) verify(t *testing.T) (Verified, error) {
	t.Helper()
	key, err := NewVerifier(l.verifier)
	if err != nil {
		t.Fatal(err)
	}
	return Published{Key: key, Read: l.read}.Verify()
}

// read is Published.Read.
func (l *log) read(path string) ([]byte, error) {
	data, found := l.published[path]
	if !found {
		return nil, fs.ErrNotExist
	}
	return data, nil
}

// naiveRoot is the root as RFC 6962 §2.1 defines it, from the leaves alone.
func naiveRoot(leaves [][leafBytes]byte) tlog.Hash {
	if len(leaves) == 0 {
		return tlog.Hash(sha256.Sum256(nil))
	}
	hashes := make([]tlog.Hash, len(leaves))
	for i, leaf := range leaves {
		hashes[i] = tlog.RecordHash(leaf[:])
	}
	return rootOf(hashes)
}

func TestTreesOfEverySize(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 1000, 65536, 65793} {
		l := newLog(t, size)
		verified, err := l.verify(t)
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if verified.Tree.Hash != naiveRoot(l.leaves) || len(verified.Leaves) != size {
			t.Errorf("size %d: the root is %v with %d leaves", size, verified.Tree.Hash, len(verified.Leaves))
		}
	}
	if paths := resources(0, 70000); len(paths) != 274+274+2+1 { // the example of C2SP tlog-tiles, Partial Tiles
		t.Errorf("a tree of 70,000 has %d resources", len(paths))
	}
}

// TestEveryChangedByteIsNamed: whatever byte of whatever resource changes, verification fails and names the resource, and the entry where it is one.
func TestEveryChangedByteIsNamed(t *testing.T) {
	t.Parallel()
	for _, size := range []int{40, 700} {
		everyChangedByteIsNamed(t, newLog(t, size), size == 40)
	}
}

// everyChangedByteIsNamed changes every byte of a log; without all, a sample of large tiles.
func everyChangedByteIsNamed(t *testing.T, l *log, all bool) {
	t.Helper()
	original := maps.Clone(l.published)
	for _, path := range slices.Sorted(maps.Keys(original)) {
		data := original[path]
		for i := range data {
			if !all && len(data) > 400 && i%83 != 0 && i > 70 {
				continue
			}
			changed := slices.Clone(data)
			changed[i] ^= 1 << (i % 8)
			l.published = maps.Clone(original)
			l.published[path] = changed
			_, err := l.verify(t)
			var fault *Fault
			if !errors.As(err, &fault) {
				t.Fatalf("%s: byte %d was changed: %v", path, i, err)
			}
			if fault.Path != path {
				t.Fatalf("%s: byte %d was changed: the fault names %v", path, i, fault)
			}
			if rest, entries := strings.CutPrefix(path, "tile/entries/00"); entries {
				if want := int64(rest[0]-'0')*tileWidth + int64(i/bundledBytes); fault.Leaf != want {
					t.Fatalf("%s: byte %d was changed: the fault names entry %d, want %d", path, i, fault.Leaf, want)
				}
			}
		}
	}
	for path := range original {
		l.published = maps.Clone(original)
		delete(l.published, path)
		var fault *Fault
		if _, err := l.verify(t); !errors.As(err, &fault) || fault.Path != path {
			t.Errorf("%s is missing: %v", path, err)
		}
	}
}

// TestForksAndRollbacksAreNamed: a log that was rolled back, or whose history was written anew, is not one that has grown.
func TestForksAndRollbacksAreNamed(t *testing.T) {
	t.Parallel()
	l := newLog(t, 700)
	earlier := l.published["checkpoint"]
	key, err := NewVerifier(l.verifier)
	if err != nil {
		t.Fatal(err)
	}
	verify := func() error {
		_, err := Published{Key: key, Earlier: earlier, Read: l.read}.Verify()
		return err
	}
	more := append(slices.Clone(l.leaves), sha256.Sum256([]byte("more")))
	l.publish(t, more)
	if err := verify(); err != nil {
		t.Errorf("the log has grown: %v", err)
	}
	l.publish(t, l.leaves[:600])
	if err := verify(); err == nil || !strings.Contains(err.Error(), "has 600 entries, the earlier one had 700") {
		t.Errorf("the log was rolled back: %v", err)
	}
	more[3][0] ^= 1
	l.publish(t, more)
	if err := verify(); err == nil || !strings.Contains(err.Error(), "forked") {
		t.Errorf("the log was forked: %v", err)
	}
	other := newLog(t, 700)
	other.key = l.key
	other.published["checkpoint"] = newLog(t, 700).published["checkpoint"]
	if _, err := other.verify(t); err == nil || !strings.Contains(err.Error(), "the checkpoint does not verify") {
		t.Errorf("a checkpoint by another key: %v", err)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]resource{
		"tile/0/x001/x234/067":            {0, 1234067, 256},
		"tile/entries/000.p/1":            {entriesLevel, 0, 1},
		"tile/63/x001/000.p/255":          {63, 1000, 255},
		"tile/entries/x999/x999/x999/999": {entriesLevel, 999999999999, 256},
	} {
		if got, valid := parsePath(strings.TrimPrefix(path, "tile/")); !valid || got != want || got.path() != path {
			t.Errorf("%s is %v, %v, %s", path, got, valid, got.path())
		}
	}
	for _, path := range []string{
		"", "0", "0/", "64/000", "-1/000", "00/000", "0/00", "0/0000", "0/x000/000", "0/001/002", "0/x001", "0/000.p/0", "0/000.p/256", "0/000.p/01",
		"0/000.p/", "entries/+01", "0/000/", "0/../000", "data/000", "0/000.p/1/x", "0/x001/x001/x001/x001/x001/x001/x001/x001/001",
	} {
		if r, valid := parsePath(path); valid {
			t.Errorf("%q is taken for %v", path, r)
		}
	}
}
