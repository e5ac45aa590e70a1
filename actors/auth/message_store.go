package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

type messageRow struct {
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

func (r messageRow) message() message {
	msg := message{
		ID: r.ID, UserID: r.UserID, ToUser: r.ToUser, Email: r.Email, Purpose: r.Purpose,
		CreatedAt: fromMicros(r.CreatedAt), ExpiresAt: fromMicros(r.ExpiresAt),
	}
	if r.TokenHash != nil {
		msg.TokenHash = *r.TokenHash
	}
	return msg
}

func addMessage(ctx context.Context, tx bun.Tx, msg message, sealed []byte) error {
	row := messageRow{
		ID: msg.ID, UserID: msg.UserID, ToUser: msg.ToUser, Email: msg.Email, Purpose: msg.Purpose,
		Sealed: sealed, CreatedAt: toMicros(msg.CreatedAt), ExpiresAt: toMicros(msg.ExpiresAt),
	}
	if msg.TokenHash != "" {
		row.TokenHash = &msg.TokenHash
	}
	if _, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("adding an e-mail message: %w", err)
	}
	return nil
}

// countMessages returns the number of messages of a purpose created for an address since a time.
func countMessages(ctx context.Context, tx bun.Tx, email, purpose string, since time.Time) (int64, error) {
	n, err := tx.NewSelect().Model((*messageRow)(nil)).
		Where("email = ? AND purpose = ? AND created_at > ?", email, purpose, since.UnixMicro()).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting e-mail messages: %w", err)
	}
	return n, nil
}

// messageByToken returns the message with an unexpired token and one of the purposes; errNoMessage if there is none.
func messageByToken(ctx context.Context, db bun.IDB, token string, now time.Time, purposes ...string) (message, error) {
	var row messageRow
	err := db.NewSelect().Model(&row).Where("token_hash = ? AND expires_at > ? AND purpose IN (?)",
		hashToken(token), now.UnixMicro(), bun.List(purposes)).Scan(ctx)
	if err := oneRow(err, "reading an e-mail message", errNoMessage); err != nil {
		return message{}, err
	}
	return row.message(), nil
}

var errNoMessage = subjects.Errorf(subjects.CodeNotFound, "there is no such e-mail message")

func errToken() error { return subjects.InvalidField("token", "invalid or expired token") }

// useToken consumes a message's token; CodeInvalid if it has been consumed.
func useToken(ctx context.Context, tx bun.Tx, msg message) error {
	done, err := tx.NewUpdate().Model((*messageRow)(nil)).Set("token_hash = NULL").
		Where("id = ? AND token_hash = ?", msg.ID, msg.TokenHash).Exec(ctx)
	if err != nil {
		return fmt.Errorf("consuming a token: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errToken())
	}
	return nil
}

// voidTokens invalidates a user's tokens of the purposes.
func voidTokens(ctx context.Context, tx bun.Tx, userID string, purposes ...string) error {
	_, err := tx.NewUpdate().Model((*messageRow)(nil)).Set("token_hash = NULL").
		Where("user_id = ? AND purpose IN (?)", userID, bun.List(purposes)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("invalidating tokens: %w", err)
	}
	return nil
}

// messageByID returns a message and its sealed text, which is nil after delivery; errNoMessage if there is none.
func messageByID(ctx context.Context, db bun.IDB, id string) (message, []byte, error) {
	var row messageRow
	err := db.NewSelect().Model(&row).Where("id = ?", id).Scan(ctx)
	if err := oneRow(err, "reading an e-mail message", errNoMessage); err != nil {
		return message{}, nil, err
	}
	return row.message(), row.Sealed, nil
}

// clearMessageText deletes a message's text.
func clearMessageText(ctx context.Context, tx bun.Tx, id string) error {
	_, err := tx.NewUpdate().Model((*messageRow)(nil)).Set("sealed = NULL").Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("deleting the text of an e-mail message: %w", err)
	}
	return nil
}

// deleteMessages deletes the messages that expired before a time.
func deleteMessages(ctx context.Context, tx bun.Tx, before time.Time) error {
	_, err := tx.NewDelete().Model((*messageRow)(nil)).Where("expires_at < ?", before.UnixMicro()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("deleting e-mail messages: %w", err)
	}
	return nil
}
