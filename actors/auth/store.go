package auth

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

type userRow struct {
	bun.BaseModel `bun:"table:users"`

	ID                    string `bun:",pk"`
	Email                 string
	EmailVerified         bool
	PasswordHash          string
	DuplicateRegistration bool
	FirstName             string
	LastName              string
	AvatarURL             string `bun:"avatar_url"`
	Locale                string
	TimeZone              string
	Roles                 string
	Disabled              bool
	SecondFactor          string
	Epoch                 int64
	ErasureID             string
	CreatedAt             int64
	UpdatedAt             int64
	Version               int64
}

func userRowOf(u user) userRow {
	return userRow{
		ID: u.ID, Email: u.Email, EmailVerified: u.EmailVerified, PasswordHash: u.PasswordHash,
		DuplicateRegistration: u.DuplicateRegistration, FirstName: u.FirstName, LastName: u.LastName, AvatarURL: u.AvatarURL,
		Locale: u.Locale, TimeZone: u.TimeZone,
		Roles: strings.Join(u.Roles, " "), Disabled: u.Disabled, SecondFactor: u.SecondFactor, Epoch: u.Epoch,
		ErasureID: u.ErasureID, CreatedAt: toMicros(u.CreatedAt), UpdatedAt: toMicros(u.UpdatedAt),
		Version: u.Version,
	}
}

func (r userRow) user() user {
	return user{
		ID: r.ID, Email: r.Email, EmailVerified: r.EmailVerified, PasswordHash: r.PasswordHash,
		DuplicateRegistration: r.DuplicateRegistration, FirstName: r.FirstName, LastName: r.LastName, AvatarURL: r.AvatarURL,
		Locale: r.Locale, TimeZone: r.TimeZone,
		Roles: strings.Fields(r.Roles), Disabled: r.Disabled, SecondFactor: r.SecondFactor, Epoch: r.Epoch,
		ErasureID: r.ErasureID, CreatedAt: fromMicros(r.CreatedAt), UpdatedAt: fromMicros(r.UpdatedAt),
		Version: r.Version,
	}
}

// toMicros returns a time as stored: microseconds since the Unix epoch, 0 for the zero time.
func toMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fromMicros is the inverse of toMicros.
func fromMicros(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// isNotFound reports whether a query found no row.
func isNotFound(err error) bool { return subjects.CodeOf(err) == subjects.CodeNotFound }

var errNoUser = subjects.Errorf(subjects.CodeNotFound, "there is no such account")

// pageOf returns a page of at most limit views of rows, which were read one longer. cursor is the key of the last row.
func pageOf[R, V any](rows []R, limit int, view func(R) V, cursor func(R) string) subjects.Page[V] {
	page := subjects.Page[V]{Items: []V{}}
	if len(rows) > limit {
		rows = rows[:limit]
		page.NextCursor = actors.EncodeCursor(cursor(rows[limit-1]))
	}
	for _, row := range rows {
		page.Items = append(page.Items, view(row))
	}
	return page
}

// idCursor decodes the cursor of a list that is sorted by one column; "" if there is none.
func idCursor(cursor string) (string, error) {
	key, err := actors.DecodeCursor(cursor, 1)
	if err != nil {
		return "", err
	}
	return key[0], nil
}

// addUser adds an account. If the address is taken, it adds nothing and returns the account that has it.
func addUser(ctx context.Context, tx bun.Tx, u user) (other *user, err error) {
	u.Version = 1
	row := userRowOf(u)
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

// userByEmail returns the account with a normalised address; errNoUser if there is none.
func userByEmail(ctx context.Context, db bun.IDB, email string) (user, error) {
	return selectUser(ctx, db, "email = ?", email)
}

// userByID returns an account; errNoUser if there is none.
func userByID(ctx context.Context, db bun.IDB, id string) (user, error) {
	return selectUser(ctx, db, "id = ?", id)
}

func selectUser(ctx context.Context, db bun.IDB, where string, arg any) (user, error) {
	var row userRow
	err := db.NewSelect().Model(&row).Where(where, arg).Scan(ctx)
	if err := database.OneRow(err, "reading a user", errNoUser); err != nil {
		return user{}, err
	}
	return row.user(), nil
}

// lockUser returns an account and locks its row until the transaction ends.
func lockUser(ctx context.Context, tx bun.Tx, id string) (user, error) {
	if _, err := tx.NewUpdate().Model((*userRow)(nil)).Set("updated_at = updated_at").Where("id = ?", id).Exec(ctx); err != nil {
		return user{}, fmt.Errorf("locking a user: %w", err)
	}
	return userByID(ctx, tx, id)
}

// saveUser writes columns of an account and updated_at, and counts its version.
func saveUser(ctx context.Context, tx bun.Tx, u user, columns ...string) error {
	row := userRowOf(u)
	_, err := tx.NewUpdate().Model(&row).Column(append(columns, "updated_at")...).Set("version = version + 1").WherePK().Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("saving a user: %w", err)
	}
	return nil
}

// markDuplicateRegistration records that an unverified account was registered again.
func markDuplicateRegistration(ctx context.Context, tx bun.Tx, id string) error {
	_, err := tx.NewUpdate().Model((*userRow)(nil)).Set("duplicate_registration = TRUE").Where("id = ? AND NOT email_verified", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("recording a duplicate registration: %w", err)
	}
	return nil
}

// replaceHash replaces a password hash unless it has changed.
func replaceHash(ctx context.Context, tx bun.Tx, id, old, hash string) error {
	_, err := tx.NewUpdate().Model((*userRow)(nil)).Set("password_hash = ?", hash).
		Where("id = ? AND password_hash = ?", id, old).Exec(ctx)
	if err != nil {
		return fmt.Errorf("replacing a password hash: %w", err)
	}
	return nil
}
