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

type userRow struct {
	bun.BaseModel `bun:"table:users"`

	ID            string `bun:",pk"`
	Email         string
	EmailVerified bool
	PasswordHash  string
	Contested     bool
	FirstName     string
	LastName      string
	AvatarURL     string `bun:"avatar_url"`
	Locale        string
	TimeZone      string
	Roles         string
	Disabled      bool
	SecondFactor  string
	Epoch         int64
	CreatedAt     int64
	UpdatedAt     int64
}

func rowOf(u user) userRow {
	return userRow{
		ID: u.ID, Email: u.Email, EmailVerified: u.EmailVerified, PasswordHash: u.PasswordHash,
		Contested: u.Contested, FirstName: u.FirstName, LastName: u.LastName, AvatarURL: u.AvatarURL, Locale: u.Locale, TimeZone: u.TimeZone,
		Roles: strings.Join(u.Roles, " "), Disabled: u.Disabled, SecondFactor: u.SecondFactor, Epoch: u.Epoch,
		CreatedAt: u.CreatedAt.UnixMilli(), UpdatedAt: u.UpdatedAt.UnixMilli(),
	}
}

func (r userRow) user() user {
	return user{
		ID: r.ID, Email: r.Email, EmailVerified: r.EmailVerified, PasswordHash: r.PasswordHash,
		Contested: r.Contested, FirstName: r.FirstName, LastName: r.LastName, AvatarURL: r.AvatarURL, Locale: r.Locale, TimeZone: r.TimeZone,
		Roles: strings.Fields(r.Roles), Disabled: r.Disabled, SecondFactor: r.SecondFactor, Epoch: r.Epoch,
		CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), UpdatedAt: time.UnixMilli(r.UpdatedAt).UTC(),
	}
}

// addUser adds an account; where the address is taken it adds nothing and returns the account that has it.
func addUser(ctx context.Context, tx bun.Tx, u user) (other *user, err error) {
	row := rowOf(u)
	done, err := tx.NewInsert().Model(&row).On("CONFLICT (email) DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("adding a user: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil || n > 0 {
		return nil, err
	}
	found, err := userByEmail(ctx, tx, u.Email)
	return &found, err
}

// userByEmail finds an account by its normalised address; CodeNotFound where there is none.
func userByEmail(ctx context.Context, db bun.IDB, email string) (user, error) {
	return selectUser(ctx, db, "email = ?", email)
}

// userByID finds an account; CodeNotFound where there is none.
func userByID(ctx context.Context, db bun.IDB, id string) (user, error) {
	return selectUser(ctx, db, "id = ?", id)
}

func selectUser(ctx context.Context, db bun.IDB, where string, arg any) (user, error) {
	var row userRow
	err := db.NewSelect().Model(&row).Where(where, arg).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return user{}, subjects.Errorf(subjects.CodeNotFound, "there is no such account")
	}
	if err != nil {
		return user{}, fmt.Errorf("reading a user: %w", err)
	}
	return row.user(), nil
}

// lockUser reads an account and keeps others from changing it until the transaction ends.
func lockUser(ctx context.Context, tx bun.Tx, id string) (user, error) {
	if _, err := tx.NewUpdate().Model((*userRow)(nil)).Set("updated_at = updated_at").Where("id = ?", id).Exec(ctx); err != nil {
		return user{}, fmt.Errorf("locking a user: %w", err)
	}
	return userByID(ctx, tx, id)
}

// saveUser writes columns of an account.
func saveUser(ctx context.Context, tx bun.Tx, u user, columns ...string) error {
	row := rowOf(u)
	_, err := tx.NewUpdate().Model(&row).Column(append(columns, "updated_at")...).WherePK().Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("saving a user: %w", err)
	}
	return nil
}

// contest notes that an account which is not verified was registered again.
func contest(ctx context.Context, tx bun.Tx, id string) error {
	_, err := tx.NewUpdate().Model((*userRow)(nil)).Set("contested = TRUE").Where("id = ? AND NOT email_verified", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("noting another registration: %w", err)
	}
	return nil
}

// saveHash replaces a password hash that is still what it was.
func saveHash(ctx context.Context, tx bun.Tx, id, old, hash string) error {
	_, err := tx.NewUpdate().Model((*userRow)(nil)).Set("password_hash = ?", hash).
		Where("id = ? AND password_hash = ?", id, old).Exec(ctx)
	if err != nil {
		return fmt.Errorf("renewing a password hash: %w", err)
	}
	return nil
}
