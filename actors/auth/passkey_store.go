package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

type passkeyRow struct {
	bun.BaseModel `bun:"table:passkeys"`

	ID             string `bun:",pk"`
	UserID         string
	CredentialID   []byte
	PublicKey      []byte
	Name           string
	Transports     string
	SignCount      int64
	BackupEligible bool
	BackedUp       bool
	Suspended      bool
	CreatedAt      int64
	UsedAt         int64
}

func passkeyRowOf(p passkey) passkeyRow {
	return passkeyRow{
		ID: p.ID, UserID: p.UserID, CredentialID: p.CredentialID, PublicKey: p.PublicKey, Name: p.Name,
		Transports: strings.Join(p.Transports, " "), SignCount: int64(p.SignCount), BackupEligible: p.BackupEligible,
		BackedUp: p.BackedUp, Suspended: p.Suspended, CreatedAt: stamp(p.CreatedAt), UsedAt: stamp(p.UsedAt),
	}
}

func (r passkeyRow) passkey() passkey {
	return passkey{
		ID: r.ID, UserID: r.UserID, CredentialID: r.CredentialID, PublicKey: r.PublicKey, Name: r.Name,
		Transports: strings.Fields(r.Transports), SignCount: uint32(r.SignCount), BackupEligible: r.BackupEligible,
		BackedUp: r.BackedUp, Suspended: r.Suspended, CreatedAt: unstamp(r.CreatedAt), UsedAt: unstamp(r.UsedAt),
	}
}

// addPasskey adds a passkey; false where its credential is registered already, to whomever.
func addPasskey(ctx context.Context, tx bun.Tx, p passkey) (bool, error) {
	row := passkeyRowOf(p)
	done, err := tx.NewInsert().Model(&row).On("CONFLICT (credential_id) DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("adding a passkey: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// passkeyOf finds one of a user's passkeys; CodeNotFound where there is none such.
func passkeyOf(ctx context.Context, db bun.IDB, userID, id string) (passkey, error) {
	return selectPasskey(ctx, db, "user_id = ? AND id = ?", userID, id)
}

// passkeyByCredential finds the passkey of a credential, whoever has it; CodeNotFound where there is none.
func passkeyByCredential(ctx context.Context, db bun.IDB, credentialID []byte) (passkey, error) {
	return selectPasskey(ctx, db, "credential_id = ?", credentialID)
}

func selectPasskey(ctx context.Context, db bun.IDB, where string, args ...any) (passkey, error) {
	var row passkeyRow
	err := db.NewSelect().Model(&row).Where(where, args...).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return passkey{}, subjects.Errorf(subjects.CodeNotFound, "there is no such passkey")
	}
	if err != nil {
		return passkey{}, fmt.Errorf("reading a passkey: %w", err)
	}
	return row.passkey(), nil
}

// userPasskeys lists at most so many of a user's passkeys, the oldest first, after the one named.
func userPasskeys(ctx context.Context, db bun.IDB, userID, after string, most int) ([]passkey, error) {
	var rows []passkeyRow
	err := db.NewSelect().Model(&rows).Where("user_id = ? AND id > ?", userID, after).Order("id").Limit(int64(most)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing passkeys: %w", err)
	}
	list := make([]passkey, 0, len(rows))
	for _, row := range rows {
		list = append(list, row.passkey())
	}
	return list, nil
}

// waysIn are a user's ways to sign in, beside a password.
type waysIn struct {
	passkeys   []passkey
	identities []identity
}

func userWaysIn(ctx context.Context, db bun.IDB, userID string) (waysIn, error) {
	var all waysIn
	var err error
	if all.passkeys, err = userPasskeys(ctx, db, userID, "", maxPasskeys); err != nil {
		return all, err
	}
	all.identities, err = userIdentities(ctx, db, userID, "", maxIdentities)
	return all, err
}

// usePasskey takes note of a sign-in by its signature count, which must be higher than every one before, or 0 as
// they all were; false where it is not, or the passkey is suspended or gone.
func usePasskey(ctx context.Context, tx bun.Tx, id string, count uint32, backedUp bool, now time.Time) (bool, error) {
	done, err := tx.NewUpdate().Model((*passkeyRow)(nil)).
		Set("sign_count = ?, backed_up = ?, used_at = ?", int64(count), backedUp, now.UnixMilli()).
		Where("id = ? AND NOT suspended AND (sign_count < ? OR sign_count = 0 AND ? = 0)", id, int64(count), int64(count)).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("using a passkey: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// suspendPasskey has a passkey sign in no more; false where it was suspended already, or is gone.
func suspendPasskey(ctx context.Context, tx bun.Tx, id string) (bool, error) {
	done, err := tx.NewUpdate().Model((*passkeyRow)(nil)).Set("suspended = ?", true).
		Where("id = ? AND NOT suspended", id).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("suspending a passkey: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

func dropPasskey(ctx context.Context, tx bun.Tx, id string) error {
	if _, err := tx.NewDelete().Model((*passkeyRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("dropping a passkey: %w", err)
	}
	return nil
}
