package auth

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
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
		BackedUp: p.BackedUp, Suspended: p.Suspended, CreatedAt: toMicros(p.CreatedAt), UsedAt: toMicros(p.UsedAt),
	}
}

func (r passkeyRow) passkey() passkey {
	return passkey{
		ID: r.ID, UserID: r.UserID, CredentialID: r.CredentialID, PublicKey: r.PublicKey, Name: r.Name,
		Transports: strings.Fields(r.Transports), SignCount: uint32(r.SignCount), BackupEligible: r.BackupEligible,
		BackedUp: r.BackedUp, Suspended: r.Suspended, CreatedAt: fromMicros(r.CreatedAt), UsedAt: fromMicros(r.UsedAt),
	}
}

// addPasskey adds a passkey. It returns false if the credential is already registered to any user.
func addPasskey(ctx context.Context, tx bun.Tx, p passkey) (bool, error) {
	row := passkeyRowOf(p)
	done, err := tx.NewInsert().Model(&row).On("CONFLICT (credential_id) DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("adding a passkey: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

var errNoPasskey = subjects.Errorf(subjects.CodeNotFound, "there is no such passkey")

// passkeyOf returns one of a user's passkeys; errNoPasskey if there is none with that ID.
func passkeyOf(ctx context.Context, db bun.IDB, userID, id string) (passkey, error) {
	return selectPasskey(ctx, db, "user_id = ? AND id = ?", userID, id)
}

// passkeyByCredential returns the passkey of a credential, of any user; errNoPasskey if there is none.
func passkeyByCredential(ctx context.Context, db bun.IDB, credentialID []byte) (passkey, error) {
	return selectPasskey(ctx, db, "credential_id = ?", credentialID)
}

func selectPasskey(ctx context.Context, db bun.IDB, where string, args ...any) (passkey, error) {
	var row passkeyRow
	err := db.NewSelect().Model(&row).Where(where, args...).Scan(ctx)
	if err := database.OneRow(err, "reading a passkey", errNoPasskey); err != nil {
		return passkey{}, err
	}
	return row.passkey(), nil
}

// userPasskeys returns up to most passkeys of a user, the oldest first, with IDs greater than after.
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

// countPasskeys returns the number of a user's passkeys.
func countPasskeys(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	list, err := userPasskeys(ctx, db, userID, "", maxPasskeys)
	return int64(len(list)), err
}

// countActivePasskeys returns the number of a user's passkeys that are not suspended.
func countActivePasskeys(ctx context.Context, db bun.IDB, userID string) (int, error) {
	list, err := userPasskeys(ctx, db, userID, "", maxPasskeys)
	return credentialSet{passkeys: list}.activePasskeys(""), err
}

// usePasskey records a sign-in with its signature count, which must exceed all earlier ones, or be 0 like them. It
// returns false if it does not, or if the passkey is suspended or deleted.
func usePasskey(ctx context.Context, tx bun.Tx, id string, count uint32, backedUp bool, now time.Time) (bool, error) {
	done, err := tx.NewUpdate().Model((*passkeyRow)(nil)).
		Set("sign_count = ?, backed_up = ?, used_at = ?", int64(count), backedUp, now.UnixMicro()).
		Where("id = ? AND NOT suspended AND (sign_count < ? OR sign_count = 0 AND ? = 0)", id, int64(count), int64(count)).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("using a passkey: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// suspendPasskey suspends a passkey. It returns false if it was suspended already or deleted.
func suspendPasskey(ctx context.Context, tx bun.Tx, id string) (bool, error) {
	done, err := tx.NewUpdate().Model((*passkeyRow)(nil)).Set("suspended = ?", true).
		Where("id = ? AND NOT suspended", id).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("suspending a passkey: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

func deletePasskey(ctx context.Context, tx bun.Tx, id string) error {
	if _, err := tx.NewDelete().Model((*passkeyRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a passkey: %w", err)
	}
	return nil
}
