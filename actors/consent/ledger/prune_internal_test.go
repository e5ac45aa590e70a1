package ledger

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// prune publishes a log without what comes before a base, and with the base's checkpoint.
func (l *log) prune(t *testing.T, base int64) {
	t.Helper()
	root := naiveRoot(l.leaves[:base])
	var err error
	if l.published["base"], err = l.key.sign(tlog.Tree{N: base, Hash: root}); err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{"base": true, "checkpoint": true}
	for _, r := range resources(base, int64(len(l.leaves))) {
		kept[r.path()] = true
	}
	maps.DeleteFunc(l.published, func(path string, _ []byte) bool { return !kept[path] })
}

// TestPrunedTreesOfEverySize: a log that was pruned verifies from its base on, wherever that is.
func TestPrunedTreesOfEverySize(t *testing.T) {
	t.Parallel()
	for size, bases := range map[int][]int64{
		256: {256}, 257: {256}, 700: {256, 512}, 1024: {256, 512, 768, 1024}, 66_000: {65_536, 65_792},
	} {
		whole := newLog(t, size)
		published := maps.Clone(whole.published)
		for _, base := range bases {
			whole.published = maps.Clone(published)
			whole.prune(t, base)
			v, err := whole.verify(t)
			if err != nil || v.Base != base || int64(len(v.Leaves)) != int64(size)-base || v.Tree.Hash != naiveRoot(whole.leaves) {
				t.Errorf("size %d from %d: %v, begins at %d with %d leaves", size, base, err, v.Base, len(v.Leaves))
			}
		}
	}
}

// TestEveryChangedByteOfAPrunedLogIsNamed: of a pruned log too, every change is found; of what is left of the pruned entries, the tile is named.
func TestEveryChangedByteOfAPrunedLogIsNamed(t *testing.T) {
	t.Parallel()
	l := newLog(t, 515)
	l.prune(t, 512)
	original := maps.Clone(l.published)
	for _, path := range slices.Sorted(maps.Keys(original)) {
		for i := range original[path] {
			changed := slices.Clone(original[path])
			changed[i] ^= 1 << (i % 8)
			l.published = maps.Clone(original)
			l.published[path] = changed
			_, err := l.verify(t)
			var fault *Fault
			if !errors.As(err, &fault) || fault.Path != path {
				t.Fatalf("%s: byte %d was changed: %v", path, i, err)
			}
		}
	}
	for path := range original {
		l.published = maps.Clone(original)
		delete(l.published, path)
		if _, err := l.verify(t); err == nil {
			t.Errorf("%s is missing, and the log verifies", path)
		}
	}
}

// TestAnotherBaseIsRefused: a base of another tree, of another key, or that is no base.
func TestAnotherBaseIsRefused(t *testing.T) {
	t.Parallel()
	l := newLog(t, 700)
	l.prune(t, 512)
	sign := func(l *log, n int64, root tlog.Hash) []byte {
		signed, err := l.key.sign(tlog.Tree{N: n, Hash: root})
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	for name, base := range map[string][]byte{
		"another tree": sign(l, 512, naiveRoot(l.leaves[:511])), "another key": sign(newLog(t, 1), 512, naiveRoot(l.leaves[:512])),
		"not whole bundles": sign(l, 500, naiveRoot(l.leaves[:500])), "beyond the tree": sign(l, 768, naiveRoot(l.leaves)),
	} {
		l.published["base"] = base
		if _, err := l.verify(t); err == nil {
			t.Errorf("%s: the base is accepted", name)
		}
	}
	l.published["base"] = sign(l, 512, naiveRoot(l.leaves[:512]))
	key, err := NewVerifier(l.verifier)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int64]string{511: "begins at entry 512", 512: "", 600: "", 700: ""} {
		_, err := Published{Key: key, Earlier: sign(l, n, naiveRoot(l.leaves[:n])), Read: l.read}.Verify()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("an earlier checkpoint of %d entries: %v", n, err)
		}
	}
	forked := slices.Clone(l.leaves[:600])
	forked[550][0] ^= 1
	if _, err := (Published{Key: key, Earlier: sign(l, 600, naiveRoot(forked)), Read: l.read}).Verify(); err == nil {
		t.Error("a fork is accepted")
	}
}
