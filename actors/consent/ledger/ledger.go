package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Options are what a Ledger needs.
type Options struct {
	DB     *database.DB
	Sealer *seal.Sealer
	JS     *mesh.JetStream
	Log    *zap.Logger
	// Origin is the log's name (C2SP tlog-checkpoint, Note text) from its first start on. A later change has no effect: it would be
	// another log.
	Origin string
	// Witnesses cosign each checkpoint. One is served once Quorum of them have; 0 serves it at once.
	Witnesses []Witness
	Quorum    int
	// Client sends requests to witnesses.
	Client *egress.Client
	// Now is the clock.
	Now func() time.Time
	// Missing is called with the number of entries that the stream has lost.
	Missing func(entries int64)
	// Grown is called with the size of the tree after it has grown, and with the number of entries added.
	Grown func(size int64, added int)
}

// Ledger is the transparency log. It is safe for concurrent use.
type Ledger struct {
	Options
	store store
	// key is the zero value where the keyset that sealed it was lost. The tree grows all the same, and no checkpoint is signed.
	key      Key
	verifier string
	// full are full tiles, which never change.
	full *lru.Cache[[2]int64, []byte]
	// cosign has the witnesses asked.
	cosign wait.Signal
}

// keyContext binds the sealed key to the ledger.
var keyContext = []byte("ledger_state")

// cachedTiles bounds the full tiles in memory: 8 KiB each.
const cachedTiles = 1024

// Open opens the ledger of a migrated database, and creates its key and its empty tree at the first start.
func Open(ctx context.Context, o Options) (*Ledger, error) {
	l := &Ledger{Options: o, store: store{o.DB}, cosign: wait.NewSignal()}
	var err error
	if l.full, err = lru.New[[2]int64, []byte](cachedTiles); err != nil {
		return nil, fmt.Errorf("making a cache of tiles: %w", err)
	}
	row, err := l.store.state(ctx)
	if errors.Is(err, errNoState) {
		if err := l.create(ctx); err != nil {
			return nil, err
		}
		row, err = l.store.state(ctx) // another process may have created it
	}
	if err != nil {
		return nil, err
	}
	l.verifier = row.Verifier
	secret, err := o.Sealer.Open(row.SealedKey, keyContext)
	if err != nil {
		l.Log.Error("the ledger's key cannot be decrypted; no checkpoint is signed until its keyset is restored", zap.Error(err))
		return l, nil
	}
	l.key, err = openKey(string(secret))
	return l, err
}

// create creates the key, and the empty tree with its checkpoint.
func (l *Ledger) create(ctx context.Context) error {
	secret, verifier, err := newKey(l.Origin)
	if err != nil {
		return err
	}
	key, err := openKey(secret)
	if err != nil {
		return err
	}
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		return fmt.Errorf("computing the empty root: %w", err)
	}
	checkpoint, err := key.sign(tlog.Tree{Hash: root})
	if err != nil {
		return err
	}
	row := stateRow{ID: stateID, Verifier: verifier, Root: root[:], Checkpoint: string(checkpoint)}
	if row.SealedKey, err = l.Sealer.Seal([]byte(secret), keyContext); err != nil {
		return fmt.Errorf("sealing the ledger's key: %w", err)
	}
	return l.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return l.store.create(ctx, tx, row) })
}

// Sealed is the column that key rotation re-encrypts.
var Sealed = seal.Column{
	Table: "ledger_state", Column: "sealed_key", Key: []string{"id"}, Associated: func([]string) []byte { return keyContext },
}

// Verifier is the log's verifier key (C2SP signed-note, Verifier keys).
func (l *Ledger) Verifier() string { return l.verifier }

// Checkpoint returns the latest checkpoint that is served, and the size of its tree.
func (l *Ledger) Checkpoint(ctx context.Context) (checkpoint string, size int64, err error) {
	row, err := l.store.state(ctx)
	return row.Checkpoint, row.CheckpointSize, err
}

var errNoResource = subjects.Errorf(subjects.CodeNotFound, "the ledger has no such tile")

// Tile returns the tile or the entry bundle at a path below `tile/` (C2SP tlog-tiles). Those of trees that have no served checkpoint yet
// are not served.
func (l *Ledger) Tile(ctx context.Context, path string) ([]byte, error) {
	r, valid := parsePath(path)
	if !valid {
		return nil, errNoResource
	}
	_, size, err := l.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	if r.n > (size>>(tileHeight*max(0, r.level)))/tileWidth {
		return nil, errNoResource
	}
	hashes := size>>(tileHeight*max(0, r.level)) - r.n*tileWidth
	if hashes < int64(r.width) {
		return nil, errNoResource
	}
	data, err := l.tile(ctx, r.level, r.n)
	if err != nil {
		return nil, err
	}
	if len(data) < r.width*unit(r.level) {
		return nil, errNoResource
	}
	return data[:r.width*unit(r.level)], nil
}

// tile reads a tile. A full one is cached.
func (l *Ledger) tile(ctx context.Context, level int, n int64) ([]byte, error) {
	key := [2]int64{int64(level), n}
	if data, found := l.full.Get(key); found {
		return data, nil
	}
	data, err := l.store.tile(ctx, level, n)
	if err == nil && len(data) == tileWidth*unit(level) {
		l.full.Add(key, data)
	}
	return data, err
}

// tiles reads each tile once.
func (l *Ledger) tiles(ctx context.Context) tileReader {
	read := map[[2]int64][]byte{}
	return func(level int, n int64) (data []byte, err error) {
		key := [2]int64{int64(level), n}
		if data, found := read[key]; found {
			return data, nil
		}
		if data, err = l.tile(ctx, level, n); err == nil {
			read[key] = data
		}
		return data, err
	}
}
