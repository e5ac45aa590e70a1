package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

type messageRow struct {
	bun.BaseModel `bun:"table:messages"`

	ID        string `bun:",pk"`
	UserID    string
	ToUser    bool
	Email     string
	Purpose   string
	TokenHash *string
	Sealed    []byte
	CreatedAt int64
	SendAt    int64
	Surplus   bool
	Source    string
	ExpiresAt int64
}

func (r messageRow) message() message {
	msg := message{
		ID: r.ID, UserID: r.UserID, ToUser: r.ToUser, Email: r.Email, Purpose: r.Purpose,
		CreatedAt: fromMicros(r.CreatedAt), SendAt: fromMicros(r.SendAt), Surplus: r.Surplus, Source: r.Source,
		ExpiresAt: fromMicros(r.ExpiresAt),
	}
	if r.TokenHash != nil {
		msg.TokenHash = *r.TokenHash
	}
	return msg
}

func addMessage(ctx context.Context, tx bun.Tx, msg message, sealed []byte) error {
	row := messageRow{
		ID: msg.ID, UserID: msg.UserID, ToUser: msg.ToUser, Email: msg.Email, Purpose: msg.Purpose,
		Sealed: sealed, CreatedAt: toMicros(msg.CreatedAt), SendAt: toMicros(msg.SendAt), Surplus: msg.Surplus, Source: msg.Source,
		ExpiresAt: toMicros(msg.ExpiresAt),
	}
	if msg.TokenHash != "" {
		row.TokenHash = &msg.TokenHash
	}
	if _, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("adding an e-mail message: %w", err)
	}
	return nil
}

// countMessages returns the messages of msg's purpose to its address that were created since a time or wait to be sent.
func countMessages(ctx context.Context, tx bun.Tx, msg message, since, now time.Time) (sentMessages, error) {
	var sums struct {
		AtOnce     int64
		FromSource int64
		Last       int64
		Waiting    int64
	}
	err := tx.NewSelect().Model((*messageRow)(nil)).
		ColumnExpr("COALESCE(SUM(CASE WHEN surplus THEN 0 ELSE 1 END), 0) AS at_once").
		ColumnExpr("COALESCE(SUM(CASE WHEN NOT surplus AND source = ? THEN 1 ELSE 0 END), 0) AS from_source", msg.Source).
		ColumnExpr("COALESCE(MAX(send_at), 0) AS last").
		ColumnExpr("COALESCE(MAX(CASE WHEN user_id = ? THEN send_at ELSE 0 END), 0) AS waiting", msg.UserID).
		Where("email = ? AND purpose = ? AND (created_at > ? OR send_at > ?)", msg.Email, msg.Purpose, since.UnixMicro(), now.UnixMicro()).
		Scan(ctx, &sums)
	if err != nil {
		return sentMessages{}, fmt.Errorf("counting e-mail messages: %w", err)
	}
	return sentMessages{
		atOnce: sums.AtOnce, fromSource: sums.FromSource, last: fromMicros(sums.Last), waiting: fromMicros(sums.Waiting),
	}, nil
}

// messageByToken returns the message with an unexpired token and one of the purposes; errNoMessage if there is none.
func messageByToken(ctx context.Context, db bun.IDB, token string, now time.Time, purposes ...string) (message, error) {
	var row messageRow
	err := db.NewSelect().Model(&row).Where("token_hash = ? AND expires_at > ? AND purpose IN (?)",
		hashToken(token), now.UnixMicro(), bun.List(purposes)).Scan(ctx)
	if err := database.OneRow(err, "reading an e-mail message", errNoMessage); err != nil {
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
	if err := database.OneRow(err, "reading an e-mail message", errNoMessage); err != nil {
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

// deleteMessages deletes up to limit messages that expired before a time. It returns how many it deleted.
func deleteMessages(ctx context.Context, tx bun.Tx, before time.Time, limit int) (int64, error) {
	old := tx.NewSelect().Model((*messageRow)(nil)).Column("id").Where("expires_at < ?", before.UnixMicro()).Limit(int64(limit))
	return deleted(tx.NewDelete().Model((*messageRow)(nil)).Where("id IN (?)", old).Exec(ctx))
}
