package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

type identityRow struct {
	bun.BaseModel `bun:"table:identities"`

	ID           string `bun:",pk"`
	UserID       string
	Provider     string
	Issuer       string
	Subject      string
	Email        string
	Name         string
	Sealed       []byte
	Version      int64
	RefreshAt    int64
	ClaimedUntil int64
	Lost         bool
	CreatedAt    int64
	UsedAt       int64
}

func identityRowOf(i identity) identityRow {
	return identityRow{
		ID: i.ID, UserID: i.UserID, Provider: i.Provider, Issuer: i.Issuer, Subject: i.Subject, Email: i.Email, Name: i.Name,
		Sealed: i.Sealed, Version: i.Version, RefreshAt: stamp(i.RefreshAt), Lost: i.Lost, CreatedAt: stamp(i.CreatedAt), UsedAt: stamp(i.UsedAt),
	}
}

func (r identityRow) identity() identity {
	return identity{
		ID: r.ID, UserID: r.UserID, Provider: r.Provider, Issuer: r.Issuer, Subject: r.Subject, Email: r.Email, Name: r.Name,
		Sealed: r.Sealed, Version: r.Version, RefreshAt: unstamp(r.RefreshAt), Lost: r.Lost, CreatedAt: unstamp(r.CreatedAt), UsedAt: unstamp(r.UsedAt),
	}
}

// addIdentity adds an identity; false where its provider's account, or its user's place for the provider, is taken.
func addIdentity(ctx context.Context, tx bun.Tx, i identity) (bool, error) {
	row := identityRowOf(i)
	done, err := tx.NewInsert().Model(&row).On("CONFLICT DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("adding an identity: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// identityOf finds the identity of a provider's account; CodeNotFound where there is none.
func identityOf(ctx context.Context, db bun.IDB, issuer, subject string) (identity, error) {
	return selectIdentity(ctx, db, "issuer = ? AND subject = ?", issuer, subject)
}

// userIdentity finds a user's identity with a provider; CodeNotFound where there is none.
func userIdentity(ctx context.Context, db bun.IDB, userID, provider string) (identity, error) {
	return selectIdentity(ctx, db, "user_id = ? AND provider = ?", userID, provider)
}

func selectIdentity(ctx context.Context, db bun.IDB, where string, args ...any) (identity, error) {
	var row identityRow
	err := db.NewSelect().Model(&row).Where(where, args...).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return identity{}, subjects.Errorf(subjects.CodeNotFound, "no account of this provider is linked")
	}
	if err != nil {
		return identity{}, fmt.Errorf("reading an identity: %w", err)
	}
	return row.identity(), nil
}

// userIdentities lists at most so many of a user's identities, by provider, after the one named.
func userIdentities(ctx context.Context, db bun.IDB, userID, after string, most int) ([]identity, error) {
	var rows []identityRow
	err := db.NewSelect().Model(&rows).Where("user_id = ? AND provider > ?", userID, after).Order("provider").Limit(int64(most)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing identities: %w", err)
	}
	list := make([]identity, 0, len(rows))
	for _, row := range rows {
		list = append(list, row.identity())
	}
	return list, nil
}

// saveIdentity writes what a sign-in changes of an identity.
func saveIdentity(ctx context.Context, tx bun.Tx, i identity) error {
	row := identityRowOf(i)
	_, err := tx.NewUpdate().Model(&row).
		Column("email", "name", "sealed", "version", "refresh_at", "claimed_until", "lost", "used_at").WherePK().Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("saving an identity: %w", err)
	}
	return nil
}

func dropIdentity(ctx context.Context, tx bun.Tx, id string) error {
	if _, err := tx.NewDelete().Model((*identityRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("dropping an identity: %w", err)
	}
	return nil
}

// dropIdentities removes all of a user's identities.
func dropIdentities(ctx context.Context, tx bun.Tx, userID string) error {
	if _, err := tx.NewDelete().Model((*identityRow)(nil)).Where("user_id = ?", userID).Exec(ctx); err != nil {
		return fmt.Errorf("dropping identities: %w", err)
	}
	return nil
}

// identitiesDue lists identities with some providers whose tokens want to be refreshed, that nobody is at, and that were
// used since.
func identitiesDue(ctx context.Context, db bun.IDB, providers []string, now, since time.Time, most int) ([]identity, error) {
	var rows []identityRow
	err := db.NewSelect().Model(&rows).
		Where("provider IN (?)", bun.List(providers)).
		Where("refresh_at > 0 AND refresh_at <= ? AND claimed_until <= ? AND used_at >= ?", now.UnixMilli(), now.UnixMilli(), since.UnixMilli()).
		Order("refresh_at").Limit(int64(most)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing tokens to refresh: %w", err)
	}
	list := make([]identity, 0, len(rows))
	for _, row := range rows {
		list = append(list, row.identity())
	}
	return list, nil
}

// claimIdentity reserves the refresh of an identity's tokens; false where another copy has it, or they are others by now.
func claimIdentity(ctx context.Context, tx bun.Tx, i identity, now, until time.Time) (bool, error) {
	done, err := tx.NewUpdate().Model((*identityRow)(nil)).Set("claimed_until = ?", until.UnixMilli()).
		Where("id = ? AND version = ? AND claimed_until <= ?", i.ID, i.Version, now.UnixMilli()).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("claiming tokens: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// saveTokens writes refreshed tokens, or their loss; false where they are others by now.
func saveTokens(ctx context.Context, tx bun.Tx, i identity) (bool, error) {
	done, err := tx.NewUpdate().Model((*identityRow)(nil)).
		Set("sealed = ?, refresh_at = ?, lost = ?, version = version + 1, claimed_until = 0", i.Sealed, stamp(i.RefreshAt), i.Lost).
		Where("id = ? AND version = ?", i.ID, i.Version).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("saving tokens: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}
