package ledger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
)

// benchEntries returns WEFT_LEDGER_ENTRIES, or how many entries a benchmark adds.
func benchEntries(b *testing.B) int {
	b.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv("WEFT_LEDGER_ENTRIES"), "100000"))
	if err != nil || n < 2*batchEntries {
		b.Fatalf("WEFT_LEDGER_ENTRIES is not a number of at least %d", 2*batchEntries)
	}
	return n
}

// benchLedger is an empty ledger on SQLite, without a stream.
func benchLedger(b *testing.B) (*Ledger, string) {
	b.Helper()
	dir := b.TempDir()
	db, err := database.Open(b.Context(), database.Config{Actor: "consent", DataDir: dir}, zap.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	if err := database.Migrate(b.Context(), db, os.DirFS("..")); err != nil {
		b.Fatal(err)
	}
	secret, verifier, err := newKey("example.com/ledger")
	if err != nil {
		b.Fatal(err)
	}
	l := &Ledger{Options: Options{DB: db, Log: zap.NewNop(), Grown: func(int64, int) {}}, store: store{db}, verifier: verifier, cosign: wait.NewSignal()}
	if l.key, err = openKey(secret); err != nil {
		b.Fatal(err)
	}
	if l.full, err = lru.New[[2]int64, []byte](cachedTiles); err != nil {
		b.Fatal(err)
	}
	row := stateRow{ID: stateID, SealedKey: []byte("unused"), Verifier: verifier, Root: make([]byte, leafBytes)}
	if err := db.RunInTx(b.Context(), func(ctx context.Context, tx database.Tx) error { return l.store.create(ctx, tx, row) }); err != nil {
		b.Fatal(err)
	}
	return l, dir
}

// addEntries adds entries from one sequence on in one commit.
func (l *Ledger) addEntries(b *testing.B, state stateRow, n int) stateRow {
	b.Helper()
	batch := make([]received, n)
	for i := range batch {
		sequence := state.Sequence + int64(i) + 1
		batch[i] = received{id: fmt.Sprintf("%036d", sequence), sequence: sequence, leaf: sha256.Sum256(fmt.Append(nil, sequence))}
	}
	state, err := l.add(b.Context(), state, batch)
	if err != nil {
		b.Fatal(err)
	}
	return state
}

// p50 measures f some times.
func p50(b *testing.B, n int, f func(i int) error) float64 {
	b.Helper()
	took := make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		if err := f(i); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return float64(took[n/2].Microseconds())
}

// BenchmarkLedger fills a ledger on SQLite with WEFT_LEDGER_ENTRIES entries, and measures in that one: a commit of one entry, proofs, the verification
// of everything, and the size of the database.
func BenchmarkLedger(b *testing.B) {
	entries := benchEntries(b)
	for b.Loop() {
		l, dir := benchLedger(b)
		state, err := l.store.state(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		for state.Size < int64(entries) {
			state = l.addEntries(b, state, min(batchEntries, entries-int(state.Size)))
		}
		b.ReportMetric(float64(entries)/time.Since(began).Seconds(), "filled/s")
		b.ReportMetric(p50(b, 201, func(int) error { state = l.addEntries(b, state, 1); return nil }), "append_p50_µs")
		b.ReportMetric(p50(b, 201, func(i int) error {
			_, err := l.ProveEntry(b.Context(), fmt.Sprintf("%036d", 1+i*(entries/201)))
			return err
		}), "inclusion_p50_µs")
		b.ReportMetric(p50(b, 201, func(i int) error {
			_, _, err := l.ProveTree(b.Context(), int64(1+i*(entries/201)), 0)
			return err
		}), "consistency_p50_µs")
		began = time.Now()
		key, err := NewVerifier(l.verifier)
		if err != nil {
			b.Fatal(err)
		}
		v, err := Published{Key: key, Read: l.readPublished(b.Context())}.Verify()
		if err != nil || v.Tree.N != state.Size {
			b.Fatalf("%d entries verified: %v", v.Tree.N, err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "verify_s")
		var size int64
		files, err := filepath.Glob(filepath.Join(dir, "consent.db*"))
		if err != nil {
			b.Fatal(err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err == nil {
				size += info.Size()
			}
		}
		b.ReportMetric(float64(size)/float64(entries), "bytes/entry")
	}
	b.ReportMetric(0, "ns/op")
}

// readPublished is Published.Read of a ledger.
func (l *Ledger) readPublished(ctx context.Context) func(path string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		switch path {
		case "base":
			return nil, fs.ErrNotExist
		case "checkpoint":
			checkpoint, _, err := l.Checkpoint(ctx)
			return []byte(checkpoint), err
		}
		return l.Tile(ctx, strings.TrimPrefix(path, "tile/"))
	}
}
