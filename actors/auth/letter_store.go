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

type letterRow struct {
	bun.BaseModel `bun:"table:letters"`

	ID        string `bun:",pk"`
	UserID    string
	ToUser    bool
	Email     string
	Purpose   string
	TokenHash *string
	Sealed    []byte
	CreatedAt int64
	ExpiresAt int64
}

func (r letterRow) letter() letter {
	l := letter{
		ID: r.ID, UserID: r.UserID, ToUser: r.ToUser, Email: r.Email, Purpose: r.Purpose,
		CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), ExpiresAt: time.UnixMilli(r.ExpiresAt).UTC(),
	}
	if r.TokenHash != nil {
		l.TokenHash = *r.TokenHash
	}
	return l
}

func addLetter(ctx context.Context, tx bun.Tx, l letter, sealed []byte) error {
	row := letterRow{
		ID: l.ID, UserID: l.UserID, ToUser: l.ToUser, Email: l.Email, Purpose: l.Purpose,
		Sealed: sealed, CreatedAt: l.CreatedAt.UnixMilli(), ExpiresAt: l.ExpiresAt.UnixMilli(),
	}
	if l.TokenHash != "" {
		row.TokenHash = &l.TokenHash
	}
	if _, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("adding a letter: %w", err)
	}
	return nil
}

// lettersSince counts what an address was sent for a purpose.
func lettersSince(ctx context.Context, tx bun.Tx, email, purpose string, since time.Time) (int64, error) {
	n, err := tx.NewSelect().Model((*letterRow)(nil)).
		Where("email = ? AND purpose = ? AND created_at > ?", email, purpose, since.UnixMilli()).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting letters: %w", err)
	}
	return n, nil
}

// letterByToken finds the letter that a good token came with; CodeInvalid where there is none.
func letterByToken(ctx context.Context, db bun.IDB, token string, now time.Time, purposes ...string) (letter, error) {
	var row letterRow
	err := db.NewSelect().Model(&row).Where("token_hash = ? AND expires_at > ? AND purpose IN (?)",
		hashToken(token), now.UnixMilli(), bun.List(purposes)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return letter{}, errToken()
	}
	if err != nil {
		return letter{}, fmt.Errorf("reading a letter: %w", err)
	}
	return row.letter(), nil
}

func errToken() error { return subjects.InvalidField("token", "is not good, or not any more") }

// useLetter uses a letter's token up; CodeInvalid where another was first.
func useLetter(ctx context.Context, tx bun.Tx, l letter) error {
	done, err := tx.NewUpdate().Model((*letterRow)(nil)).Set("token_hash = NULL").
		Where("id = ? AND token_hash = ?", l.ID, l.TokenHash).Exec(ctx)
	if err != nil {
		return fmt.Errorf("using a token: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errToken())
	}
	return nil
}

// voidLetters makes a user's unused tokens of a purpose worthless.
func voidLetters(ctx context.Context, tx bun.Tx, userID string, purposes ...string) error {
	_, err := tx.NewUpdate().Model((*letterRow)(nil)).Set("token_hash = NULL").
		Where("user_id = ? AND purpose IN (?)", userID, bun.List(purposes)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("voiding tokens: %w", err)
	}
	return nil
}

// letterByID finds a letter and its sealed text, which is nil once it is handed over; CodeNotFound where there
// is none.
func letterByID(ctx context.Context, db bun.IDB, id string) (letter, []byte, error) {
	var row letterRow
	err := db.NewSelect().Model(&row).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return letter{}, nil, subjects.Errorf(subjects.CodeNotFound, "there is no such account")
	}
	if err != nil {
		return letter{}, nil, fmt.Errorf("reading a letter: %w", err)
	}
	return row.letter(), row.Sealed, nil
}

// handedOver forgets a letter's text.
func handedOver(ctx context.Context, tx bun.Tx, id string) error {
	_, err := tx.NewUpdate().Model((*letterRow)(nil)).Set("sealed = NULL").Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("forgetting a letter's text: %w", err)
	}
	return nil
}

// dropLetters removes the letters that ended before a moment.
func dropLetters(ctx context.Context, tx bun.Tx, before time.Time) error {
	_, err := tx.NewDelete().Model((*letterRow)(nil)).Where("expires_at < ?", before.UnixMilli()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("dropping letters: %w", err)
	}
	return nil
}
