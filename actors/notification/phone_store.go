package notification

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/subjects"
)

// The states of a phone number.
const (
	phoneVerified = "verified"
	phonePending  = "pending"
)

// phoneRow is a user's phone number: the verified one, or one that waits for its code. Times are microseconds since the Unix epoch, 0 for
// none.
type phoneRow struct {
	bun.BaseModel `bun:"table:phones"`

	UserID string `bun:"user_id,pk"`
	State  string `bun:"state,pk"`
	// Number is sealed, in base64. The MACs are those of channelKeys.
	Number       string `bun:"number"`
	NumberMAC    string `bun:"number_mac"`
	CodeMAC      string `bun:"code_mac"`
	ExpiresAt    int64  `bun:"expires_at"`
	Attempts     int    `bun:"attempts"`
	VerifiedAt   int64  `bun:"verified_at"`
	SuppressedAt int64  `bun:"suppressed_at"`
}

// phoneCodeRow records that a code was sent.
type phoneCodeRow struct {
	bun.BaseModel `bun:"table:phone_codes"`

	ID        string `bun:"id,pk"`
	UserID    string `bun:"user_id"`
	NumberMAC string `bun:"number_mac"`
	RangeMAC  string `bun:"range_mac"`
	SentAt    int64  `bun:"sent_at"`
}

var errNoPhone = subjects.Errorf(subjects.CodeNotFound, "no phone number")

// phone returns a user's number in a state, or errNoPhone.
func (s store) phone(ctx context.Context, userID, state string) (phoneRow, error) {
	var row phoneRow
	err := s.db.NewSelect().Model(&row).Where("user_id = ?", userID).Where("state = ?", state).Scan(ctx)
	return row, database.OneRow(err, "reading a phone number", errNoPhone)
}

// replacePhone stores a number in place of the one that the user has in its state.
func (s store) replacePhone(ctx context.Context, tx bun.Tx, row *phoneRow) error {
	if err := s.deletePhones(ctx, tx, row.UserID, row.State); err != nil {
		return err
	}
	_, err := tx.NewInsert().Model(row).Exec(ctx)
	return wrapped(err, "storing a phone number")
}

// deletePhones deletes a user's numbers in some states.
func (store) deletePhones(ctx context.Context, tx bun.Tx, userID string, states ...string) error {
	_, err := tx.NewDelete().Model((*phoneRow)(nil)).Where("user_id = ?", userID).Where("state IN (?)", bun.List(states)).Exec(ctx)
	return wrapped(err, "deleting a phone number")
}

// tryCode counts an attempt at the code of a user's pending number. It reports false where there is none that may still be tried.
func (store) tryCode(ctx context.Context, tx bun.Tx, userID string, now time.Time, maxAttempts int) (bool, error) {
	result, err := tx.NewUpdate().Model((*phoneRow)(nil)).Set("attempts = attempts + 1").Where("user_id = ?", userID).
		Where("state = ?", phonePending).Where("expires_at > ?", now.UnixMicro()).Where("attempts < ?", maxAttempts).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("counting an attempt: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// suppressPhone records that a user's verified number takes no SMS. It reports whether it did.
func (store) suppressPhone(ctx context.Context, tx bun.Tx, userID, numberMAC string, now time.Time) (bool, error) {
	result, err := tx.NewUpdate().Model((*phoneRow)(nil)).Set("suppressed_at = ?", now.UnixMicro()).Where("user_id = ?", userID).
		Where("state = ?", phoneVerified).Where("number_mac = ?", numberMAC).Where("suppressed_at = 0").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("suppressing a phone number: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

func (store) insertPhoneCode(ctx context.Context, tx bun.Tx, row *phoneCodeRow) error {
	_, err := tx.NewInsert().Model(row).Exec(ctx)
	return wrapped(err, "recording a code")
}

// deleteOldCodes deletes records of codes from before a moment, and numbers whose code has expired before it.
func (store) deleteOldCodes(ctx context.Context, tx bun.Tx, before time.Time) error {
	if _, err := tx.NewDelete().Model((*phoneCodeRow)(nil)).Where("sent_at < ?", before.UnixMicro()).Exec(ctx); err != nil {
		return fmt.Errorf("deleting records of codes: %w", err)
	}
	_, err := tx.NewDelete().Model((*phoneRow)(nil)).Where("state = 'pending'").Where("expires_at < ?", before.UnixMicro()).Exec(ctx)
	return wrapped(err, "deleting expired phone numbers")
}

// codesBy counts the codes since a moment by a column of their records.
func codesBy(column string, since func() time.Time) quota.Counter {
	return func(ctx context.Context, db bun.IDB, value string) (int64, error) {
		n, err := db.NewSelect().Model((*phoneCodeRow)(nil)).Where("? = ?", bun.Ident(column), value).
			Where("sent_at > ?", since().UnixMicro()).Count(ctx)
		return n, wrapped(err, "counting codes")
	}
}
