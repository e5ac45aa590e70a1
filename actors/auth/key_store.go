package auth

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/seal"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors"
)

type signingKeyRow struct {
	bun.BaseModel `bun:"table:signing_keys"`

	KeyID     string `bun:"kid,pk"`
	Slot      *string
	Public    []byte
	Sealed    []byte
	CreatedAt int64
	CurrentAt int64
	RetiredAt int64
}

func (r signingKeyRow) state() string {
	if r.Slot == nil {
		return keyRetired
	}
	return *r.Slot
}

// signingKeys returns the keys, the oldest first.
func signingKeys(ctx context.Context, db bun.IDB) ([]signingKeyRow, error) {
	var rows []signingKeyRow
	err := db.NewSelect().Model(&rows).Order("created_at", "kid").Scan(ctx)
	return rows, err
}

// addSigningKey adds a key unless its slot is taken.
func addSigningKey(ctx context.Context, tx bun.Tx, row *signingKeyRow) error {
	_, err := tx.NewInsert().Model(row).On("CONFLICT DO NOTHING").Returning("NULL").Exec(ctx)
	return err
}

// deleteRetiredKeys deletes the keys that were retired before a time.
func deleteRetiredKeys(ctx context.Context, tx bun.Tx, before int64) error {
	_, err := tx.NewDelete().Model((*signingKeyRow)(nil)).
		Where("slot IS NULL AND retired_at < ?", before).Exec(ctx)
	return err
}

// rotateSigningKeys retires the key current and makes the next key current. It does nothing if another key is current.
func rotateSigningKeys(ctx context.Context, tx bun.Tx, current string, now int64) error {
	done, err := tx.NewUpdate().Model((*signingKeyRow)(nil)).Set("slot = NULL, retired_at = ?", now).
		Where("kid = ? AND slot = ?", current, keyCurrent).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return err
	}
	_, err = tx.NewUpdate().Model((*signingKeyRow)(nil)).Set("slot = ?, current_at = ?", keyCurrent, now).
		Where("slot = ?", keyNext).Exec(ctx)
	return err
}

type secretRow struct {
	bun.BaseModel `bun:"table:secrets"`

	Name   string `bun:",pk"`
	Sealed []byte
}

// Names of the actor's own secrets.
const (
	secretPepper  = "pepper"
	secretRefresh = "refresh_token_mac"
	secretIndex   = "index_mac"
	secretDevice  = "device_mac"
)

// secrets are the random keys that the actor creates at its first start.
type secrets struct {
	pepper  []byte // below password hashes, unless Config.Pepper is set
	refresh []byte // MACs refresh tokens
	index   []byte // hashes the keys of limiters
	device  []byte // MACs device tokens
}

// loadSecrets reads the actor's secrets, creating those that are missing.
func loadSecrets(ctx context.Context, deps actors.Deps) (secrets, error) {
	var own secrets
	for name, into := range map[string]*[]byte{
		secretPepper: &own.pepper, secretRefresh: &own.refresh, secretIndex: &own.index, secretDevice: &own.device,
	} {
		secret, err := loadSecret(ctx, deps.DB, deps.Sealer, name)
		if err != nil {
			return own, err
		}
		*into = secret
	}
	return own, nil
}

// secretContext is the associated data of a sealed secret; it names the row.
func secretContext(name string) []byte { return []byte("secrets/" + name) }

// loadSecret returns the secret of that name: 256 random bits, created at first use and shared by every copy of the
// actor.
func loadSecret(ctx context.Context, db *database.DB, sealer *seal.Sealer, name string) ([]byte, error) {
	fresh := make([]byte, 32)
	if _, err := rand.Read(fresh); err != nil {
		return nil, fmt.Errorf("creating secret %s: %w", name, err)
	}
	sealed, err := sealer.Seal(fresh, secretContext(name))
	if err != nil {
		return nil, err
	}
	row := secretRow{Name: name, Sealed: sealed}
	err = db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(&row).On("CONFLICT DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		return tx.NewSelect().Model(&row).WherePK().Scan(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("reading secret %s: %w", name, err)
	}
	plain, err := sealer.Open(row.Sealed, secretContext(name))
	if err != nil {
		return nil, fmt.Errorf("reading secret %s (was it sealed with another keyset?): %w", name, err)
	}
	return plain, nil
}
