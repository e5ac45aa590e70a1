package seal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
)

// Column is a column of sealed values.
type Column struct {
	Table, Column string
	// Key has the columns of the primary key, With further columns of the associated data. All are text columns.
	Key, With []string
	// Base64 means that the values are stored in base64, in a text column.
	Base64 bool
	// Associated returns the associated data of a row, from the values of Key followed by those of With.
	Associated func(values []string) []byte
}

// Rotation replaces the key that seals an actor's secrets. On PostgreSQL weft may be running, on SQLite it must be stopped. Each
// step is derived from the keyset file and the database, so a rotation can be interrupted at any time and run again:
//
//  1. A keyset with one key gets a second one. It opens values but does not seal yet.
//  2. The newest key becomes the primary key, which seals.
//  3. Values sealed with older keys are sealed again. When there are none left, the older keys are deleted from the file.
//
// Processes that share the file pick up its changes by themselves. If several machines have copies of the file, Step limits a run to
// one step, and the operator copies the file after each run. So no machine has to open a value of a key that it does not have. On
// PostgreSQL the run after step 2 then only records that the file has been copied: until then other machines may have sealed with
// the previous key, so Settle counts from that record, not from the change of the local file.
type Rotation struct {
	DB         *database.DB
	KeysetFile string
	// Sealed has all sealed columns of the database.
	Sealed []Column
	// Step limits Run to one step.
	Step bool
	// Settle is how long other processes may still write values sealed with the previous key after step 2: longer than any call
	// takes. It is not used on SQLite, which has no other process.
	Settle time.Duration
	Now    func() time.Time
	// Say reports progress to the operator.
	Say func(line string)
}

// rotationBatch bounds the values that are read, and sealed again in one transaction.
const rotationBatch = 200

// Run rotates the key or finishes an interrupted rotation. If a value cannot be opened with its key, Run fails and the old keys are
// kept.
func (r Rotation) Run(ctx context.Context) error {
	release, err := database.LockFile(r.KeysetFile + ".lock")
	if errors.Is(err, database.ErrInUse) {
		return fmt.Errorf("rotating keys: another rotation of %s is running", r.KeysetFile)
	}
	if err != nil {
		return fmt.Errorf("rotating keys: %w", err)
	}
	defer func() { _ = release() }()
	for {
		done, err := r.step(ctx)
		if err != nil {
			return fmt.Errorf("rotating keys: %w", err)
		}
		if done || r.Step {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("rotating keys: %w", context.Cause(ctx))
		}
	}
}

// step runs the next step. done reports that it was the last.
func (r Rotation) step(ctx context.Context) (done bool, err error) {
	handle, info, err := readKeyset(r.KeysetFile)
	if err != nil {
		return false, err
	}
	state, err := stateOf(handle)
	if err != nil {
		return false, err
	}
	switch {
	case len(state.ids) == 1:
		return false, r.change(handle, func(m *keyset.Manager) (string, error) {
			id, err := m.Add(aead.AES256GCMKeyTemplate())
			return fmt.Sprintf("key %d is added", id), err
		})
	case state.primary != state.newest():
		return false, r.change(handle, func(m *keyset.Manager) (string, error) {
			return fmt.Sprintf("key %d seals from now on", state.newest()), m.SetPrimary(state.newest())
		})
	}
	since := info.ModTime()
	if r.Step && r.Settle > 0 && r.DB.Dialect() == database.DialectPostgres {
		var recorded bool
		if since, recorded, err = r.copied(state.primary); err != nil {
			return false, err
		}
		if !recorded {
			r.Say(fmt.Sprintf("key %d is taken to seal on every machine from now on: run this again, the old key is retired in %s at the earliest",
				state.primary, r.Settle))
			return false, nil
		}
	}
	if err := r.resealAll(ctx, state, since); err != nil {
		return false, err
	}
	if r.DB.Dialect() == database.DialectPostgres { // processes may have rows in memory as they were before
		if err := wait.Until(ctx, nil, min(r.Settle, database.MaxCacheAge)); err != nil {
			return false, err
		}
	}
	for _, id := range state.ids[:len(state.ids)-1] {
		if handle, _, err = readKeyset(r.KeysetFile); err != nil {
			return false, err
		}
		err := r.change(handle, func(m *keyset.Manager) (string, error) {
			return fmt.Sprintf("key %d is retired: nothing is sealed with it", id), m.Delete(id)
		})
		if err != nil {
			return false, err
		}
	}
	if err := os.Remove(r.copiedFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("removing the record of the copied file: %w", err)
	}
	return true, nil
}

func (r Rotation) copiedFile() string { return r.KeysetFile + ".copied" }

// copied returns when the operator had copied the keyset file whose primary key has the given id. If there is no record of it,
// copied records the present time and returns false.
func (r Rotation) copied(primary uint32) (at time.Time, recorded bool, err error) {
	text, err := os.ReadFile(r.copiedFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return at, false, fmt.Errorf("reading the record of the copied file: %w", err)
	}
	var of uint32
	var seconds int64
	if n, _ := fmt.Sscanf(string(text), "%d %d", &of, &seconds); n == 2 && of == primary {
		return time.Unix(seconds, 0), true, nil
	}
	at = r.Now()
	if err := os.WriteFile(r.copiedFile(), fmt.Appendf(nil, "%d %d\n", primary, at.Unix()), 0o600); err != nil {
		return at, false, fmt.Errorf("recording that the file was copied: %w", err)
	}
	return at, false, nil
}

// change applies an edit to the keyset, writes the file and reports the edit's description.
func (r Rotation) change(handle *keyset.Handle, edit func(*keyset.Manager) (description string, err error)) error {
	manager := keyset.NewManagerFromHandle(handle)
	description, err := edit(manager)
	if err != nil {
		return err
	}
	changed, err := manager.Handle()
	if err != nil {
		return err
	}
	if err := replaceKeyset(r.KeysetFile, changed); err != nil {
		return err
	}
	r.Say(description)
	return nil
}

// resealAll repeats the pass over all columns until one that started after Settle finds no value of an old key. since is when the
// current key became primary.
func (r Rotation) resealAll(ctx context.Context, state keysetState, since time.Time) error {
	sealer, err := Open(r.KeysetFile)
	if err != nil {
		return err
	}
	for {
		settled := r.DB.Dialect() == database.DialectSQLite || r.Now().Sub(since) >= r.Settle
		left := 0
		for _, column := range r.Sealed {
			n, err := r.resealColumn(ctx, sealer, state, column)
			if err != nil {
				return fmt.Errorf("sealing %s.%s again: %w", column.Table, column.Column, err)
			}
			left += n
		}
		if settled && left == 0 {
			return nil
		}
		if rest := r.Settle - r.Now().Sub(since); !settled && rest > 0 {
			r.Say(fmt.Sprintf("waiting %s for pending writes of other processes", rest.Round(time.Second)))
			if err := wait.Sleep(ctx, rest); err != nil {
				return err
			}
		}
	}
}

// resealColumn makes one pass over a column and returns the number of values that old keys had sealed.
func (r Rotation) resealColumn(ctx context.Context, sealer *Sealer, state keysetState, column Column) (found int, err error) {
	known := map[uint32]bool{}
	for _, id := range state.ids {
		known[id] = true
	}
	seen, foreign, after := 0, 0, make([]string, len(column.Key))
	for {
		rows, err := sealedRows(ctx, r.DB, column, after, rotationBatch)
		if err != nil {
			return found, err
		}
		var changes []sealedChange
		for _, row := range rows {
			id, ok := sealedWith(row.sealed)
			if ok && id == state.primary {
				continue
			}
			if !ok || !known[id] {
				foreign++ // the sealer cannot open it
				continue
			}
			resealed, err := reseal(sealer, column, row)
			if err != nil {
				return found, fmt.Errorf("row %v: %w", row.key(column), err)
			}
			changes = append(changes, sealedChange{key: row.key(column), from: row.sealed, to: resealed})
		}
		if err := updateSealed(ctx, r.DB, column, changes); err != nil {
			return found, err
		}
		seen, found = seen+len(rows), found+len(changes)
		if len(changes) > 0 {
			r.Say(fmt.Sprintf("%s.%s: %d seen, %d sealed again", column.Table, column.Column, seen, found))
		}
		if len(rows) < rotationBatch {
			break
		}
		after = rows[len(rows)-1].key(column)
	}
	if foreign > 0 {
		r.Say(fmt.Sprintf("%s.%s: %d are sealed with keys that are not in the file and were left unchanged", column.Table, column.Column, foreign))
	}
	return found, nil
}

// reseal opens a row's value and seals it with the primary key.
func reseal(sealer *Sealer, column Column, row sealedRow) ([]byte, error) {
	associated := column.Associated(row.values)
	plain, err := sealer.Open(row.sealed, associated)
	if err != nil {
		return nil, err
	}
	return sealer.Seal(plain, associated)
}
