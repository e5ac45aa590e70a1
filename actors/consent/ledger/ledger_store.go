package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// store holds the ledger's queries. A read joins the transaction of its context, where there is one; a write names its transaction.
type store struct{ db *database.DB }

// stateID is the id of the only row of ledger_state.
const stateID = 1

type stateRow struct {
	bun.BaseModel `bun:"table:ledger_state"`

	ID             int    `bun:"id,pk"`
	SealedKey      []byte `bun:"sealed_key"`
	Verifier       string `bun:"verifier"`
	Size           int64  `bun:"size"`
	Root           []byte `bun:"root"`
	Sequence       int64  `bun:"sequence"`
	Checkpoint     string `bun:"checkpoint"`
	CheckpointSize int64  `bun:"checkpoint_size"`
	// Base is the first entry that the log has still, BaseCheckpoint the signed tree of the entries before it.
	Base           int64  `bun:"base"`
	BaseCheckpoint string `bun:"base_checkpoint"`
}

// tree is the tree of the state.
func (s stateRow) tree() (t tlog.Tree) {
	t.N = s.Size
	copy(t.Hash[:], s.Root)
	return t
}

type tileRow struct {
	bun.BaseModel `bun:"table:ledger_tiles"`

	Level int    `bun:"level,pk"`
	N     int64  `bun:"n,pk"`
	Data  []byte `bun:"data"`
}

type leafRow struct {
	bun.BaseModel `bun:"table:ledger_leaves"`

	EntryID  string `bun:"entry_id,pk"`
	Leaf     int64  `bun:"leaf"`
	Sequence int64  `bun:"sequence"`
}

type witnessRow struct {
	bun.BaseModel `bun:"table:ledger_witnesses"`

	Name string `bun:"name,pk"`
	Size int64  `bun:"size"`
}

var errNoState = errors.New("the ledger has no state yet")

func (s store) state(ctx context.Context) (stateRow, error) {
	var row stateRow
	err := s.db.NewSelect().Model(&row).Where("id = ?", stateID).Scan(ctx)
	return row, database.OneRow(err, "reading the ledger's state", errNoState)
}

// create inserts the state unless there is one.
func (store) create(ctx context.Context, tx bun.Tx, row stateRow) error {
	if _, err := tx.NewInsert().Model(&row).On("CONFLICT (id) DO NOTHING").Exec(ctx); err != nil {
		return fmt.Errorf("creating the ledger's state: %w", err)
	}
	return nil
}

// errFenced is the error where another sequencer has extended the tree.
var errFenced = errors.New("another process has extended the ledger")

// commit replaces the tree, if it is still the old one, and the checkpoint that is served where publish is set.
func (store) commit(ctx context.Context, tx bun.Tx, old, row stateRow, publish bool) error {
	columns := []string{"size", "root", "sequence"}
	if publish {
		columns = append(columns, "checkpoint", "checkpoint_size")
	}
	result, err := tx.NewUpdate().Model(&row).Column(columns...).
		Where("id = ?", stateID).Where("size = ?", old.Size).Where("sequence = ?", old.Sequence).Exec(ctx)
	if err != nil {
		return fmt.Errorf("writing the ledger's state: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return errFenced
}

// publish replaces the checkpoint that is served, unless it is of a larger tree.
func (store) publish(ctx context.Context, tx bun.Tx, checkpoint string, size int64) error {
	_, err := tx.NewUpdate().Model((*stateRow)(nil)).Set("checkpoint = ?", checkpoint).Set("checkpoint_size = ?", size).
		Where("id = ?", stateID).Where("checkpoint_size <= ?", size).Exec(ctx)
	if err != nil {
		return fmt.Errorf("publishing a checkpoint: %w", err)
	}
	return nil
}

// tile returns the data of a tile; nil if it is not stored.
func (s store) tile(ctx context.Context, level int, n int64) ([]byte, error) {
	var data []byte
	err := s.db.NewSelect().Model((*tileRow)(nil)).Column("data").Where("level = ?", level).Where("n = ?", n).Scan(ctx, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a tile: %w", err)
	}
	return data, nil
}

func (store) putTiles(ctx context.Context, tx bun.Tx, tiles []tile) error {
	rows := make([]tileRow, len(tiles))
	for i, t := range tiles {
		rows[i] = tileRow{Level: t.level, N: t.n, Data: t.data}
	}
	_, err := tx.NewInsert().Model(&rows).On("CONFLICT (level, n) DO UPDATE").Set("data = EXCLUDED.data").Exec(ctx)
	if err != nil {
		return fmt.Errorf("writing tiles: %w", err)
	}
	return nil
}

// known returns which of some entries have a leaf.
func (s store) known(ctx context.Context, ids []string) (map[string]bool, error) {
	if len(ids) == 0 {
		return map[string]bool{}, nil
	}
	var found []string
	err := s.db.NewSelect().Model((*leafRow)(nil)).Column("entry_id").Where("entry_id IN (?)", bun.List(ids)).Scan(ctx, &found)
	if err != nil {
		return nil, fmt.Errorf("looking entries up: %w", err)
	}
	known := make(map[string]bool, len(found))
	for _, id := range found {
		known[id] = true
	}
	return known, nil
}

func (store) addLeaves(ctx context.Context, tx bun.Tx, rows []leafRow) error {
	if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
		return fmt.Errorf("writing leaves: %w", err)
	}
	return nil
}

// errNoEntry is the error for an entry that is not, or not yet, in the ledger.
var errNoEntry = subjects.Errorf(subjects.CodeNotFound, "the ledger has no such entry")

// leaf returns the leaf of an entry, or errNoEntry.
func (s store) leaf(ctx context.Context, entryID string) (leafRow, error) {
	var row leafRow
	err := s.db.NewSelect().Model(&row).Where("entry_id = ?", entryID).Scan(ctx)
	return row, database.OneRow(err, "looking an entry up", errNoEntry)
}

// leaves returns leaves in their order, beginning with one.
func (s store) leaves(ctx context.Context, from int64, limit int) ([]leafRow, error) {
	var rows []leafRow
	err := s.db.NewSelect().Model(&rows).Where("leaf >= ?", from).Order("leaf").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing leaves: %w", err)
	}
	return rows, nil
}

// leavesOutside counts the leaves whose sequences are not between two.
func (s store) leavesOutside(ctx context.Context, first, last int64) (int64, error) {
	before, err := s.db.NewSelect().Model((*leafRow)(nil)).Where("sequence < ?", first).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting leaves: %w", err)
	}
	after, err := s.db.NewSelect().Model((*leafRow)(nil)).Where("sequence > ?", last).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting leaves: %w", err)
	}
	return before + after, nil
}

// cosignedSize returns the size of the tree that a witness has cosigned last; 0 if none.
func (s store) cosignedSize(ctx context.Context, name string) (int64, error) {
	var row witnessRow
	err := s.db.NewSelect().Model(&row).Where("name = ?", name).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading a witness: %w", err)
	}
	return row.Size, nil
}

func (store) setCosignedSize(ctx context.Context, tx bun.Tx, name string, size int64) error {
	_, err := tx.NewInsert().Model(&witnessRow{Name: name, Size: size}).On("CONFLICT (name) DO UPDATE").Set("size = EXCLUDED.size").Exec(ctx)
	if err != nil {
		return fmt.Errorf("writing a witness: %w", err)
	}
	return nil
}
