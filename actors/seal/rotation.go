package seal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/weftmesh/weft/actors/database"
)

// Sealed is a column whose values an actor's Sealer has made.
type Column struct {
	Table, Column string
	// Key are the columns of the table's primary key; With are further ones. All are texts.
	Key, With []string
	// Base64 says that values are texts.
	Base64 bool
	// Associated is what a value is sealed with, made of the values of Key and those of With.
	Associated func(values []string) []byte
}

// KeyRotation replaces the key that an actor's secrets are sealed with, beside a running weft on PostgreSQL or with it
// stopped on SQLite. It goes by what stands in the keyset file and in the database, so that it may be interrupted at any
// moment and run again:
//
//  1. a keyset of one key gets another one, which opens;
//  2. the newest key becomes the one that seals;
//  3. what other keys sealed is sealed again; once nothing is left that they sealed, they are taken out of the file.
//
// Processes that share the file follow it by themselves. Where copies of it lie on several machines, Step does one of the
// three a run, and the file is copied in between: then no machine meets a key that it does not have.
type Rotation struct {
	DB         *database.DB
	KeysetFile string
	// Sealed are all sealed columns of the database.
	Sealed []Column
	Step   bool
	// Settle is how long after a key became the one that seals another process may still write what an older one has
	// sealed: longer than any call takes. On SQLite there is no other process.
	Settle time.Duration
	Now    func() time.Time
	// Say tells the operator what is done.
	Say func(line string)
}

// rotationBatch is how many values are sealed again in one transaction.
const rotationBatch = 200

// Run rotates the key, or finishes a rotation that was interrupted. A value that its key does not open is an error, and
// keeps the old keys.
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

// step does what is next.
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
	if err := r.sealAgain(ctx, state, info.ModTime()); err != nil {
		return false, err
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
	return true, nil
}

// change writes the keyset with a change.
func (r Rotation) change(handle *keyset.Handle, how func(*keyset.Manager) (said string, err error)) error {
	manager := keyset.NewManagerFromHandle(handle)
	said, err := how(manager)
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
	r.Say(said)
	return nil
}

// sealAgain goes over every column until, once others can have nothing under way, it finds nothing that an old key sealed.
func (r Rotation) sealAgain(ctx context.Context, state keysetState, since time.Time) error {
	sealer, err := Open(r.KeysetFile)
	if err != nil {
		return err
	}
	for {
		settled := r.DB.Dialect() == database.DialectSQLite || r.Now().Sub(since) >= r.Settle
		left := 0
		for _, column := range r.Sealed {
			n, err := r.sealColumnAgain(ctx, sealer, state, column)
			if err != nil {
				return fmt.Errorf("sealing %s.%s again: %w", column.Table, column.Column, err)
			}
			left += n
		}
		if settled && left == 0 {
			return nil
		}
		if wait := r.Settle - r.Now().Sub(since); !settled && wait > 0 {
			r.Say(fmt.Sprintf("waiting %s for what other processes have begun", wait.Round(time.Second)))
			if err := waitFor(ctx, wait); err != nil {
				return err
			}
		}
	}
}

// sealColumnAgain goes over a column once and tells how many values it found that old keys sealed.
func (r Rotation) sealColumnAgain(ctx context.Context, sealer *Sealer, state keysetState, column Column) (found int, err error) {
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
				foreign++ // it does not open now either
				continue
			}
			again, err := sealRowAgain(sealer, column, row)
			if err != nil {
				return found, fmt.Errorf("row %v: %w", row.key(column), err)
			}
			changes = append(changes, sealedChange{key: row.key(column), from: row.sealed, to: again})
		}
		if err := changeSealed(ctx, r.DB, column, changes); err != nil {
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
		r.Say(fmt.Sprintf("%s.%s: %d are sealed with keys that are not in the file, and stay as they are", column.Table, column.Column, foreign))
	}
	return found, nil
}

func sealRowAgain(sealer *Sealer, column Column, row sealedRow) ([]byte, error) {
	associated := column.Associated(row.values)
	plain, err := sealer.Open(row.sealed, associated)
	if err != nil {
		return nil, err
	}
	return sealer.Seal(plain, associated)
}

// waitFor waits, or until ctx ends, whose error it returns.
func waitFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
