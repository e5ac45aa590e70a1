package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
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
	NeedsReauth  bool
	CreatedAt    int64
	UsedAt       int64
}

func identityRowOf(i identity) identityRow {
	return identityRow{
		ID: i.ID, UserID: i.UserID, Provider: i.Provider, Issuer: i.Issuer, Subject: i.Subject, Email: i.Email, Name: i.Name,
		Sealed: i.Sealed, Version: i.Version, RefreshAt: toMicros(i.RefreshAt), NeedsReauth: i.NeedsReauth,
		CreatedAt: toMicros(i.CreatedAt), UsedAt: toMicros(i.UsedAt),
	}
}

func (r identityRow) identity() identity {
	return identity{
		ID: r.ID, UserID: r.UserID, Provider: r.Provider, Issuer: r.Issuer, Subject: r.Subject, Email: r.Email, Name: r.Name,
		Sealed: r.Sealed, Version: r.Version, RefreshAt: fromMicros(r.RefreshAt), NeedsReauth: r.NeedsReauth,
		CreatedAt: fromMicros(r.CreatedAt), UsedAt: fromMicros(r.UsedAt),
	}
}

// addIdentity adds an identity. It returns false if the provider's account is linked already, or if the user has
// another account of that provider.
func addIdentity(ctx context.Context, tx bun.Tx, i identity) (bool, error) {
	row := identityRowOf(i)
	done, err := tx.NewInsert().Model(&row).On("CONFLICT DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("adding an identity: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

var errNoIdentity = subjects.Errorf(subjects.CodeNotFound, "no account of this provider is linked")

// identityOf returns the identity with the issuer and subject; errNoIdentity if there is none.
func identityOf(ctx context.Context, db bun.IDB, issuer, subject string) (identity, error) {
	return selectIdentity(ctx, db, "issuer = ? AND subject = ?", issuer, subject)
}

// userIdentity returns a user's identity with a provider; errNoIdentity if there is none.
func userIdentity(ctx context.Context, db bun.IDB, userID, provider string) (identity, error) {
	return selectIdentity(ctx, db, "user_id = ? AND provider = ?", userID, provider)
}

func selectIdentity(ctx context.Context, db bun.IDB, where string, args ...any) (identity, error) {
	var row identityRow
	err := db.NewSelect().Model(&row).Where(where, args...).Scan(ctx)
	if err := database.OneRow(err, "reading an identity", errNoIdentity); err != nil {
		return identity{}, err
	}
	return row.identity(), nil
}

// userIdentities returns up to most identities of a user, by provider, after the provider with the ID after.
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

// saveIdentity writes the columns of an identity that a sign-in changes.
func saveIdentity(ctx context.Context, tx bun.Tx, i identity) error {
	row := identityRowOf(i)
	_, err := tx.NewUpdate().Model(&row).
		Column("email", "name", "sealed", "version", "refresh_at", "claimed_until", "needs_reauth", "used_at").WherePK().Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("saving an identity: %w", err)
	}
	return nil
}

func deleteIdentity(ctx context.Context, tx bun.Tx, id string) error {
	if _, err := tx.NewDelete().Model((*identityRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("deleting an identity: %w", err)
	}
	return nil
}

// dueIdentities returns up to most identities with the given providers whose tokens are due for a refresh, that are
// not leased, and that were used after since.
func dueIdentities(ctx context.Context, db bun.IDB, providers []string, now, since time.Time, most int) ([]identity, error) {
	var rows []identityRow
	err := db.NewSelect().Model(&rows).
		Where("provider IN (?)", bun.List(providers)).
		Where("refresh_at > 0 AND refresh_at <= ? AND claimed_until <= ? AND used_at >= ?", now.UnixMicro(), now.UnixMicro(), since.UnixMicro()).
		Where("user_id NOT IN (?)", db.NewSelect().Model((*userRow)(nil)).Column("id").Where("disabled")).
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

// leaseIdentity reserves the refresh of an identity's tokens. It returns false if another copy of the actor has the
// lease, or if the tokens have changed.
func leaseIdentity(ctx context.Context, tx bun.Tx, i identity, now, until time.Time) (bool, error) {
	done, err := tx.NewUpdate().Model((*identityRow)(nil)).Set("claimed_until = ?", until.UnixMicro()).
		Where("id = ? AND version = ? AND claimed_until <= ?", i.ID, i.Version, now.UnixMicro()).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("leasing an identity: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// saveTokens writes refreshed tokens, or their revocation. It returns false if the tokens have changed meanwhile.
func saveTokens(ctx context.Context, tx bun.Tx, i identity) (bool, error) {
	done, err := tx.NewUpdate().Model((*identityRow)(nil)).
		Set("sealed = ?, refresh_at = ?, needs_reauth = ?, version = version + 1, claimed_until = 0", i.Sealed, toMicros(i.RefreshAt), i.NeedsReauth).
		Where("id = ? AND version = ?", i.ID, i.Version).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("saving tokens: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}
