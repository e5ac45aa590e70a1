package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// VerifyDatabase verifies the log that a migrated database of the consent actor has, such as a copy in a backup: with the key that the database names, and
// without the stream. It returns the verified log and the sequence of the stream up to which the tree has grown. A log that was never opened is empty.
func VerifyDatabase(ctx context.Context, db *database.DB) (v Verified, sequence uint64, err error) {
	l := &Ledger{store: store{db}}
	if l.full, err = lru.New[[2]int64, []byte](cachedTiles); err != nil {
		return v, 0, fmt.Errorf("making a cache of tiles: %w", err)
	}
	row, err := l.store.state(ctx)
	if errors.Is(err, errNoState) {
		return v, 0, nil
	}
	if err != nil {
		return v, 0, err
	}
	key, err := NewVerifier(row.Verifier)
	if err != nil {
		return v, 0, err
	}
	v, err = Published{Key: key, Read: func(path string) ([]byte, error) { return l.resource(ctx, row, path) }}.Verify()
	return v, uint64(row.Sequence), err
}

// resource returns what the log serves at a path. The error is fs.ErrNotExist for what it does not have.
func (l *Ledger) resource(ctx context.Context, row stateRow, path string) ([]byte, error) {
	switch {
	case path == "checkpoint":
		return []byte(row.Checkpoint), nil
	case path == "base" && row.Base > 0:
		return []byte(row.BaseCheckpoint), nil
	case !strings.HasPrefix(path, "tile/"):
		return nil, fs.ErrNotExist
	}
	data, err := l.Tile(ctx, strings.TrimPrefix(path, "tile/"))
	if failure := new(subjects.Error); errors.As(err, &failure) && failure.Code == subjects.CodeNotFound {
		return nil, fs.ErrNotExist
	}
	return data, err
}
