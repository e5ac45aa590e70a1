package auth

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/seal"
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

// signingKeys lists the keys, the oldest first.
func signingKeys(ctx context.Context, db bun.IDB) ([]signingKeyRow, error) {
	var rows []signingKeyRow
	err := db.NewSelect().Model(&rows).Order("created_at", "kid").Scan(ctx)
	return rows, err
}

// addSigningKey adds a key unless its slot has one.
func addSigningKey(ctx context.Context, tx bun.Tx, row *signingKeyRow) error {
	_, err := tx.NewInsert().Model(row).On("CONFLICT DO NOTHING").Returning("NULL").Exec(ctx)
	return err
}

// dropSigningKeys removes the keys that were retired before a moment.
func dropSigningKeys(ctx context.Context, tx bun.Tx, before int64) error {
	_, err := tx.NewDelete().Model((*signingKeyRow)(nil)).
		Where("slot IS NULL AND retired_at < ?", before).Exec(ctx)
	return err
}

// rotateSigningKeys retires current and moves the next key up; nothing where current is current no more.
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

// The actor's own random keys.
const (
	secretPepper  = "pepper"
	secretRefresh = "refresh_token_mac"
	secretIndex   = "index_mac"
	secretDevice  = "device_mac"
)

// secretContext binds what is sealed to its row.
func secretContext(name string) []byte { return []byte("secrets/" + name) }

// ownSecret returns a random key of 256 bits by name, made at first use and the same for every copy.
func ownSecret(ctx context.Context, db *database.DB, sealer *seal.Sealer, name string) ([]byte, error) {
	fresh := make([]byte, 32)
	if _, err := rand.Read(fresh); err != nil {
		return nil, fmt.Errorf("making secret %s: %w", name, err)
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
		return nil, fmt.Errorf("reading secret %s (is it another keyset than the one it was sealed with?): %w", name, err)
	}
	return plain, nil
}
